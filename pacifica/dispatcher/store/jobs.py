"""The job rows: how they come to be, how they move, how they are read.

Every move is one guarded UPDATE, with its event in the same transaction. Where the guard does not
hold, the report came too late: the row stays as it is and an event says so.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import peewee

from .. import orm
from ..core.job import Claim, Event, Job, JobError, State
from ..core.job_filter import JobFilter, PageCursor
from ..core.permissions import EVERY_JOB, Visibility
from . import mapping, search, tombstones, transitions
from .database import Database
from .group_commit import Together
from .idempotency import Key, Keys, forget_keys
from .prepared import Prepared, PreparedRows, insert, slot
from .told import ToldMove

_J, _E, _L = orm.Job, orm.Event, orm.Label
TOGETHER = 64
"""Dispatches of several threads that share a commit, at most."""
SURVEYED = 1000
"""Rows of each index that a survey looks at, about."""
LOST = "LOST"
"""The kind of the event of a job that was put back, as its worker was gone."""
PROGRESS = "PROGRESS"
"""The kind of the event of a job that tells how far it is."""

_New = tuple[Job, Mapping[str, Any]]
"""A job to be stored, and its row."""


class JobStore:
    """The jobs of one database.

    Raises ``DatabaseUnavailable`` when the database cannot be read or written now. Reads see what
    is committed; writes are committed when they return, and may be asked for again when the answer
    was lost on its way. ``durable`` and ``reports_durable`` say whether a commit waits for the disk
    on SQLite: for accepted jobs, and for workers' reports.
    """

    def __init__(self, database: Database, *, durable: bool = True, reports_durable: bool = False) -> None:
        self._database = database
        self._durable = durable
        self._reports_durable = reports_durable
        self._keys = Keys()
        db = database.peewee
        self._insert_jobs = PreparedRows(db, _J, mapping.JOB_COLUMNS)
        self._insert_labels = PreparedRows(db, _L, ("job", "name", "value", "created"))
        self._insert_events = PreparedRows(db, _E, ("job", "at", "kind", "data"))
        self._insert_event = Prepared(db, insert(_E, ("job", "at", "kind", "data")))
        self._together = Together(self._add_now, TOGETHER, database.longest_turn)
        self._select_job = Prepared(db, _select(mapping.JOB_COLUMNS).where(_J.uuid == slot("uuid")))
        state = _select(("state", "claim")).where(_J.uuid == slot("uuid"))
        # Held, so that no purge comes between the look and the event that it leads to.
        self._lock_state = Prepared(db, state if database.sqlite else state.for_update())
        self._select_claim = Prepared(db, _select(CLAIMED).where(_J.uuid == slot("uuid"), transitions.BY_TOKEN))
        self._claim = Prepared(db, transitions.claim(returning=not database.mysql))
        self._finish = Prepared(db, transitions.finish(transitions.BY_TOKEN))
        self._tells = database.postgresql
        if self._tells:
            attempt = "{head}::text || attempt || {tail}::text"
            self._claim_told = ToldMove(db, transitions.claim(returning=False), CLAIMED, attempt)
            self._finish_told = ToldMove(db, transitions.finish(transitions.BY_TOKEN), ["uuid"])
        self._finish_cancelled = Prepared(db, transitions.finish(transitions.BY_TOKEN & _J.cancel))
        self._finish_wanted = Prepared(db, transitions.finish(transitions.BY_TOKEN & ~_J.cancel))
        self._finish_waiting = Prepared(db, transitions.finish(transitions.WAITING))
        self._retry = Prepared(db, transitions.retry())
        self._put_back = Prepared(db, transitions.put_back())
        self._ask_to_cancel = Prepared(db, transitions.ask_to_cancel())
        self._report_progress = Prepared(db, transitions.report_progress())

    def add(self, jobs: Sequence[Job], key: Key | None = None) -> str | None:
        """Store new jobs and their first events in one commit; all of them or none.

        With ``key``, which goes with one job: when the key stands for another job already, nothing is
        stored and that job's UUID is the answer. Raises ``KeyReused`` when it stands for another request.
        A single job that is there already is the answer, too: a workflow's step, asked for again as the
        step before it was run again.
        """
        try:
            if key is not None:
                found = self.add_many(jobs, [key])[0]
                return None if found == jobs[0].uuid else found
            self._together([(job, mapping.job_to_row(job)) for job in jobs])
        except peewee.IntegrityError:
            there = self.get(jobs[0].uuid) if len(jobs) == 1 else None
            if there is None or there.task != jobs[0].task:
                raise
            return there.uuid
        return None

    def add_many(self, jobs: Sequence[Job], keys: Sequence[Key | None], whole: Key | None = None) -> list[str]:
        """Store new jobs in one commit, each with its key; for each the UUID of the job that its key stands for.

        ``whole`` is the key of the request that asks for all of them, and more. Raises ``KeyReused``, and then
        nothing was stored.
        """
        values = [mapping.job_to_row(job) for job in jobs]

        def change(db: peewee.Database) -> list[str]:
            if whole is not None:
                self._keys.take(db, whole, jobs[0])
            pairs = zip(jobs, keys, strict=True)
            earlier = [None if key is None else self._keys.take(db, key, job) for job, key in pairs]
            self._insert([(job, row) for job, row, found in zip(jobs, values, earlier, strict=True) if found is None])
            return [found or job.uuid for job, found in zip(jobs, earlier, strict=True)]

        return self._database.write(change, durable=self._durable)

    def _add_now(self, asked: Sequence[Sequence[_New]]) -> None:
        new = [one for several in asked for one in several]
        self._database.write(lambda _: self._insert(new), durable=self._durable)

    def _insert(self, new: Sequence[_New]) -> None:
        self._insert_jobs.run([row for _, row in new])
        self._insert_labels.run(
            [
                {"job": job.uuid, "name": name, "value": value, "created": job.created}
                for job, _ in new
                for name, value in (job.labels or {}).items()
            ]
        )
        self._insert_events.run(
            [{"job": job.uuid, "at": job.created, "kind": State.PENDING.value, "data": None} for job, _ in new]
        )

    def get(self, uuid: str) -> Job | None:
        """The job as it stands now."""
        row = self._database.read(lambda _: self._select_job.run({"uuid": uuid}).fetchone())
        return None if row is None else mapping.job_from_row(row)

    def was_purged(self, uuid: str) -> bool:
        """Whether there was such a job, as far as that is remembered."""
        return tombstones.is_there(self._database, uuid)

    def search(
        self, filters: JobFilter, after: PageCursor | None, limit: int, visibility: Visibility = EVERY_JOB
    ) -> list[Job]:
        """At most ``limit`` visible jobs after ``after``, newest first."""
        return search.page(self._database, filters, after, limit, visibility)

    def events(self, uuid: str) -> list[Event]:
        """A job's history, oldest first."""
        query = _E.select(_E.id, _E.job, _E.at, _E.kind, _E.data).where(_E.job == uuid).order_by(_E.id)
        found: Iterable[Sequence[Any]] = self._database.read(lambda db: list(query.tuples().execute(db)))
        return [mapping.event_from_row(row) for row in found]

    def forget_keys(self, before: int, limit: int) -> int:
        """Delete at most ``limit`` idempotency keys that were taken ``before`` then; how many there were."""
        return forget_keys(self._database, before, limit)

    def expired(self, *, at: int, limit: int) -> list[str]:
        """Waiting jobs that are not worth starting any more, at most ``limit``."""
        # Among a million jobs, SQLite would take the index by state for as good, and read all that wait.
        table = peewee.SQL("job AS t1 INDEXED BY job_expires") if self._database.sqlite else _J
        query = _J.select(_J.uuid).from_(table).where(orm.WAITING_STATES, _J.expires <= at).limit(limit)
        return [row[0] for row in self._database.read(lambda db: list(query.tuples().execute(db)))]

    def survey(self) -> None:
        """Have SQLite learn how many jobs there are of each kind; the servers learn it by themselves.

        Without that it takes any index that fits for the best: of the many jobs that wait, say, it would read all to
        find the few that have expired. It looks at some rows only. Source: https://www.sqlite.org/lang_analyze.html
        """
        if self._database.sqlite:

            def change(db: peewee.Database) -> None:
                db.execute_sql(f"PRAGMA analysis_limit = {SURVEYED}")
                db.execute_sql(f"ANALYZE {_J._meta.table_name}")

            self._database.write(change)

    def claim(  # noqa: PLR0913 - each is a column of the row
        self, uuid: str, *, token: str, worker: str, holder: str, retries: int, at: int, again: bool = True
    ) -> Claim | None:
        """The right to run a waiting job as its next attempt; ``None`` when there is none to be had.

        ``retries`` is the delivered message's own count: a message from before a retry claims nothing. ``again``:
        whoever asks may have been granted this very claim already, and not have heard of it.
        """
        values = {"uuid": uuid, "token": token, "worker": worker, "holder": holder, "retries": retries, "at": at}
        if self._tells:
            data = mapping.to_text({"attempt": 0, "worker": worker}) or ""
            head, _, tail = data.partition("0")
            event = {"job": uuid, "at": at, "kind": State.STARTED.value, "head": head, "tail": tail}
            row = self._database.write(lambda _: self._claim_told.run(values, event), alone=True)
            if row is not None:
                return _claimed(uuid, token, row)

        def change(_: peewee.Database) -> Claim | None:
            cursor = self._claim.run(values)
            moved = cursor.rowcount == 1 if self._database.mysql else (row := cursor.fetchone()) is not None
            if self._database.mysql or not moved:
                row = None if not moved and not again else self._select_claim.run(values).fetchone()
            if row is None:
                self._record_late(uuid, at, "DROPPED", {"worker": worker})
                return None
            if moved:
                self._record(uuid, at, State.STARTED.value, {"attempt": row[0], "worker": worker})
            return _claimed(uuid, token, row)

        return self._database.write(change, durable=self._reports_durable)

    def succeed(self, uuid: str, *, token: str, result: Any, at: int) -> bool:
        """STARTED → SUCCESS; false when the claim of that token is not the current one any more."""
        values = {"state": State.SUCCESS.value, "result": mapping.to_text(result), "error": None, "token": token}
        return self._end(self._finish, uuid, at, values, {})

    def fail(self, uuid: str, *, token: str, error: JobError, at: int) -> bool:
        """STARTED → FAILURE; false when the claim of that token is not the current one any more."""
        return self._end(self._finish, uuid, at, _ending(State.FAILURE, error) | {"token": token}, _told(error))

    def revoke(self, uuid: str, *, reason: str, at: int) -> bool:
        """PENDING or RETRY → REVOKED; false when the job is past that."""
        return self._end(
            self._finish_waiting, uuid, at, _ending(State.REVOKED, _revoked(reason)), {"reason": reason}, late=False
        )

    def revoke_started(self, uuid: str, *, token: str, reason: str, at: int) -> bool:
        """STARTED → REVOKED, said by the worker that has stopped it; false when that claim is not the current one."""
        values = _ending(State.REVOKED, _revoked(reason)) | {"token": token}
        return self._end(self._finish, uuid, at, values, {"reason": reason})

    def ask_to_cancel(self, uuid: str, *, at: int) -> bool:
        """Have the worker of a STARTED job stop it; false when it is not STARTED, or was asked before."""

        def change(_: peewee.Database) -> bool:
            asked: bool = self._ask_to_cancel.run({"uuid": uuid}).rowcount == 1
            if asked:
                self._record(uuid, at, "CANCEL", {})
            return asked

        return self._database.write(change, durable=self._durable)

    def lose(self, uuid: str, *, token: str, reason: str, at: int) -> str | None:
        """STARTED → PENDING, as its worker is gone: into the outbox for the next attempt.

        After the last attempt it is FAILURE with ``WorkerLostError``, and REVOKED when it was to be
        cancelled. The answer is the kind of its event; ``None`` when that claim is not the current one any more.
        """
        error = JobError("WorkerLostError", f"The job was lost in its last attempt: {reason}.", module=LOST_MODULE)
        ends: tuple[tuple[Prepared, Mapping[str, Any]], ...] = (
            (self._finish_cancelled, cancelled := _ending(State.REVOKED, _revoked("cancelled"))),
            (self._put_back, {"state": LOST}),
            (self._finish_wanted, _ending(State.FAILURE, error)),
            (self._finish_cancelled, cancelled),  # Somebody asked for that since the first was tried.
        )

        def change(_: peewee.Database) -> str | None:
            for statement, values in ends:
                if statement.run({**values, "uuid": uuid, "token": token, "at": at}).rowcount == 1:
                    self._record(uuid, at, values["state"], {"reason": reason})
                    return str(values["state"])
            return None

        return self._database.write(change, durable=self._reports_durable)

    def report_progress(self, uuid: str, *, token: str, progress: Mapping[str, Any], at: int) -> bool:
        """Keep what a running attempt says of itself, in place of what it said before; false when it is not current."""
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
    ) -> State | None:
        """STARTED → RETRY: back into the outbox, to be published at ``eta``; REVOKED when it was to be cancelled.

        The answer is the state that it moved to; ``None`` when the claim of that token is not the current one any more.
        """
        values = {
            "state": State.RETRY.value,
            "token": token,
            "eta": eta,
            "retries": retries,
            "args": mapping.to_text(args),
            "kwargs": mapping.to_text(kwargs),
            "error": mapping.error_to_text(error),
        }
        stopped = _ending(State.REVOKED, _revoked("cancelled")) | {"token": token}
        if self._end(self._finish_cancelled, uuid, at, stopped, {"reason": "cancelled"}, late=False):
            return State.REVOKED
        moved = self._end(self._retry, uuid, at, values, {**_told(error), "eta": eta, "retries": retries})
        return State.RETRY if moved else None

    def _end(  # noqa: PLR0913, PLR0917 - what the statement, the event and the guard each need
        self,
        statement: Prepared,
        uuid: str,
        at: int,
        values: Mapping[str, Any],
        data: Mapping[str, Any],
        late: bool = True,  # noqa: FBT001, FBT002
    ) -> bool:
        filled = {**values, "uuid": uuid, "at": at}
        if self._tells and statement is self._finish:
            told = mapping.to_text(data) if data else None
            event = {"job": uuid, "at": at, "kind": values["state"], "head": told}
            if self._database.write(lambda _: self._finish_told.run(filled, event), alone=True) is not None:
                return True

        def change(_: peewee.Database) -> bool:
            if statement.run(filled).rowcount == 1:
                self._record(uuid, at, values["state"], data)
                return True
            row = self._lock_state.run(filled).fetchone()
            if row is not None and row[0] == values["state"] and row[1] == values.get("token", ""):
                return True  # The same report again: the answer to the first was lost on its way.
            if row is not None and late:
                self._record(uuid, at, "LATE", {**data, "report": values["state"], "state": row[0]})
            return False

        return self._database.write(change, durable=self._reports_durable)

    def _record(self, uuid: str, at: int, kind: str, data: Mapping[str, Any]) -> None:
        self._insert_event.run({"job": uuid, "at": at, "kind": kind, "data": mapping.to_text(data) if data else None})

    def _record_late(self, uuid: str, at: int, kind: str, data: Mapping[str, Any]) -> None:
        """Keep what came too late, if there is such a job at all."""
        row = self._lock_state.run({"uuid": uuid}).fetchone()
        if row is not None:
            self._record(uuid, at, kind, {**data, "state": row[0]})


LOST_MODULE = "celery.exceptions"
CLAIMED = ["attempt", "args", "kwargs", "created", "eta"]


def _claimed(uuid: str, token: str, row: Sequence[Any]) -> Claim:
    """The claim of a row of the columns ``CLAIMED``."""
    return Claim(uuid, token, row[0], mapping.from_text(row[1]), mapping.from_text(row[2]), row[4] or row[3])


def _select(columns: Sequence[str]) -> "peewee.ModelSelect[orm.Job]":
    return _J.select(*(getattr(_J, column) for column in columns))


def _ending(state: State, error: JobError) -> dict[str, Any]:
    return {"state": state.value, "result": None, "error": mapping.error_to_text(error)}


def _told(error: JobError) -> dict[str, Any]:
    return {"type": error.type, "message": error.message}


def _revoked(reason: str) -> JobError:
    return JobError("TaskRevokedError", reason, module=LOST_MODULE, arguments=[reason])
