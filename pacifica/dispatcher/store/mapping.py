"""Conversion between rows and frozen values: no PeeWee instance leaves the store."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields
from operator import attrgetter
from typing import Any

from ..core import strict_json
from ..core.job import Event, Job, JobError, OutboxEntry, State

JOB_COLUMNS = [column.name for column in fields(Job) if column.name != "encoded"]
OUTBOX_COLUMNS = [column.name for column in fields(OutboxEntry)]
OTHER_JSON_COLUMNS = ("result", "headers", "labels", "progress")
JSON_COLUMNS = ("args", "kwargs", *OTHER_JSON_COLUMNS)
_JSON_PLACES = [place for place, column in enumerate(JOB_COLUMNS) if column in {*JSON_COLUMNS, "error"}]
_SHOWN_PLACES = {JOB_COLUMNS.index(column) for column in ("args", "kwargs", "result", "progress")}
LARGE = 100_000
"""A JSON text of more characters is large: reading it occupies the interpreter for a good part of a millisecond."""
_STATE, _CANCEL, _ERROR = (JOB_COLUMNS.index(column) for column in ("state", "cancel", "error"))
_values_of = attrgetter(*JOB_COLUMNS)


def job_to_row(job: Job) -> Mapping[str, Any]:
    """The row of a job, with JSON as text."""
    row = dict(zip(JOB_COLUMNS, _values_of(job), strict=True))
    if job.encoded is not None:
        row["args"], row["kwargs"] = job.encoded
    for column in JSON_COLUMNS if job.encoded is None else OTHER_JSON_COLUMNS:
        if row[column] is not None:
            row[column] = strict_json.dumps(row[column])
    row["state"], row["error"] = job.state.value, error_to_text(job.error)
    return row


def job_from_row(row: Sequence[Any], *, large_as_text: bool = False) -> Job:
    """The job of a row that was read with ``JOB_COLUMNS``.

    With ``large_as_text``, large arguments, results and progress are ``JsonText``.
    """
    values = list(row)
    for place in _JSON_PLACES:
        text = values[place]
        if large_as_text and place in _SHOWN_PLACES and text is not None and len(text) > LARGE:
            values[place] = strict_json.JsonText(text)
        elif text is not None:
            values[place] = strict_json.loads(text)
    values[_STATE], values[_CANCEL] = State(values[_STATE]), bool(values[_CANCEL])
    if values[_ERROR] is not None:
        values[_ERROR] = JobError(**values[_ERROR])
    return Job(*values)


def outbox_entry_from_row(row: Sequence[Any]) -> OutboxEntry:
    """The outbox entry of a row that was read with ``OUTBOX_COLUMNS``."""
    values = dict(zip(OUTBOX_COLUMNS, row, strict=True))
    return OutboxEntry(**values | {"headers": from_text(values["headers"])})


def event_from_row(row: Sequence[Any]) -> Event:
    """The event of a row with the columns id, job, at, kind and data."""
    return Event(row[0], row[1], row[2], row[3], from_text(row[4]) or {})


def error_to_text(error: JobError | None) -> str | None:
    """The JSON text of an error."""
    return None if error is None else strict_json.dumps(asdict(error))


def to_text(value: Any) -> str | None:
    """The JSON text of a value; ``None`` becomes NULL."""
    return None if value is None else strict_json.dumps(value)


def from_text(text: str | None) -> Any:
    """The value of a JSON text; NULL becomes ``None``."""
    return None if text is None else strict_json.loads(text)
