"""``batch``: a job for each line of a file, once, however often it is run."""

import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from io import TextIOWrapper
from pathlib import Path
from typing import NamedTuple, TypedDict, Unpack

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, Task, TextColumn, TimeRemainingColumn
from rich.text import Text

from ...client import BatchItem, JobStatus, NotReachable, Problem, RemoteJob, State
from .. import batch_file, output
from ..batch_file import Line
from ..exit_codes import Failed, Refused, Unreachable
from ..http_options import Pair, Talk, talking_patiently
from ..option_values import NAMES, Pairs, options_of
from ..screen import print_json

Advance = Callable[[int], None]


class Given(NamedTuple):
    """What the command line says of the file."""

    path: Path
    defaults: batch_file.Defaults
    as_csv: bool


class Said(TypedDict):
    """What the options of ``batch`` say."""

    task: str | None
    form: str | None
    options: Pairs
    labels: Pairs
    key: str | None
    wait: bool


class Job(NamedTuple):
    """A line's job."""

    number: int
    job: RemoteJob


class Sent(NamedTuple):
    """A line and the job that it became, or its problem."""

    number: int
    outcome: RemoteJob | Problem


@click.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False, allow_dash=True, path_type=Path))
@click.option("--task", metavar="NAME", help="The task of all lines that name none; CSV needs it.")
@click.option(
    "--format", "form", type=click.Choice(["ndjson", "csv"]), help="By default what the file's name ends with."
)
@click.option("-o", "--option", "options", type=Pair(), multiple=True, help=f"For all lines: one of {NAMES}.")
@click.option(
    "-l",
    "--label",
    "labels",
    type=Pair(),
    multiple=True,
    help="A label for all lines, beside those of its own that a line has; on the same name the line's own wins.",
)
@click.option("--key", help="What the batch is known by when it is run again; by default the file's path and content.")
@click.option("--wait", is_flag=True, help="Wait until all jobs have ended; the lines then say how.")
@talking_patiently
def batch(talk: Talk, file: Path, **said: Unpack[Said]) -> None:
    """Dispatch a job for each line of FILE, once, however often run.

    Run it again after Ctrl-C, or after the service was away, and it goes on where it stopped: for a day, each line
    that was dispatched is the same job with the same UUID, and none is doubled. A file that was changed is another
    batch, with jobs of its own. FILE may be - for standard input; it then takes a --key to be run again.

    NDJSON has a JSON object a line: {"task": "add", "args": [2, 2], "kwargs": {}, "options": {}}. The first line of
    CSV names the arguments, each once; values are text and read as in a URL, an empty one is left out.

    Printed is for each line its number and its UUID; what is refused goes to standard error. With --json all of it
    goes to standard output: {"line": 1, "uuid": …} or {"line": 2, "problem": {…}}. Exit code 2 when a line was
    refused, else 1 when with --wait a job did not succeed.

    \b
    Examples:
      pacifica-dispatcher-cmd batch jobs.ndjson --label run=17
      pacifica-dispatcher-cmd batch samples.csv --task lab.convert --wait
      seq 1000 | jq -c '{task: "add", args: [., 1]}' | pacifica-dispatcher-cmd batch -
    """
    given = _given(file, said)
    facts = batch_file.facts(file, given.defaults) if file.is_file() else None
    key = said["key"] or (facts.key if facts else None)
    hint = " Run the same command again to go on." if key else ""
    with _bar(facts.lines if facts else None) as advance:
        try:
            sent = list(_sent(talk, given, key, advance, tell=not said["wait"]))
        except NotReachable as error:
            raise Unreachable(f"{error}{hint}") from error
        except KeyboardInterrupt:
            click.echo(hint, nl=False, err=True)
            raise
    jobs = [Job(number, job) for number, job in sent if isinstance(job, RemoteJob)]
    failed = _wait(talk, jobs) if said["wait"] else 0
    _end(len(jobs), len(sent) - len(jobs), failed)


def _given(file: Path, said: Said) -> Given:
    as_csv = (said["form"] or file.suffix.lower().removeprefix(".")) == "csv"
    if as_csv and said["task"] is None:
        raise click.UsageError("CSV names the arguments, and not the task; say it with --task.")
    return Given(file, batch_file.Defaults(said["task"], options_of(said["options"], said["labels"])), as_csv)


def _sent(talk: Talk, given: Given, key: str | None, advance: Advance, *, tell: bool) -> Iterator[Sent]:
    """Each line once it is answered; it is printed, unless that is left to the end of its job."""
    numbers: deque[int] = deque()

    def items(found: Iterable[Line]) -> Iterator[BatchItem | Problem]:
        for line in found:
            numbers.append(line.number)
            yield line.item

    with _opened(talk, given) as found:
        for outcome in talk.client.batch(items(found), idempotency_key=key):
            sent = Sent(numbers.popleft(), outcome)
            advance(sent.number)
            if isinstance(outcome, Problem):
                _tell_problem(talk, sent.number, outcome)
            elif tell:
                _tell_job(talk, sent.number, outcome.uuid)
            yield sent


@contextmanager
def _opened(talk: Talk, given: Given) -> Iterator[Iterator[Line]]:
    """The lines of the file, or of standard input."""
    task = given.defaults.task
    schema = talk.client.task(task).arguments if given.as_csv and task else None
    with nullcontext(sys.stdin.buffer) if str(given.path) == "-" else given.path.open("rb") as source:
        if schema is None:
            yield batch_file.ndjson(source, given.defaults)
            return
        # What is not UTF-8 becomes lone surrogates, so that it is told by its line.
        text = TextIOWrapper(source, encoding="utf-8-sig", errors="surrogateescape", newline="")
        try:
            yield batch_file.comma_separated(text, given.defaults, schema)
        finally:
            text.detach()


def _wait(talk: Talk, jobs: Sequence[Job]) -> int:
    """Print how each job ended, in the order of the file; how many did not succeed."""
    failed = 0
    with _bar(len(jobs), "done") as advance:
        for place, (number, job) in enumerate(jobs, 1):
            ended = job.wait()
            failed += ended.state is not State.SUCCESS
            advance(place)
            _tell_job(talk, number, ended.uuid, ended)
    return failed


def _tell_job(talk: Talk, number: int, uuid: str, ended: JobStatus | None = None) -> None:
    if talk.as_json:
        print_json({"line": number, "uuid": uuid} if ended is None else {"line": number, **ended.document})
    elif ended is None:
        click.echo(f"{number} {uuid}")
    else:
        click.echo(f"{number} {uuid} {ended.state} {output.shortened(output.outcome(ended))}".rstrip())


def _tell_problem(talk: Talk, number: int, problem: Problem) -> None:
    if talk.as_json:
        print_json({"line": number, "problem": problem.document})
    else:
        click.echo(f"line {number}: {problem.detail}", err=True)


def _end(dispatched: int, refused: int, failed: int) -> None:
    told = f"{dispatched} dispatched, {refused} refused" + (f", {failed} did not succeed." if failed else ".")
    if refused:
        raise Refused(told)
    if failed:
        raise Failed(told)
    click.echo(told, err=True)


class Rate(ProgressColumn):
    """How many a second."""

    def render(self, task: Task) -> Text:
        """Nothing, before there is something to measure."""
        return Text(f"{task.speed:,.0f}/s" if task.speed else "", style="progress.data.speed")


@contextmanager
def _bar(total: int | None, name: str = "sent") -> Iterator[Advance]:
    """A bar on standard error, if that is a terminal; given the number of what has just been finished."""
    columns = (TextColumn(name), BarColumn(), MofNCompleteColumn(), Rate(), TimeRemainingColumn())
    console = Console(stderr=True)
    # Where standard output is no terminal, rich would send there what belongs into a file or pipe.
    with Progress(
        *columns, console=console, disable=not console.is_terminal, redirect_stdout=sys.stdout.isatty()
    ) as progress:
        bar = progress.add_task(name, total=total)
        yield lambda done: progress.update(bar, completed=done)
