"""The job rows: storing new jobs, in commits that concurrent dispatches share, and reading them."""

from collections.abc import Mapping, Sequence
from typing import Any

import peewee

from .. import orm
from ..core.job import Event, Job, State
from ..core.job_filter import JobFilter, PageCursor
from ..core.permissions import EVERY_JOB, Visibility
from ..dialect import metadata
from . import mapping, purge, search
from .committed_event import CommittedEvent, OnEvent
from .database import Database
from .group_commit import GroupCommit
from .idempotency import IdempotencyKey, forget_keys, take_key
from .lifecycle import revoked
from .lineage import RelatedJob, beyond_queries, children_query, retry_queries
from .prepared import Prepared, PreparedRows, slot
from .replaced_jobs import JobReplacement

_J, _E = orm.Job, orm.Event
PENDING, REVOKED = State.PENDING.value, State.REVOKED.value
EXPIRED = "expired"
"""The reason for which an expired job was revoked."""
GROUP_LIMIT = 64
"""The most dispatches that share a commit."""
ANALYZED_ROWS = 1000
"""The approximate number of rows of each index that ``analyze`` reads."""

_New = tuple[Job, Mapping[str, Any]]
"""A job to store, and its row."""


class JobStore(JobReplacement):
    """The jobs of one database.

    Every method raises ``DatabaseUnavailable`` when the database cannot be read or written now. Reads return
    committed rows; a write is committed when it returns, and can be repeated when its answer was lost. ``durable``
    and ``reports_durable`` say whether a commit waits for the disk on SQLite: for accepted jobs, and for workers'
    reports. ``on_event`` is called after the commit, in the calling thread. ``row_queue``: workers claim jobs from
    their rows, and PostgreSQL is to notify them of those that are due.
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
        super().__init__(
            database, durable=durable, reports_durable=reports_durable, on_event=on_event, row_queue=row_queue
        )
        db = database.peewee
        self._insert_jobs = PreparedRows(db, _J, mapping.JOB_COLUMNS)
        self._insert_labels = PreparedRows(db, orm.Label, ("job", "name", "value", "created"))
        columns = [getattr(_J, name) for name in mapping.JOB_COLUMNS]
        self._select_job = Prepared(db, _J.select(*columns).where(_J.uuid == slot("uuid")))
        self.additions = GroupCommit(self._commit_groups, GROUP_LIMIT, database.writer_timeout, database.waiter)

    def add(self, jobs: Sequence[Job], key: IdempotencyKey | None = None) -> str | None:
        """Store new jobs and their first events in one commit; all of them or none.

        ``key`` is for one job: if it already stands for another job, nothing is stored and that job's UUID is
        returned. Raises ``KeyReused`` if the key stands for another request. If a single job is stored already, its
        UUID is returned as well: a workflow that runs a step again dispatches the next step again.
        """
        try:
            if key is not None:
                found = self.add_many(jobs, [key])[0]
                return None if found == jobs[0].uuid else found
            self.additions([(job, mapping.job_to_row(job)) for job in jobs])
        except peewee.IntegrityError:
            stored = self.get(jobs[0].uuid) if len(jobs) == 1 else None
            if stored is None or stored.task != jobs[0].task:
                raise
            return stored.uuid
        self._notify(jobs)
        return None

    def add_many(
        self, jobs: Sequence[Job], keys: Sequence[IdempotencyKey | None], whole: IdempotencyKey | None = None
    ) -> list[str]:
        """Store new jobs in one commit, each with its key; returns for each the UUID of the job of its key.

        ``whole`` is the key of the request that dispatches all of them, and perhaps more. Raises ``KeyReused``, and
        then nothing was stored.
        """
        rows = [mapping.job_to_row(job) for job in jobs]

        def change(db: peewee.Database) -> list[str]:
            if whole is not None:
                take_key(db, whole, jobs[0])
            pairs = zip(jobs, keys, strict=True)
            earlier = [None if key is None else take_key(db, key, job) for job, key in pairs]
            self.insert([(job, row) for job, row, found in zip(jobs, rows, earlier, strict=True) if found is None])
            return [found or job.uuid for job, found in zip(jobs, earlier, strict=True)]

        stored = self._database.write(change, durable=self._durable)
        self._notify([job for job, uuid in zip(jobs, stored, strict=True) if job.uuid == uuid])
        return stored

    def insert(self, new: Sequence[_New]) -> None:
        """Insert jobs with their labels and first events, inside the caller's transaction."""
        self._insert_jobs.run([row for _, row in new])
        self._insert_labels.run(
            [
                {"job": job.uuid, "name": name, "value": value, "created": job.created}
                for job, _ in new
                for name, value in (job.labels or {}).items()
            ]
        )
        self._insert_events.run([{"job": job.uuid, "at": job.created, "kind": PENDING, "data": None} for job, _ in new])
        if self._row_queue and any(job.due is not None and job.due <= job.created for job, _ in new):
            self._database.notify()

    def add_ended(self, job: Job) -> bool:
        """Store a job that no worker will run, in its final state; if it is stored already and waits, end it.

        Returns false if it has been started, or has ended.
        """
        row = mapping.job_to_row(job)
        event = CommittedEvent(job.state.value, job.uuid, job.created, task=job.task, error=job.error)
        summary = {} if job.error is None else job.error.summary()

        def change(_: peewee.Database) -> bool:
            if self._select_job.run({"uuid": job.uuid}).fetchone() is not None:
                return False
            self.insert([(job, row)])
            self._record(job.uuid, job.created, job.state.value, summary)
            return True

        try:
            stored = self._database.write(change, durable=self._reports_durable)
        except peewee.IntegrityError:  # Another process has stored it since the first statement.
            stored = False
        if stored:
            self._on_event(event)
            return True
        return self._change(self._end_waiting, event, {"result": row["result"], "error": row["error"]}, summary)

    def get(self, uuid: str, *, large_as_text: bool = False) -> Job | None:
        """The job with its current state; ``large_as_text`` is for a job that is only shown."""

        def query(_: peewee.Database) -> Job | None:
            row = self._select_job.run({"uuid": uuid}).fetchone()
            return None if row is None else mapping.job_from_row(row, large_as_text=large_as_text)

        return self._database.read(query)

    def beginning_with(self, beginning: str, limit: int) -> list[Job]:
        """The last ``limit`` jobs whose UUID has this beginning, which is in lower case; the greatest UUID first."""
        found = self._database.read(lambda db: search.beginning_with(db, beginning, limit))
        return [mapping.job_from_row(row, large_as_text=True) for row in found]

    def was_purged(self, uuid: str) -> bool:
        """Whether there is a tombstone of the job."""
        return purge.has_tombstone(self._database, uuid)

    def search(
        self, filters: JobFilter, after: PageCursor | None, limit: int, visibility: Visibility = EVERY_JOB
    ) -> tuple[list[Job], PageCursor | None]:
        """At most ``limit`` visible jobs that come after the cursor, newest first, and the cursor of the next page.

        A page of large jobs is shorter than ``limit``; one of a search for an error may be, and even empty. The
        jobs are only shown: their large values are ``JsonText``.
        """
        if filters.task is not None and not visibility.matches(filters.task):
            return [], None
        found, following = self._database.read(lambda db: search.page(db, filters, after, limit, visibility))
        return [mapping.job_from_row(row, large_as_text=True) for row in found], following

    def events(self, uuid: str, latest: int | None = None) -> list[Event]:
        """The history of a job, oldest first; at most the ``latest`` events of it."""
        query = _E.select(_E.id, _E.job, _E.at, _E.kind, _E.data).where(_E.job == uuid)
        ordered = query.order_by(_E.id) if latest is None else query.order_by(_E.id.desc()).limit(latest)
        found = [mapping.event_from_row(row) for row in self._database.rows(ordered)]
        return found if latest is None else found[::-1]

    def retries(self, job: Job) -> list[RelatedJob]:
        """The retries of a job that are among the first or the newest ``LOOKED_AT`` jobs of its task since then."""
        rows = [row for query in retry_queries(job) for row in self._database.rows(query)]
        return sorted({RelatedJob.of_row(row) for row in rows}, key=lambda one: one.created)

    def children(self, job: Job) -> list[RelatedJob]:
        """The jobs whose parent this job is, among the ``LOOKED_AT`` jobs after the start of its attempt."""
        if job.started is None:
            return []
        found = [RelatedJob.of_row(row) for row in self._database.rows(children_query(job))]
        return sorted(found, key=lambda one: one.created)

    def lineage_is_searched_in_part(self, job: Job) -> bool:
        """Whether ``retries`` or ``children`` do not search all later jobs."""
        return any(self._database.rows(query) for query in beyond_queries(job))

    def forget_keys(self, before: int, limit: int) -> int:
        """Delete at most ``limit`` idempotency keys that were taken ``before`` that time; returns how many."""
        return forget_keys(self._database, before, limit)

    def revoke_expired(self, *, at: int, limit: int) -> int:
        """PENDING or RETRY → REVOKED for at most ``limit`` jobs that have expired; returns how many."""
        sqlite = self._database.sqlite
        # With a million jobs SQLite considers the index by state equally good, and would read all waiting jobs.
        table = peewee.SQL("job AS t1 INDEXED BY job_expires") if sqlite else _J
        query = _J.select(_J.uuid).from_(table).where(orm.WAITING_STATES, _J.expires <= at)
        if not self._database.rows(query.limit(1)):  # This takes no write lock.
            return 0
        ending = {**revoked(EXPIRED), "state": REVOKED, "at": at}
        few = query.limit(limit) if sqlite else query.limit(limit).for_update(skip_locked=True)

        def change(db: peewee.Database) -> list[str]:
            uuids = [row[0] for row in few.tuples().execute(db)]
            # One by one, as MySQL may read all waiting rows for a long list, and would wait for those that are locked.
            self._end_waiting.run_many([{**ending, "uuid": uuid} for uuid in uuids])
            data = mapping.to_text({"reason": EXPIRED})
            self._insert_events.run([{"job": uuid, "at": at, "kind": REVOKED, "data": data} for uuid in uuids])
            return uuids

        uuids = self._database.write(change, durable=self._reports_durable)
        for uuid in uuids:
            self._on_event(CommittedEvent(REVOKED, uuid, at, reason=EXPIRED))
        return len(uuids)

    def analyze(self) -> None:
        """Refresh SQLite's statistics of the job table; the servers do this by themselves.

        Without statistics SQLite considers every usable index equally good, and would read all waiting jobs to find
        the few that have expired. It reads a sample of the rows. Source: https://www.sqlite.org/lang_analyze.html
        """
        if self._database.sqlite:

            def change(db: peewee.Database) -> None:
                db.execute_sql(f"PRAGMA analysis_limit = {ANALYZED_ROWS}")
                db.execute_sql(f"ANALYZE {metadata(_J).table_name}")

            self._database.write(change)

    def _commit_groups(self, groups: Sequence[Sequence[_New]]) -> None:
        new = [one for group in groups for one in group]
        self._database.write(lambda _: self.insert(new), durable=self._durable)

    def _notify(self, jobs: Sequence[Job]) -> None:
        for job in jobs:
            self._on_event(
                CommittedEvent(PENDING, job.uuid, job.created, task=job.task, caller=job.caller, headers=job.headers)
            )
