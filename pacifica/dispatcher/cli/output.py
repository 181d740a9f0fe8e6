"""The output of the commands: tables, JSON, and the texts of jobs."""

import sys
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from ..client import JobStatus, State
from ..core import strict_json
from ..core.control_characters import lines, one_line

STYLES: Mapping[str, str] = {
    State.PENDING: "cyan",
    State.STARTED: "yellow",
    State.RETRY: "magenta",
    State.SUCCESS: "green",
    State.FAILURE: "bold red",
    State.REVOKED: "dim",
}
COLUMNS = ("UUID", "TASK", "STATE", "AGE", "RAN", "RESULT")
LONGEST = 60
"""The characters of a result in a table."""
UNFOLDED = ("ID", "UUID")
"""The columns whose cells stay on one line, so that they can be copied."""


class Screen(Console):
    """Standard output, without colour in a pipe. The group ends a command whose reader has closed the pipe."""

    def on_broken_pipe(self) -> None:
        """Raise the error; rich would end the command with the exit code of a failure."""
        raise BrokenPipeError


def print_json(value: Any) -> None:
    """Print a line of JSON in the format of the HTTP API."""
    click.echo(strict_json.pretty(value), nl=False)


def print_line(text: str, *, err: bool = False) -> None:
    """Print one line for a person; its control characters are shown as escapes."""
    click.echo(one_line(text), err=err)


def print_result(value: Any) -> None:
    """Print a result bare. A pipe or a file gets its exact bytes; a terminal gets control characters as escapes."""
    text = bare(value)
    if sys.stdout.isatty():
        click.echo(lines(text))
    else:  # From a str, click would remove the escape sequences of terminals.
        click.echo(text.encode(sys.stdout.encoding or "utf-8", "backslashreplace"))


def print_table(columns: Sequence[str], rows: Iterable[Sequence[str | Text]]) -> None:
    """Print a table; a terminal folds long cells, a pipe gets each row on one line."""
    Screen(width=None if sys.stdout.isatty() else 10_000).print(table_of(columns, rows))


def table_of(columns: Sequence[str], rows: Iterable[Sequence[str | Text]]) -> Table:
    """The table itself; in its texts, rich's markup is not interpreted, and control characters are shown as escapes."""
    table = Table(box=None, pad_edge=False, header_style="bold", show_header=bool(columns))
    for column in columns:
        table.add_column(column, overflow="fold", no_wrap=column in UNFOLDED)
    for cells in rows:
        table.add_row(*(Text(lines(cell)) if isinstance(cell, str) else cell for cell in cells))
    return table


def row(job: JobStatus) -> list[str | Text]:
    """A job as a row of a table."""
    return [job.uuid, job.task, state(job.state), age(job.created), run_time(job), shortened(outcome(job))]


def state(name: str) -> Text:
    """A state in its colour."""
    return Text(one_line(name), STYLES.get(name, ""))


def outcome(job: JobStatus) -> str:
    """The result or the error of a job, else its progress."""
    if job.state is State.SUCCESS:
        return bare(job.result)
    if job.error is not None:
        return f"{job.error.type}: {job.error.message}"
    return progress(job.progress) if job.progress and not job.final else ""


def progress(report: Mapping[str, Any]) -> str:
    """The last progress that the task reported."""
    share = f"{report.get('current')}/{report['total']}" if report.get("total") else str(report.get("current", ""))
    return f"{share} {report.get('message') or ''}".strip()


def details(job: JobStatus) -> list[tuple[str, str | Text]]:
    """The name and text of each field of a job; empty fields are left out."""
    document = job.document
    times = {name: document.get(name) for name in ("created", "eta", "expires", "published", "started", "finished")}
    fields: dict[str, str | Text] = {
        "uuid": job.uuid,
        "task": job.task,
        "state": state(job.state),
        "result": bare(job.result) if job.state is State.SUCCESS else "",
        "error": f"{job.error.type}: {job.error.message}" if job.error else "",
        "at": job.error.at if job.error else "",
        "progress": progress(job.progress) if job.progress else "",
        "arguments": call(job),
        "attempt": f"{job.attempt} of {document.get('max_attempts', '?')}" if job.attempt else "",
        **{name: document.get(name) or "" for name in ("queue", "worker", "caller", "replay_of")},
        "labels": ", ".join(f"{name}={text}" for name, text in job.labels.items()),
        **{name: moment(datetime.fromisoformat(text)) if text else "" for name, text in times.items()},
        "ran": run_time(job),
        "traceback": job.error.traceback.rstrip() if job.error else "",
    }
    return [(name, text) for name, text in fields.items() if text]


def call(job: JobStatus) -> str:
    """The arguments in Python's notation of a call."""
    keywords = [f"{name}={strict_json.dumps(value)}" for name, value in job.kwargs.items()]
    return ", ".join([*map(strict_json.dumps, job.args), *keywords])


def bare(value: Any) -> str:
    """Text unchanged, any other value as JSON: the answer of ``/result`` in plain text."""
    return value if isinstance(value, str) else strict_json.pretty(value).decode().rstrip("\n")


def moment(at: datetime) -> str:
    """A time in UTC, to the second."""
    return f"{at:%Y-%m-%d %H:%M:%S}Z"


def age(at: datetime) -> str:
    """The time since then, in the largest unit that fits."""
    seconds = max(0, int((datetime.now(UTC) - at).total_seconds()))
    size, unit = next((unit for unit in ((86_400, "d"), (3600, "h"), (60, "m")) if seconds >= unit[0]), (1, "s"))
    return f"{seconds // size}{unit}"


def run_time(job: JobStatus) -> str:
    """How long the job ran; empty before it has ended."""
    seconds = job.seconds
    if seconds is None:
        return ""
    return f"{seconds * 1000:.0f} ms" if seconds < 1 else f"{seconds:.1f} s"


def shortened(text: str) -> str:
    """The beginning of a text, on one line."""
    line = " ".join(text.split())
    return line if len(line) <= LONGEST else f"{line[: LONGEST - 1]}…"
