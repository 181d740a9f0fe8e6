"""``batch``: one job per line of a file, however often it is run."""

import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from io import TextIOWrapper
from pathlib import Path
from typing import NamedTuple

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, Task, TextColumn, TimeRemainingColumn
from rich.text import Text

from ...client import BatchItem, JobStatus, NotReachable, Problem, RemoteJob, State
from .. import batch_file, output
from ..batch_file import FileLine
from ..dispatch_arguments import OPTION_NAMES, Pairs, options_of
from ..exit_codes import CommandFailed, CommandRefused, ServerUnreachable
from ..http_options import HttpContext, patient_http_command
from ..parameter_types import Pair

Advance = Callable[[int], None]
Sent = tuple[int, RemoteJob | Problem]
"""The number of a line, and its job or its problem."""


class Source(NamedTuple):
    """The file, its format, and the values that all its lines share."""

    path: Path
    defaults: batch_file.Defaults
    is_csv: bool


@click.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False, allow_dash=True, path_type=Path))
@click.option("--task", metavar="NAME", help="The task of all lines that name none; required for CSV.")
@click.option(
    "--format", "form", type=click.Choice(["ndjson", "csv"]), help="By default the suffix of the file's name decides."
)
@click.option("-o", "--option", "options", type=Pair(), multiple=True, help=f"An option of all jobs: {OPTION_NAMES}.")
@click.option(
    "-l",
    "--label",
    "labels",
    type=Pair(),
    multiple=True,
    help="A label of all jobs; a line's own label of the same name takes precedence.",
)
@click.option("--key", help="The key that identifies the batch in a later run; by default the file's path and content.")
@click.option("--wait", is_flag=True, help="Wait until all jobs have ended, and print the state of each.")
@patient_http_command
def batch(  # noqa: PLR0913 - each is an option
    context: HttpContext,
    file: Path,
    *,
    task: str | None,
    form: str | None,
    options: Pairs,
    labels: Pairs,
    key: str | None,
    wait: bool,
) -> None:
    """Dispatch one job per line of FILE, however often it is run.

    Run it again after Ctrl-C, or when the service was away, and it continues: for a day, a line that was already
    dispatched keeps its job and UUID. A changed file is another batch, with new jobs. If FILE is -, standard input
    is read; only with --key can a later run continue it.

    NDJSON has a JSON object on each line: {"task": "add", "args": [2, 2], "kwargs": {}, "options": {}}. The first line
    of CSV names the arguments, each once; values are text and are read as in a URL, and an empty value is left out.

    The number and the UUID of each line are printed; refused lines are listed on standard error. With --json, both go
    to standard output: {"line": 1, "uuid": …} or {"line": 2, "problem": {…}}. Exit code 2 if a line was refused, else
    1 if with --wait a job did not succeed.

    \b
    Examples:
      pacifica-dispatcher-cmd batch jobs.ndjson --label run=17
      pacifica-dispatcher-cmd batch samples.csv --task lab.convert --wait
      seq 1000 | jq -c '{task: "add", args: [., 1]}' | pacifica-dispatcher-cmd batch -
    """
    source = _source(file, form, batch_file.Defaults(task, options_of(options, labels)))
    facts = batch_file.facts(file, source.defaults) if file.is_file() else None
    key = key or (facts.key if facts else None)
    hint = " Run the same command again to continue." if key else ""
    with _bar(facts.lines if facts else None) as advance:
        try:
            sent = list(_send(context, source, key, advance, show=not wait))
        except NotReachable as error:
            raise ServerUnreachable(f"{error}{hint}") from error
        except KeyboardInterrupt:
            click.echo(hint, nl=False, err=True)
            raise
    jobs = {number: outcome for number, outcome in sent if isinstance(outcome, RemoteJob)}
    failed = _wait(context, jobs) if wait else 0
    _end(len(jobs), len(sent) - len(jobs), failed)


def _source(file: Path, form: str | None, defaults: batch_file.Defaults) -> Source:
    is_csv = (form or file.suffix.lower().removeprefix(".")) == "csv"
    if is_csv and defaults.task is None:
        raise click.UsageError("A CSV file names the arguments, but not the task; name it with --task.")
    return Source(file, defaults, is_csv)


def _send(context: HttpContext, source: Source, key: str | None, advance: Advance, *, show: bool) -> Iterator[Sent]:
    """Each line as soon as it is answered; its problem is printed, and with ``show`` its UUID."""
    numbers: deque[int] = deque()

    def items(lines: Iterable[FileLine]) -> Iterator[BatchItem | Problem]:
        for line in lines:
            numbers.append(line.number)
            yield line.item

    with _opened(context, source) as lines:
        for outcome in context.client.batch(items(lines), idempotency_key=key):
            number = numbers.popleft()
            advance(number)
            if isinstance(outcome, Problem):
                _print_problem(context, number, outcome)
            elif show:
                _print_job(context, number, outcome.uuid)
            yield number, outcome


@contextmanager
def _opened(context: HttpContext, source: Source) -> Iterator[Iterator[FileLine]]:
    """The lines of the file, or of standard input."""
    task = source.defaults.task
    schema = context.client.task(task).arguments if source.is_csv and task else None
    with nullcontext(sys.stdin.buffer) if str(source.path) == "-" else source.path.open("rb") as file:
        if schema is None:
            yield batch_file.ndjson(file, source.defaults)
            return
        # Bytes that are not UTF-8 become lone surrogates, so that the fault can be reported with its line.
        text = TextIOWrapper(file, encoding="utf-8-sig", errors="surrogateescape", newline="")
        try:
            yield batch_file.comma_separated(text, source.defaults, schema)
        finally:
            text.detach()


def _wait(context: HttpContext, jobs: Mapping[int, RemoteJob]) -> int:
    """Print the outcome of each job, in the order of the file; returns how many did not succeed."""
    failed = 0
    with _bar(len(jobs), "done") as advance:
        for place, (number, job) in enumerate(jobs.items(), 1):
            ended = job.wait()
            failed += ended.state is not State.SUCCESS
            advance(place)
            _print_job(context, number, ended.uuid, ended)
    return failed


def _print_job(context: HttpContext, number: int, uuid: str, ended: JobStatus | None = None) -> None:
    if ended is None:
        context.show({"line": number, "uuid": uuid}, f"{number} {uuid}")
    else:
        text = f"{number} {uuid} {ended.state} {output.shortened(output.outcome(ended))}"
        context.show({"line": number, **ended.document}, text.rstrip())


def _print_problem(context: HttpContext, number: int, problem: Problem) -> None:
    if context.as_json:
        output.print_json({"line": number, "problem": problem.document})
    else:
        output.print_line(f"line {number}: {problem.detail}", err=True)


def _end(dispatched: int, refused: int, failed: int) -> None:
    summary = f"{dispatched} dispatched, {refused} refused" + (f", {failed} did not succeed." if failed else ".")
    if refused:
        raise CommandRefused(summary)
    if failed:
        raise CommandFailed(summary)
    click.echo(summary, err=True)


class Rate(ProgressColumn):
    """The lines per second."""

    def render(self, task: Task) -> Text:
        """The rate; empty before it can be measured."""
        return Text(f"{task.speed:,.0f}/s" if task.speed else "", style="progress.data.speed")


@contextmanager
def _bar(total: int | None, name: str = "sent") -> Iterator[Advance]:
    """A progress bar on standard error, if that is a terminal; ``Advance`` takes the number that is finished."""
    columns = (TextColumn(name), BarColumn(), MofNCompleteColumn(), Rate(), TimeRemainingColumn())
    console = Console(stderr=True)
    # If standard output is not a terminal, rich must not redirect it: its lines belong into a file or a pipe.
    with Progress(
        *columns, console=console, disable=not console.is_terminal, redirect_stdout=sys.stdout.isatty()
    ) as progress:
        bar = progress.add_task(name, total=total)
        yield lambda done: progress.update(bar, completed=done)
