"""Jobs and events as people read them."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from rich.text import Text

from ..client import JobEvent, JobStatus, State
from ..core import strict_json

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
"""Characters of a result in a table."""


def row(job: JobStatus) -> list[str | Text]:
    """A job as a row of a table."""
    return [job.uuid, job.task, state(job.state), age(job.created), ran(job), shortened(outcome(job))]


def state(name: str) -> Text:
    """A state in its colour, which a pipe does not get."""
    return Text(name, STYLES.get(name, ""))


def outcome(job: JobStatus) -> str:
    """What came of the job, or how far it is."""
    if job.state is State.SUCCESS:
        return bare(job.result)
    if job.error is not None:
        return f"{job.error.type}: {job.error.message}"
    return progress(job.progress) if job.progress and not job.final else ""


def progress(told: Mapping[str, Any]) -> str:
    """How far a task says that it is."""
    share = f"{told.get('current')}/{told['total']}" if told.get("total") else str(told.get("current", ""))
    return f"{share} {told.get('message') or ''}".strip()


def details(job: JobStatus) -> list[tuple[str, str | Text]]:
    """All of a job that a person may want to know, line by line; what is not there is left out."""
    document = job.document
    times = {name: document[name] for name in ("created", "eta", "expires", "published", "started", "finished")}
    lines: dict[str, str | Text] = {
        "uuid": job.uuid,
        "task": job.task,
        "state": state(job.state),
        "result": bare(job.result) if job.state is State.SUCCESS else "",
        "error": f"{job.error.type}: {job.error.message}" if job.error else "",
        "progress": progress(job.progress) if job.progress else "",
        "arguments": call(job),
        "attempt": f"{job.attempt} of {document['max_attempts']}" if job.attempt else "",
        **{name: document[name] or "" for name in ("queue", "worker", "caller", "replay_of")},
        "labels": ", ".join(f"{name}={text}" for name, text in job.labels.items()),
        **{name: moment(datetime.fromisoformat(told)) if told else "" for name, told in times.items()},
        "ran": ran(job),
        "traceback": job.error.traceback.rstrip() if job.error else "",
    }
    return [(name, told) for name, told in lines.items() if told]


def call(job: JobStatus) -> str:
    """The arguments as Python would write them."""
    named = [f"{name}={strict_json.dumps(told)}" for name, told in job.kwargs.items()]
    return ", ".join([*map(strict_json.dumps, job.args), *named])


def event(told: JobEvent) -> list[str | Text]:
    """An event as the cells of a line."""
    data = "  ".join(f"{name}={bare(one)}" for name, one in told.data.items())
    return [str(told.id), moment(told.at), told.job, state(told.kind), data]


def bare(told: Any) -> str:
    """Text as it is, anything else as JSON: what ``/result`` answers to a shell."""
    return told if isinstance(told, str) else strict_json.pretty(told).decode().rstrip("\n")


def moment(at: datetime) -> str:
    """A time in UTC, to the second."""
    return f"{at:%Y-%m-%d %H:%M:%S}Z"


def age(at: datetime) -> str:
    """How long ago it was, in the largest unit that fits."""
    seconds = max(0, int((datetime.now(UTC) - at).total_seconds()))
    size, unit = next((unit for unit in ((86_400, "d"), (3600, "h"), (60, "m")) if seconds >= unit[0]), (1, "s"))
    return f"{seconds // size}{unit}"


def ran(job: JobStatus) -> str:
    """How long it ran."""
    seconds = job.seconds
    if seconds is None:
        return ""
    return f"{seconds * 1000:.0f} ms" if seconds < 1 else f"{seconds:.1f} s"


def shortened(text: str) -> str:
    """The beginning of a text, on one line."""
    line = " ".join(text.split())
    return line if len(line) <= LONGEST else f"{line[: LONGEST - 1]}…"
