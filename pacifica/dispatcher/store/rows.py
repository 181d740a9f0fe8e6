"""Between rows and frozen values: no PeeWee instance leaves the record layer."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields
from typing import Any

from .. import jsontext
from ..job import Event, Job, JobError, Outgoing, State

JOB_COLUMNS = [column.name for column in fields(Job)]
OUTGOING_COLUMNS = [column.name for column in fields(Outgoing)]
JSON_COLUMNS = frozenset({"args", "kwargs", "result", "headers", "labels", "progress"})


def job_to_row(job: Job) -> Mapping[str, Any]:
    """The columns of a job, with JSON as text."""
    row = {column: getattr(job, column) for column in JOB_COLUMNS}
    row |= {column: to_text(row[column]) for column in JSON_COLUMNS}
    return row | {"state": job.state.value, "error": error_to_text(job.error)}


def job_from_row(row: Sequence[Any]) -> Job:
    """The job of a row that was read with ``JOB_COLUMNS``."""
    values = dict(zip(JOB_COLUMNS, row, strict=True))
    values |= {column: from_text(values[column]) for column in JSON_COLUMNS}
    values |= {"state": State(values["state"]), "cancel": bool(values["cancel"])}
    return Job(**values | {"error": _error_from_text(values["error"])})


def outgoing_from_row(row: Sequence[Any]) -> Outgoing:
    """The outbox entry of a row that was read with ``OUTGOING_COLUMNS``."""
    values = dict(zip(OUTGOING_COLUMNS, row, strict=True))
    return Outgoing(**values | {"headers": from_text(values["headers"])})


def event_from_row(row: Sequence[Any]) -> Event:
    """The event of a row read as id, job, at, kind, data."""
    return Event(row[0], row[1], row[2], row[3], from_text(row[4]) or {})


def error_to_text(error: JobError | None) -> str | None:
    """The JSON text of an error."""
    return None if error is None else jsontext.dumps(asdict(error))


def _error_from_text(text: str | None) -> JobError | None:
    return None if text is None else JobError(**jsontext.loads(text))


def to_text(value: Any) -> str | None:
    """The JSON text of a value; ``None`` stays NULL."""
    return None if value is None else jsontext.dumps(value)


def from_text(text: str | None) -> Any:
    """The value of a JSON text; NULL is ``None``."""
    return None if text is None else jsontext.loads(text)
