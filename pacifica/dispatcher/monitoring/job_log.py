"""One log line for each committed change of a job, in the process that made it.

Fields that an event lacks come from the log context of the thread, as in a worker's child process, or from the job's
row, as for a cancellation by the web server.
"""

import logging
import time
from collections.abc import Callable, Mapping
from typing import Any

from ..core.errors import DatabaseUnavailable
from ..core.job import Job, State
from ..logs import log_context
from ..logs.line_handler import log_fields
from ..store.committed_event import (
    CANCEL,
    DROPPED,
    LACKS_TASK,
    LATE,
    LOST,
    PROGRESS,
    REPLACED,
    RESULT_AS_TEXT,
    SENT,
    CommittedEvent,
)

logger = logging.getLogger("pacifica.dispatcher.jobs")

REQUEST = "request_id"
"""The header of a job's message with the id of the request that dispatched the job."""
MOST_STARTED = 10_000
"""The most attempts whose fields a process keeps until they end."""
LEVELS = {
    "failed": logging.ERROR,
    "lost": logging.WARNING,
    "late": logging.WARNING,
    "taskless": logging.ERROR,
    "text": logging.WARNING,
}
EVENTS: Mapping[str, str] = {
    "dispatched": "its row is committed",
    "sent": "the broker has its message",
    "started": "a worker begins an attempt",
    "succeeded": "it has a result",
    "failed": "it has ended with an error",
    "retried": "its task asked to be run again, later",
    "replaced": "its task replaced itself by another one, which takes over the job",
    "revoked": "it was cancelled, or has expired",
    "cancelling": "it runs, and its worker is to stop it",
    "lost": "its worker is gone, and it waits for another one",
    "dropped": "a message came for a job that does not wait to be run: a duplicate, or one that was cancelled",
    "text": "its result is no JSON, or too large, and only its text was stored",
    "taskless": "a worker that has no such task received it; it waits for a worker that has one",
    "late": "a worker reported after the job had been given to another, or had ended; the report does not count",
}
"""The values of the key ``event``, each with its meaning."""
_NAMES: Mapping[str, str] = {
    State.PENDING: "dispatched",
    SENT: "sent",
    State.STARTED: "started",
    State.SUCCESS: "succeeded",
    State.FAILURE: "failed",
    State.RETRY: "retried",
    State.REVOKED: "revoked",
    REPLACED: "replaced",
    CANCEL: "cancelling",
    LOST: "lost",
    DROPPED: "dropped",
    LACKS_TASK: "taskless",
    LATE: "late",
    RESULT_AS_TEXT: "text",
}
"""The event name in the log for each kind of event in the store; other kinds are not logged."""
_COMPLETE = frozenset({State.PENDING, SENT, State.STARTED, DROPPED, LACKS_TASK, LATE})
"""The kinds whose events need no row."""


class JobLog:
    """The ``on_event`` of the stores; ``read_job`` reads a row."""

    def __init__(self, read_job: Callable[[str], Job | None]) -> None:
        self._read_job = read_job
        self._started: dict[tuple[str, str], tuple[float, Mapping[str, Any]]] = {}

    def __call__(self, event: CommittedEvent) -> None:
        """Write the event's line."""
        ms, attempt = self._attempt(event)
        name = _NAMES.get(event.kind)
        if name is None or (event.kind == LATE and not event.reported):
            return
        level = LEVELS.get(name, logging.INFO)
        if logger.isEnabledFor(level):  # Before the row is read.
            fields = {"event": name, "job": event.job, "ms": ms, **self._fields(event, known=ms is not None)}
            given = {**attempt, **{key: value for key, value in fields.items() if value is not None}}
            log_fields(logger, level, "job %s", (name,), given)

    def _attempt(self, event: CommittedEvent) -> tuple[float | None, Mapping[str, Any]]:
        """The run time and the fields of the attempt that ends, if this process has claimed it."""
        if not event.token or event.kind in {PROGRESS, RESULT_AS_TEXT}:
            return None, {}
        if event.kind == State.STARTED:
            about = _event_fields(event._replace(ready=None))
            about = {key: value for key, value in about.items() if value is not None}
            self._started[event.job, event.token] = time.monotonic(), about
            if len(self._started) > MOST_STARTED:  # Another process has reported the oldest.
                self._started.pop(next(iter(self._started)), None)
            log_context.note(attempt=event.attempt, worker=event.worker)
            return None, {}
        known = self._started.pop((event.job, event.token), None)
        return (None, {}) if known is None else (round((time.monotonic() - known[0]) * 1000, 3), known[1])

    def _fields(self, event: CommittedEvent, *, known: bool) -> dict[str, Any]:
        in_attempt = known or (event.reported and bool(log_context.current()))
        if event.kind not in _COMPLETE and not in_attempt:
            return {**self._row_fields(event.job), **_error_fields(event)}
        return {**_event_fields(event), **_error_fields(event)}

    def _row_fields(self, uuid: str) -> dict[str, Any]:
        try:
            job = self._read_job(uuid)
        except DatabaseUnavailable:
            job = None
        if job is None:
            return {}
        about = {"task": job.task, "caller": job.caller or None, "request": _request(job.headers)}
        return {**about, "attempt": job.attempt or None, "worker": job.worker}


def _event_fields(event: CommittedEvent) -> dict[str, Any]:
    first = event.ready is not None and event.attempt == 1
    return {
        "task": event.task,
        "queue": event.queue,
        "caller": event.caller or None,
        "request": _request(event.headers) if event.task else None,
        "attempt": event.attempt,
        "worker": event.worker,
        "waited": max(0, event.at - (event.ready or 0)) / 1000 if first else None,
    }


def _error_fields(event: CommittedEvent) -> dict[str, Any]:
    error = event.error
    if error is None:
        return {"reason": event.reason}
    traceback = error.traceback if event.kind == State.FAILURE else None
    return {"error": error.type, "reason": error.message[:1000], "exception": traceback or None}


def _request(headers: Mapping[str, Any] | None) -> Any:
    return log_context.current().get("request") or (headers or {}).get(REQUEST)
