"""The store that tells the log of each move that this process makes: one line, once the move is committed.

What a line does not know of its job it has from the thread's context (``logcontext``), as in a worker's
child, or, for the rare moves that others make for a job, from its row.
"""

import logging
import time
from collections.abc import Mapping, Sequence
from typing import Any

from ..core.errors import DatabaseUnavailable
from ..core.job import Claim, Job, JobError, OutboxEntry, State
from ..logs import log_context
from ..logs.formatters import FIELDS
from ..store.idempotency import Key
from ..store.jobs import JobStore
from ..store.outbox import Outbox

logger = logging.getLogger("pacifica.dispatcher.jobs")

REQUEST = "request_id"
"""The header of a job's message that names the request which made the job."""
LEVELS = {"failed": logging.ERROR, "lost": logging.WARNING, "late": logging.WARNING}
EVENTS: Mapping[str, str] = {
    "dispatched": "its row is committed",
    "sent": "the broker has its message",
    "started": "a worker begins an attempt",
    "succeeded": "it has a result",
    "failed": "it has ended with an error",
    "retried": "its task asked to be run again, later",
    "revoked": "it was cancelled, or has expired",
    "cancelling": "it runs, and its worker is to stop it",
    "lost": "its worker is gone, and it waits for another one",
    "dropped": "a message came for a job that does not wait to be run: a duplicate, or one that was cancelled",
    "late": "a worker reported after the job had been given to another, or had ended; the report does not count",
}
"""The moves that are told, each with its meaning."""
_BECAME = {"FAILURE": "failed", "REVOKED": "revoked", "LOST": "lost", "RETRY": "retried"}


def tell(event: str, **fields: Any) -> None:
    """Write a job's line; ``None`` is no value."""
    level = LEVELS.get(event, logging.INFO)
    if logger.isEnabledFor(level):
        told = {key: value for key, value in fields.items() if value is not None}
        logger.log(level, "job %s", event, extra={FIELDS: {"event": event, **told}})


class ToldJobs(JobStore):
    """``JobStore``, with a line for each move."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._began: dict[str, float] = {}

    def add(self, jobs: Sequence[Job], key: Key | None = None) -> str | None:
        """As ``JobStore``."""
        earlier = super().add(jobs, key)
        if len(jobs) == 1 and "job" not in log_context.current():  # Of a request, and not of a running job.
            log_context.note(job=earlier or jobs[0].uuid, task=jobs[0].task)
        if earlier is None:
            for job in jobs:
                _tell_of(job, "dispatched")
        return earlier

    def add_many(self, jobs: Sequence[Job], keys: Sequence[Key | None], whole: Key | None = None) -> list[str]:
        """As ``JobStore``."""
        stored = super().add_many(jobs, keys, whole)
        for job, uuid in zip(jobs, stored, strict=True):
            if job.uuid == uuid:
                _tell_of(job, "dispatched")
        return stored

    def claim(self, uuid: str, *, token: str, worker: str, **options: Any) -> Claim | None:
        """As ``JobStore``."""
        claim = super().claim(uuid, token=token, worker=worker, **options)
        if claim is None:
            tell("dropped", job=uuid, worker=worker)
            return None
        self._began[token] = time.monotonic()
        log_context.note(attempt=claim.attempt, worker=worker)
        waited = max(0, options["at"] - claim.ready) / 1000 if claim.attempt == 1 else None
        tell("started", job=uuid, attempt=claim.attempt, worker=worker, waited=waited)
        return claim

    def succeed(self, uuid: str, *, token: str, result: Any, at: int) -> bool:
        """As ``JobStore``."""
        return self._reported(super().succeed(uuid, token=token, result=result, at=at), "succeeded", uuid, token)

    def fail(self, uuid: str, *, token: str, error: JobError, at: int) -> bool:
        """As ``JobStore``."""
        told = {"error": error.type, "reason": error.message[:1000], "exception": error.traceback or None}
        return self._reported(super().fail(uuid, token=token, error=error, at=at), "failed", uuid, token, **told)

    def retry(  # noqa: PLR0913 - each is a column of the row
        self,
        uuid: str,
        *,
        token: str,
        eta: int,
        retries: int,
        args: Sequence[Any],
        kwargs: Mapping[str, Any],
        error: JobError,
        at: int,
    ) -> State | None:
        """As ``JobStore``."""
        asked: dict[str, Any] = {"eta": eta, "retries": retries, "args": args, "kwargs": kwargs}
        became = super().retry(uuid, token=token, error=error, at=at, **asked)
        told = {"error": error.type, "reason": error.message[:1000]}
        self._reported(became is not None, _BECAME.get(became or "", ""), uuid, token, **told)
        return became

    def revoke(self, uuid: str, *, reason: str, at: int) -> bool:
        """As ``JobStore``."""
        return self._moved(super().revoke(uuid, reason=reason, at=at), "revoked", uuid, reason)

    def revoke_started(self, uuid: str, *, token: str, reason: str, at: int) -> bool:
        """As ``JobStore``."""
        moved = super().revoke_started(uuid, token=token, reason=reason, at=at)
        return self._moved(moved, "revoked", uuid, reason)

    def ask_to_cancel(self, uuid: str, *, at: int) -> bool:
        """As ``JobStore``."""
        return self._moved(super().ask_to_cancel(uuid, at=at), "cancelling", uuid)

    def lose(self, uuid: str, *, token: str, reason: str, at: int) -> str | None:
        """As ``JobStore``."""
        became = super().lose(uuid, token=token, reason=reason, at=at)
        self._moved(bool(became), _BECAME.get(became or "", ""), uuid, reason)
        return became

    def _reported(self, counts: bool, event: str, uuid: str, token: str, **fields: Any) -> bool:  # noqa: FBT001
        """A report of the process that runs the job, or of the one that speaks for it and never claimed it."""
        began = self._began.pop(token, None)
        ms = None if began is None else _milliseconds(time.monotonic() - began)
        if not counts:
            tell("late", job=uuid, ms=ms)
        elif began is None and not log_context.current():
            self._moved(counts, event, uuid, **fields)
        else:
            tell(event, job=uuid, ms=ms, **fields)
        return counts

    def _moved(self, moved: bool, event: str, uuid: str, reason: str | None = None, **fields: Any) -> bool:  # noqa: FBT001
        """A move that is rare, or made by a process that knows no more of the job than its UUID."""
        if moved and logger.isEnabledFor(LEVELS.get(event, logging.INFO)):  # The row is read for its line alone.
            try:
                job = self.get(uuid)
            except DatabaseUnavailable:
                job = None
            if job is None:
                tell(event, job=uuid, reason=reason, **fields)
            else:
                about = {"attempt": job.attempt or None, "worker": job.worker, "reason": reason}
                _tell_of(job, event, **{**about, **fields})
        return moved


class ToldOutbox(Outbox):
    """``Outbox``, with a line for each job that was sent."""

    def mark_published(self, sent: Sequence[OutboxEntry], *, at: int) -> None:
        """As ``Outbox``."""
        super().mark_published(sent, at=at)
        for job in sent:
            tell("sent", job=job.uuid, task=job.task, queue=job.queue, request=(job.headers or {}).get(REQUEST))


def _tell_of(job: Job, event: str, **fields: Any) -> None:
    request = log_context.current().get("request") or (job.headers or {}).get(REQUEST)
    tell(event, job=job.uuid, task=job.task, caller=job.caller or None, request=request, **fields)


def _milliseconds(seconds: float) -> float:
    return round(seconds * 1000, 3)
