"""The changes of a job's state by others than the worker that has claimed it, and the progress of an attempt.

Each is one guarded UPDATE, with its event in the same transaction. If the guard does not hold, the row stays unchanged.
``work_queue`` has the claims and the reports of workers.
"""

from collections.abc import Mapping
from typing import Any

import peewee

from .. import orm
from ..core.job import JobError, State
from . import mapping, transitions
from .committed_event import CANCEL, LACKS_TASK, PROGRESS, CommittedEvent, OnEvent
from .database import Database
from .prepared import Prepared, PreparedRows

_E = orm.Event
CELERY_ERRORS = "celery.exceptions"
"""The module of the exceptions that Celery raises for these errors."""
LACKS_TASK_ERROR = "UnknownTask"
"""The type of the error of a job that waits because no worker has its task."""
LACKS_TASK_TEXT = f'{{"type":"{LACKS_TASK_ERROR}"%'
"""The pattern of the text of such an error."""


class JobLifecycle:
    """The part of ``JobStore`` that changes the state of jobs, and calls ``on_event`` after each commit."""

    def __init__(
        self, database: Database, *, durable: bool, reports_durable: bool, on_event: OnEvent, row_queue: bool
    ) -> None:
        self._database = database
        self._durable = durable
        self._reports_durable = reports_durable
        self._on_event = on_event
        self._row_queue = row_queue
        db = database.peewee
        self._insert_events = PreparedRows(db, _E, ("job", "at", "kind", "data"))
        self._end_waiting = Prepared(db, transitions.finish(transitions.WAITING))
        self._ask_to_cancel = Prepared(db, transitions.ask_to_cancel())
        self._explain_wait = Prepared(db, transitions.explain_wait(delivered=not row_queue))
        self._report_progress = Prepared(db, transitions.report_progress())

    def revoke(self, uuid: str, *, reason: str, at: int) -> bool:
        """PENDING or RETRY → REVOKED; false if the job is not waiting any more."""
        event = CommittedEvent(State.REVOKED.value, uuid, at, reason=reason)
        return self._change(self._end_waiting, event, revoked(reason), {"reason": reason})

    def ask_to_cancel(self, uuid: str, *, at: int) -> bool:
        """Ask the worker of a STARTED job to stop it; false if it is not STARTED, or is being cancelled already."""
        return self._change(self._ask_to_cancel, CommittedEvent(CANCEL, uuid, at), durable=self._durable)

    def lacks_task(self, uuid: str, *, task: str, worker: str, retries: int, at: int) -> bool:
        """Record, once, that a waiting job waits for a worker that has its task; false if that is recorded already.

        ``retries`` is the count in the delivered message; a message from before a retry says nothing.
        """
        text = f"Worker {worker} has no task {task}. The job waits for a worker that has it."
        error = mapping.error_to_text(JobError(LACKS_TASK_ERROR, text, arguments=[text]))
        event = CommittedEvent(LACKS_TASK, uuid, at, task=task, worker=worker, reason=text)
        values = {"error": error, "known": LACKS_TASK_TEXT, "retries": retries}
        return self._change(self._explain_wait, event, values, {"worker": worker, "task": task})

    def report_progress(self, uuid: str, *, token: str, progress: Mapping[str, Any], at: int) -> bool:
        """Replace the progress of a running attempt; false if the token's claim is no longer the current one."""
        values = {"uuid": uuid, "token": token, "progress": mapping.to_text(progress)}
        earlier = _E.delete().where(_E.job == uuid, _E.kind == PROGRESS)

        def change(db: peewee.Database) -> bool:
            current: bool = self._report_progress.run(values).rowcount == 1
            if current:
                earlier.execute(db)
                self._record(uuid, at, PROGRESS, progress)
            return current

        return self._database.write(change, durable=self._reports_durable)

    def _change(
        self,
        statement: Prepared,
        event: CommittedEvent,
        values: Mapping[str, Any] = {},
        data: Mapping[str, Any] = {},
        *,
        durable: bool | None = None,
    ) -> bool:
        """Change a row, and record the event with its data; false if the guard of the statement does not hold."""
        given = {**values, "state": event.kind, "uuid": event.job, "token": event.token, "at": event.at}

        def change(_: peewee.Database) -> bool:
            changed: bool = statement.run(given).rowcount == 1
            if changed:
                self._record(event.job, event.at, event.kind, data)
            return changed

        changed = self._database.write(change, durable=self._reports_durable if durable is None else durable)
        if changed:
            self._on_event(event)
        return changed

    def _record(self, uuid: str, at: int, kind: str, data: Mapping[str, Any]) -> None:
        self._insert_events.run(
            [{"job": uuid, "at": at, "kind": kind, "data": mapping.to_text(data) if data else None}]
        )


def revoked(reason: str) -> dict[str, Any]:
    """The columns of a job that was revoked."""
    return {"result": None, "error": mapping.error_to_text(revocation(reason))}


def revocation(reason: str) -> JobError:
    """The error of a job that was revoked."""
    return JobError("TaskRevokedError", reason, module=CELERY_ERRORS, arguments=[reason])
