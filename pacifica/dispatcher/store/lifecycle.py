"""The changes of a job's state, from its claim to its end.

Each is one guarded UPDATE, with its event in the same transaction. If the guard does not hold, the report came too
late: the row stays unchanged, and an event records the report.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import peewee

from .. import orm
from ..core.job import Claim, JobError, State
from . import mapping, transitions
from .committed_event import CANCEL, DROPPED, LACKS_TASK, LATE, LOST, PROGRESS, CommittedEvent, OnEvent
from .database import Database
from .prepared import Prepared, PreparedRows, slot
from .transitions import CLAIMED, UpdateWithEvent

_J, _E = orm.Job, orm.Event
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
        state = select_columns(("state", "claim")).where(_J.uuid == slot("uuid"))
        # Locked, so that no purge deletes the job before its event is inserted.
        self._lock_state = Prepared(db, state if database.sqlite else state.for_update())
        by_token = (_J.uuid == slot("uuid"), transitions.BY_TOKEN)
        self._select_claim = Prepared(db, select_columns(CLAIMED).where(*by_token))
        self._claim = Prepared(db, transitions.claim(returning=not database.mysql))
        self._finish = Prepared(db, transitions.finish(transitions.BY_TOKEN))
        self._one_statement = database.postgresql
        if self._one_statement:
            attempt = "{head}::text || attempt || {tail}::text"
            self._claim_with_event = UpdateWithEvent(db, transitions.claim(returning=False), CLAIMED, attempt)
            self._finish_with_event = UpdateWithEvent(db, transitions.finish(transitions.BY_TOKEN), ["uuid"])
        self._finish_cancelled = Prepared(db, transitions.finish(transitions.BY_TOKEN & _J.cancel))
        self._finish_not_cancelled = Prepared(db, transitions.finish(transitions.BY_TOKEN & ~_J.cancel))
        self._finish_waiting = Prepared(db, transitions.finish(transitions.WAITING))
        self._retry = Prepared(db, transitions.retry())
        self._put_back = Prepared(db, transitions.put_back())
        self._ask_to_cancel = Prepared(db, transitions.ask_to_cancel())
        self._explain_wait = Prepared(db, transitions.explain_wait(delivered=not row_queue))
        self._report_progress = Prepared(db, transitions.report_progress())

    def claim(  # noqa: PLR0913 - each is a column of the row
        self, uuid: str, *, token: str, worker: str, holder: str, retries: int, at: int, again: bool = True
    ) -> Claim | None:
        """Claim a waiting job for its next attempt; ``None`` if it cannot be claimed.

        ``retries`` is the count in the delivered message: a message from before a retry claims nothing. ``again``:
        the same claim may have been granted before, and the answer lost.
        """
        values = {"uuid": uuid, "token": token, "worker": worker, "holder": holder, "retries": retries, "at": at}
        claim = self._claim_at_once(values) if self._one_statement else None
        if claim is None:
            claim = self._database.write(
                lambda _: self._claim_in_steps(values, again=again), durable=self._reports_durable
            )
        if claim is None:
            self._on_event(CommittedEvent(DROPPED, uuid, at, token, worker=worker))
        else:
            started = State.STARTED.value
            self._on_event(
                CommittedEvent(started, uuid, at, token, attempt=claim.attempt, worker=worker, ready=claim.ready)
            )
        return claim

    def succeed(self, uuid: str, *, token: str, result: Any, at: int, children: Sequence[Any] = ()) -> bool:
        """STARTED → SUCCESS; false if the token's claim is no longer the current one.

        ``children`` are the jobs that it dispatched, which its event keeps, as Celery's results in the form of JSON.
        """
        event = CommittedEvent(State.SUCCESS.value, uuid, at, token, reported=True)
        return self._end(
            self._finish, event, {"result": mapping.to_text(result), "error": None}, _with_children(children)
        )

    def fail(self, uuid: str, *, token: str, error: JobError, at: int, children: Sequence[Any] = ()) -> bool:
        """STARTED → FAILURE; false if the token's claim is no longer the current one; see ``succeed``."""
        event = CommittedEvent(State.FAILURE.value, uuid, at, token, reported=True, error=error)
        return self._end(self._finish, event, _without_result(error), error.summary() | _with_children(children))

    def revoke(self, uuid: str, *, reason: str, at: int) -> bool:
        """PENDING or RETRY → REVOKED; false if the job is not waiting any more."""
        event = CommittedEvent(State.REVOKED.value, uuid, at, reason=reason)
        values = revoked(reason)
        return self._end(self._finish_waiting, event, values, {"reason": reason}, record_late=False)

    def revoke_started(self, uuid: str, *, token: str, reason: str, at: int) -> bool:
        """STARTED → REVOKED, once the worker has stopped the job; false if the claim is no longer the current one."""
        event = CommittedEvent(State.REVOKED.value, uuid, at, token, reason=reason)
        return self._end(self._finish, event, revoked(reason), {"reason": reason})

    def ask_to_cancel(self, uuid: str, *, at: int) -> bool:
        """Ask the worker of a STARTED job to stop it; false if it is not STARTED, or is being cancelled already."""

        def change(_: peewee.Database) -> bool:
            accepted: bool = self._ask_to_cancel.run({"uuid": uuid}).rowcount == 1
            if accepted:
                self._record(uuid, at, CANCEL, {})
            return accepted

        accepted = self._database.write(change, durable=self._durable)
        if accepted:
            self._on_event(CommittedEvent(CANCEL, uuid, at))
        return accepted

    def lose(self, uuid: str, *, token: str, reason: str, at: int) -> str | None:
        """STARTED → PENDING, as the worker is gone: into the outbox for the next attempt.

        After the last attempt the job becomes FAILURE with ``WorkerLostError``, or REVOKED if it was to be cancelled.
        Returns the kind of the event; ``None`` if the token's claim is no longer the current one.
        """
        cancelled = (self._finish_cancelled, State.REVOKED.value, revoked("cancelled"))
        choices: tuple[tuple[Prepared, str, Mapping[str, Any]], ...] = (
            cancelled,
            (self._put_back, LOST, {}),
            (self._finish_not_cancelled, State.FAILURE.value, worker_lost(reason)),
            cancelled,  # The job may have been cancelled since the first statement.
        )

        def change(_: peewee.Database) -> str | None:
            for statement, kind, values in choices:
                if statement.run({**values, "state": kind, "uuid": uuid, "token": token, "at": at}).rowcount == 1:
                    self._record(uuid, at, kind, {"reason": reason})
                    if kind == LOST and self._row_queue:
                        self._database.notify()
                    return kind
            return None

        became = self._database.write(change, durable=self._reports_durable)
        if became is not None:
            self._on_event(CommittedEvent(became, uuid, at, token, reason=reason))
        return became

    def lacks_task(self, uuid: str, *, task: str, worker: str, retries: int, at: int) -> bool:
        """Record, once, that a waiting job waits for a worker that has its task; false if that is recorded already.

        ``retries`` is the count in the delivered message; a message from before a retry says nothing.
        """
        text = f"Worker {worker} has no task {task}. The job waits for a worker that has it."
        data = {"worker": worker, "task": task}
        error = mapping.error_to_text(JobError(LACKS_TASK_ERROR, text, arguments=[text]))

        values = {"uuid": uuid, "error": error, "known": LACKS_TASK_TEXT, "retries": retries, "at": at}

        def change(_: peewee.Database) -> bool:
            noted: bool = self._explain_wait.run(values).rowcount == 1
            if noted:
                self._record(uuid, at, LACKS_TASK, data)
            return noted

        noted = self._database.write(change, durable=self._reports_durable)
        if noted:
            self._on_event(CommittedEvent(LACKS_TASK, uuid, at, task=task, worker=worker, reason=text))
        return noted

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
        columns: Mapping[str, Any] | None = None,
    ) -> State | None:
        """STARTED → RETRY: back into the outbox, to be published at ``eta``; REVOKED if the job was to be cancelled.

        ``columns`` are new values of columns in ``transitions.CHANGED_BY_RETRY``.
        Returns the new state; ``None`` if the token's claim is no longer the current one.
        """
        event = CommittedEvent(State.REVOKED.value, uuid, at, token, reported=True, error=error)
        ending = revoked("cancelled")
        if self._end(self._finish_cancelled, event, ending, {"reason": "cancelled"}, record_late=False):
            return State.REVOKED
        changed = dict(columns or {})
        values = {
            **dict.fromkeys(transitions.CHANGED_BY_RETRY),
            **changed,
            "headers": mapping.to_text(changed.get("headers")),
            "eta": eta,
            "retries": retries,
            "args": mapping.to_text(args),
            "kwargs": mapping.to_text(kwargs),
            "error": mapping.error_to_text(error),
        }
        event = CommittedEvent(State.RETRY.value, uuid, at, token, reported=True, error=error)
        retried = self._end(self._retry, event, values, {**error.summary(), "eta": eta, "retries": retries})
        return State.RETRY if retried else None

    def _claim_at_once(self, values: Mapping[str, Any]) -> Claim | None:
        """Claim in one statement, as PostgreSQL can; ``None`` if the guard does not hold."""
        head, _, tail = (mapping.to_text({"attempt": 0, "worker": values["worker"]}) or "").partition("0")
        event = {
            "job": values["uuid"],
            "at": values["at"],
            "kind": State.STARTED.value,
            "head": head,  # The event's data; the statement inserts the attempt between its halves.
            "tail": tail,
        }
        row = self._database.write(lambda _: self._claim_with_event.run(values, event), one_statement=True)
        return None if row is None else _claimed(values, row)

    def _claim_in_steps(self, values: Mapping[str, Any], *, again: bool) -> Claim | None:
        """Claim inside the caller's transaction; a refused claim is an event."""
        row = None
        cursor = self._claim.run(values)
        if self._database.mysql:
            changed = cursor.rowcount == 1
        else:
            row = cursor.fetchone()
            changed = row is not None
        if row is None and (changed or again):
            row = self._select_claim.run(values).fetchone()
        uuid, at, worker = values["uuid"], values["at"], values["worker"]
        if row is None:
            if (found := self._lock_state.run(values).fetchone()) is not None:
                self._record(uuid, at, DROPPED, {"worker": worker, "state": found[0]})
            return None
        if changed:
            self._record(uuid, at, State.STARTED.value, {"attempt": row[0], "worker": worker})
        return _claimed(values, row)

    def _end(
        self,
        statement: Prepared,
        event: CommittedEvent,
        values: Mapping[str, Any],
        data: Mapping[str, Any],
        *,
        record_late: bool = True,
    ) -> bool:
        """Run a statement that ends an attempt or a waiting job, and record its event or the late report."""
        values = {**values, "state": event.kind, "uuid": event.job, "token": event.token, "at": event.at}
        ended = self._end_at_once(statement, values, data) or self._database.write(
            lambda _: self._end_in_steps(statement, values, data, record_late=record_late),
            durable=self._reports_durable,
        )
        if ended:
            self._on_event(event)
        elif record_late:
            self._on_event(CommittedEvent(LATE, event.job, event.at, event.token, event.reported))
        return ended

    def _end_at_once(self, statement: Prepared, values: Mapping[str, Any], data: Mapping[str, Any]) -> bool:
        """End an attempt in one statement, as PostgreSQL can; false if it cannot, or the guard does not hold."""
        if not self._one_statement or statement is not self._finish:
            return False
        text = mapping.to_text(data) if data else None
        event = {"job": values["uuid"], "at": values["at"], "kind": values["state"], "head": text}
        return (
            self._database.write(lambda _: self._finish_with_event.run(values, event), one_statement=True) is not None
        )

    def _end_in_steps(
        self, statement: Prepared, values: Mapping[str, Any], data: Mapping[str, Any], *, record_late: bool
    ) -> bool:
        uuid, at, state = values["uuid"], values["at"], values["state"]
        if statement.run(values).rowcount == 1:
            self._record(uuid, at, state, data)
            return True
        row = self._lock_state.run(values).fetchone()
        if row is not None and row[0] == state and row[1] == (values["token"] or ""):
            return True  # The same report again: the answer to the first one was lost.
        if row is not None and record_late:
            self._record(uuid, at, LATE, {**data, "report": state, "state": row[0]})
        return False

    def _record(self, uuid: str, at: int, kind: str, data: Mapping[str, Any]) -> None:
        self._insert_events.run(
            [{"job": uuid, "at": at, "kind": kind, "data": mapping.to_text(data) if data else None}]
        )


def _claimed(values: Mapping[str, Any], row: Sequence[Any]) -> Claim:
    """The claim of a row of the columns ``CLAIMED``."""
    attempt, args, kwargs, created, eta = row
    arguments = mapping.from_text(args), mapping.from_text(kwargs)
    return Claim(values["uuid"], values["token"], attempt, *arguments, eta or created, eta)


def select_columns(columns: Sequence[str]) -> "peewee.ModelSelect[orm.Job]":
    """A SELECT of these columns of the job table."""
    return _J.select(*(getattr(_J, column) for column in columns))


def _with_children(children: Sequence[Any]) -> dict[str, Any]:
    return {"children": list(children)} if children else {}


def _without_result(error: JobError) -> dict[str, Any]:
    return {"result": None, "error": mapping.error_to_text(error)}


def revoked(reason: str) -> dict[str, Any]:
    """The columns of a job that was revoked."""
    return _without_result(revocation(reason))


def revocation(reason: str) -> JobError:
    """The error of a job that was revoked."""
    return JobError("TaskRevokedError", reason, module=CELERY_ERRORS, arguments=[reason])


def worker_lost(reason: str) -> dict[str, Any]:
    """The columns of a job that was lost in its last attempt."""
    message = f"The job was lost in its last attempt: {reason.rstrip('.')}."
    return _without_result(JobError("WorkerLostError", message, module=CELERY_ERRORS))
