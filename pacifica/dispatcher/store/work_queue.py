"""The turns of a worker: its reports and its next claims in one transaction.

The rows are locked and read first, so that one read decides about all reports and messages of a turn.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import peewee

from .. import orm
from ..core.errors import DatabaseUnavailable
from ..core.job import ClaimKey, Job, State
from ..core.work import ClaimedJob, LostReport, MessageClaim, Report, TasklessJob, Turn, WantedJobs
from . import mapping
from .committed_event import DROPPED, CommittedEvent, OnEvent
from .database import Database
from .message_jobs import MessageJobs
from .prepared import Prepared, PreparedRows
from .ready_jobs import ready_jobs
from .reports import STATEMENTS, Decision, ReportedRow, decide

PENDING, STARTED = State.PENDING.value, State.STARTED.value
ORIGIN = "message"
"""The ``origin`` in the first event of a job that a message has brought."""
MOST_LOST = 500
"""The most lost jobs of one transaction."""
_COLUMNS = (
    "uuid, task, args, kwargs, attempt, retries, created, eta, expires, target_queue, target_priority, headers, state, "
    "claim, holder"
)
_MARK = """
UPDATE job {hint} SET state = 'STARTED', version = version + 1, attempt = attempt + 1, claim = {token},
worker = {worker}, holder = {holder}, started = {at}, published = COALESCE(published, {at}), due = NULL
WHERE uuid {these} AND {state} IN ('PENDING', 'RETRY')
"""
_DEFER = "UPDATE job {hint} SET due = {at} WHERE uuid {these} AND {state} IN ('PENDING', 'RETRY')"
_LOCKED = "SELECT {columns} FROM job {hint} WHERE uuid {these} ORDER BY uuid {lock}"
_HELD = "SELECT {columns} FROM job WHERE state = 'STARTED' AND holder = {holder} AND claim = {token}"


class _Claimant:
    """The worker of a turn, and the entries and events of its jobs."""

    def __init__(self, token: str, worker: str, holder: str, at: int) -> None:
        self.values = {"token": token, "worker": worker, "holder": holder, "at": at}
        self.token, self.worker, self.holder, self.at = token, worker, holder, at
        self._worker_text = mapping.to_text(worker)
        self.history: list[Mapping[str, Any]] = []
        self.events: list[CommittedEvent] = []
        self.taskless: list[TasklessJob] = []

    def record(self, job: str, at: int, kind: str, data: str | None) -> None:
        """Keep an entry for the history, with its data as JSON."""
        self.history.append({"job": job, "at": at, "kind": kind, "data": data})

    def holds(self, row: Sequence[Any]) -> bool:
        """Whether this turn has claimed the job before, and the answer was lost."""
        return tuple(row[-3:]) == (STARTED, self.token, self.holder)

    def added(self, message: MessageClaim, job: Job) -> None:
        """Record that the message's job was inserted."""
        data = {"origin": ORIGIN} | ({"redelivered": True} if message.redelivered else {})
        self.record(job.uuid, job.created, PENDING, mapping.to_text(data))
        self.events.append(CommittedEvent(PENDING, job.uuid, job.created, task=job.task, headers=job.headers))

    def claims(self, row: Sequence[Any], message: MessageClaim) -> bool:
        """Whether the message claims the job."""
        task, expires, state = row[1], row[8], row[12]
        waits = state in {PENDING, State.RETRY.value} and not self.waits_for_eta(row, message)
        same = row[5] == message.retries and (message.new is None or message.new.task == task)
        return waits and same and (expires is None or expires > self.at)

    def waits_for_eta(self, row: Sequence[Any], message: MessageClaim) -> bool:
        """Whether the message has brought its job before the ``eta`` of it, for which the row waits."""
        return message.new is not None and row[7] is not None and row[7] > self.at

    def claimed(self, row: Sequence[Any], *, again: bool = False) -> ClaimedJob:
        """The claimed job of a row as it was before the claim, or ``again`` after it."""
        uuid, task, args, kwargs, attempt, retries, created, eta, expires, queue, priority, headers = row[:12]
        if not again:
            attempt += 1
            self.record(uuid, self.at, STARTED, f'{{"attempt":{attempt},"worker":{self._worker_text}}}')
        self.events.append(
            CommittedEvent(
                STARTED,
                uuid,
                self.at,
                self.token,
                task=task,
                headers=mapping.from_text(headers),
                attempt=attempt,
                worker=self.worker,
                ready=eta or created,
            )
        )
        of_row = (created, eta, expires, queue, priority, headers)
        return ClaimedJob(uuid, task, args, kwargs, self.token, attempt, retries, *of_row)

    def dropped(self, message: MessageClaim, row: Sequence[Any] | None) -> None:
        """Record that the message claims nothing."""
        if row is not None and self.waits_for_eta(row, message):
            return
        if row is not None:
            data = {"worker": self.worker, "state": row[12]}
            self.record(message.uuid, self.at, DROPPED, mapping.to_text(data))
        self.events.append(CommittedEvent(DROPPED, message.uuid, self.at, self.token, worker=self.worker))


class WorkQueue:
    """The jobs as workers see them.

    Raises ``DatabaseUnavailable`` and calls ``on_event`` as ``JobStore`` does, whose other options it has.
    """

    def __init__(
        self,
        database: Database,
        *,
        durable: bool = True,
        reports_durable: bool = False,
        on_event: OnEvent = lambda _: None,
        row_queue: bool = False,
    ) -> None:
        self._database = database
        self._row_queue = row_queue
        self._durable = durable
        self._reports_durable = reports_durable
        self._message_jobs = MessageJobs(database)
        self._on_event = on_event
        self._insert_events = PreparedRows(database.peewee, orm.Event, ("job", "at", "kind", "data"))
        self._statements = {name: Prepared(database.peewee, query) for name, query in STATEMENTS.items()}
        self._ready = ready_jobs(database)
        self._queue_turns = 0
        self._mark, self._defer = self._sql(_MARK), self._sql(_DEFER)
        self._held = self._sql(_HELD, columns=_COLUMNS)
        self._reported = self._sql(_LOCKED, columns=", ".join(ReportedRow._fields))
        self._named = self._sql(_LOCKED, columns=_COLUMNS)

    def ready(self, queues: Sequence[str], at: int) -> bool:
        """Whether a job of these queues is due; takes no lock."""
        return bool(queues) and self._database.read(lambda db: self._ready.any(db, queues, at))

    def next_due(self, queues: Sequence[str], at: int) -> int | None:
        """The first time after ``at`` at which a job of these queues is due; takes no lock."""
        return self._database.read(lambda db: self._ready.next_due(db, queues, at)) if queues else None

    def takes_writes(self, holder: str) -> bool:
        """Whether the database takes a write now: the next beat of this worker's heartbeat."""
        worker = orm.Worker
        query = worker.update({worker.beat: worker.beat + 1}).where(worker.id == holder)
        try:
            return bool(self._database.write(query.execute))
        except DatabaseUnavailable:
            return False

    def turn(  # noqa: PLR0913 - the turn of one worker
        self,
        reports: Sequence[Report],
        wanted: WantedJobs | None,
        messages: Sequence[MessageClaim],
        *,
        token: str,
        worker: str,
        holder: str,
        at: int,
        again: bool = False,
    ) -> Turn:
        """Record the reports, then claim the jobs of the messages, then due jobs of the wanted queues.

        ``token`` is that of all claims of this turn, and no other's. ``again``: the same turn may have been committed
        before, and its answer lost.
        """

        def change(db: peewee.Database) -> tuple[Turn, _Claimant]:
            claimant = _Claimant(token, worker, holder, at)
            outcomes = self._report(db, reports, claimant, again=again)
            claims = self._claim_named(db, messages, claimant, again=again)
            rows = self._held_rows(db, claims, claimant) if again and wanted is not None else []
            if wanted is not None and not rows:
                rows = self._claim_ready(db, wanted, claimant)
            self._insert_events.run(claimant.history)
            return Turn(outcomes, rows, claims, tuple(claimant.taskless)), claimant

        new = self._durable and any(message.new is not None for message in messages)
        turn, claimant = self._database.write(change, durable=self._reports_durable or new)
        for event in claimant.events:
            self._on_event(event)
        return turn

    def report(self, reports: Sequence[Report]) -> Sequence[str | None]:
        """Record the reports, in a turn without claims; returns their ``outcomes``."""
        return self.turn(reports, None, (), token="", worker="", holder="", at=0).outcomes

    def claim(self, message: MessageClaim, *, again: bool, **claimant: Any) -> ClaimedJob | None:
        """Claim the job of one message, in a turn of its own."""
        return self.turn((), None, [message], again=again, **claimant).claims[0]

    def lose(self, claims: Sequence[ClaimKey], *, reason: str, at: int) -> Sequence[str | None]:
        """Put back the jobs of these claims, as the worker is gone; returns their ``outcomes``.

        A job that was to be cancelled becomes REVOKED, and one without attempts left FAILURE.
        """
        outcomes: list[str | None] = []
        for first in range(0, len(claims), MOST_LOST):
            outcomes += self.report([LostReport(*claim, at, reason) for claim in claims[first : first + MOST_LOST]])
        return outcomes

    def _report(
        self, db: peewee.Database, reports: Sequence[Report], claimant: _Claimant, *, again: bool
    ) -> Sequence[str | None]:
        rows = {row[0]: ReportedRow(*row) for row in self._lock(db, self._reported, (one.uuid for one in reports))}
        changes: dict[str, list[Mapping[str, Any]]] = {}
        decisions: list[Decision] = []
        for report in reports:
            decision = decide(report, rows.get(report.uuid), again=again)
            decisions.append(decision)
            if decision.state is not None:
                rows[report.uuid] = ReportedRow(report.uuid, decision.state, *rows[report.uuid][2:])
                changes.setdefault(decision.statement, []).append(decision.values)
            if decision.earlier is not None:
                reason = mapping.to_text({"reason": decision.earlier.reason})
                claimant.record(report.uuid, report.at, decision.earlier.kind, reason)
                claimant.events.append(decision.earlier)
            if decision.kind is not None:
                data = mapping.to_text(decision.data) if decision.data else None
                claimant.record(report.uuid, report.at, decision.kind, data)
            if decision.event is not None:
                claimant.events.append(decision.event)
        for statement, values in changes.items():
            self._statements[statement].run_many(values)
        if self._row_queue and any(decision.makes_due for decision in decisions):
            self._database.notify()
        return [decision.outcome for decision in decisions]

    def _claim_named(
        self, db: peewee.Database, messages: Sequence[MessageClaim], claimant: _Claimant, *, again: bool
    ) -> Sequence[ClaimedJob | None]:
        """Claim the jobs that the messages name; of two messages about one job, the first one claims it."""
        rows = self._named_rows(db, messages, claimant)
        claims: dict[str, ClaimedJob] = {}
        found: list[ClaimedJob | None] = []
        for message in messages:
            row = rows.get(message.uuid)
            held = again and row is not None and claimant.holds(row)
            if row is not None and message.uuid not in claims and (held or claimant.claims(row, message)):
                claims[message.uuid] = claimant.claimed(row, again=held)
                found.append(claims[message.uuid])
            else:
                claimant.dropped(message, row)
                found.append(None)
        self._mark_started(db, claims, claimant)
        return found

    def _named_rows(
        self, db: peewee.Database, messages: Sequence[MessageClaim], claimant: _Claimant
    ) -> dict[str, Sequence[Any]]:
        """The rows of the messages' jobs, by UUID, after the insertion of those that messages have brought."""
        rows = {row[0]: row for row in self._lock(db, self._named, (one.uuid for one in messages))}
        brought: dict[str, MessageClaim] = {}
        for message in messages:
            if message.new is not None and message.uuid not in rows:
                brought.setdefault(message.uuid, message)
        new = {uuid: message.new for uuid, message in brought.items() if message.new is not None}
        if new:
            self._message_jobs.insert(db, new, claimant.holder)
        for row in self._lock(db, self._named, new):
            rows[row[0]] = row
            if row[-1] == claimant.holder and row[12] == PENDING:  # Else another worker has inserted it.
                claimant.added(brought[row[0]], new[row[0]])
        return rows

    def _held_rows(
        self, db: peewee.Database, claims: Sequence[ClaimedJob | None], claimant: _Claimant
    ) -> list[ClaimedJob]:
        """The jobs that this turn had claimed from the queues when its answer was lost."""
        named = {claim.uuid for claim in claims if claim is not None}
        rows = db.execute_sql(self._held, claimant.values).fetchall()
        return [claimant.claimed(row, again=True) for row in rows if row[0] not in named]

    def _claim_ready(self, db: peewee.Database, wanted: WantedJobs, claimant: _Claimant) -> list[ClaimedJob]:
        """Claim due jobs; the queues take turns to be the first of each priority."""
        if not wanted.queues or wanted.limit <= 0:
            return []
        self._queue_turns += 1
        first = self._queue_turns % len(wanted.queues)
        fair = wanted._replace(queues=[*wanted.queues[first:], *wanted.queues[:first]])
        found = self._ready.take(db, fair, _COLUMNS, claimant.at)
        if wanted.tasks is not None:
            taskless = [row for row in found if row[1] not in wanted.tasks]
            if taskless:
                claimant.taskless += [TasklessJob(row[0], row[1], row[5]) for row in taskless]
                later = {"at": claimant.at + wanted.defer, **(self._these(row[0] for row in taskless) or {})}
                db.execute_sql(self._defer, later)
                found = [row for row in found if row[1] in wanted.tasks]
        rows = [claimant.claimed(row) for row in found]
        self._mark_started(db, [row.uuid for row in rows], claimant)
        return rows

    def _mark_started(self, db: peewee.Database, uuids: Iterable[str], claimant: _Claimant) -> None:
        if these := self._these(uuids):
            db.execute_sql(self._mark, {**claimant.values, **these})

    def _lock(self, db: peewee.Database, sql: str, uuids: Iterable[str]) -> Sequence[Sequence[Any]]:
        if not (these := self._these(uuids)):
            return []
        rows: Sequence[Sequence[Any]] = db.execute_sql(sql, these).fetchall()
        return rows

    def _these(self, uuids: Iterable[str]) -> Mapping[str, Any] | None:
        """The parameter of a list of UUIDs; ``None`` if the list is empty."""
        these = list(uuids)
        return {"uuids": json.dumps(these) if self._database.sqlite else these} if these else None

    def _sql(self, template: str, **parts: str) -> str:
        """A statement in the words of the database."""
        sqlite, mysql = self._database.sqlite, self._database.mysql
        names = ("token", "worker", "holder", "at")
        marks = {name: f":{name}" if sqlite else f"%({name})s" for name in names}
        these = "IN (SELECT value FROM json_each(:uuids))" if sqlite else "= ANY(%(uuids)s::text[])"
        return template.format(
            these="IN %(uuids)s" if mysql else these,
            hint="FORCE INDEX (PRIMARY)" if mysql else "",
            state="+state" if sqlite else "state",  # No index of states: SQLite would read all waiting jobs.
            lock="" if sqlite else "FOR UPDATE",
            **(marks | parts),
        )
