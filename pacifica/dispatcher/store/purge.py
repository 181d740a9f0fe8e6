"""Purging: deleting finished jobs with their labels, history and saved groups, and the tombstones that remain of them.

A purge reads the jobs of one state, or of one task, oldest first, along an index that searches use as well. A further
index would make each dispatch slower, and without one each purge would scan the table.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple
from uuid import UUID

import peewee

from .. import orm
from ..core.job import FINAL, State
from .connections.mysql import execute_with_index_hint
from .database import Database

_J, _E, _L, _G, _T = orm.Job, orm.Event, orm.Label, orm.SavedGroup, orm.Tombstone
DEPENDENTS = ((_L.job, "PRIMARY"), (_E.job, "event_job_id"), (_G.job, "savedgroup_job"), (_J.uuid, "PRIMARY"))
"""The columns whose rows are deleted with a job, each with the index that finds them."""
Bounds = Mapping[State, int]
"""Final states whose jobs are purged, each with the time before which a job must have ended."""
HOUR = 3_600_000_000
"""The resolution of a tombstone's time, in microseconds."""
FIRST_TOMBSTONE = UUID(int=0)
"""A key before those of all tombstones."""


class PurgeCandidate(NamedTuple):
    """A job that may be purged."""

    uuid: str
    state: State
    created: int


class PurgeStore:
    """Purges jobs of one database; raises ``DatabaseUnavailable`` as ``JobStore`` does."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def pages(self, before: Bounds, size: int, task: str | None = None) -> Iterator[Sequence[PurgeCandidate]]:
        """Read ``size`` jobs at a time, and yield those of each page that may be purged.

        Each page costs the same, however few of its jobs may be purged. Jobs come in the order of their creation, so
        a job that ran for a long time may be purged later than others of its age, but never too early.
        """
        if not before:
            return
        if not FINAL.issuperset(before):
            raise ValueError("only jobs in a final state can be purged")
        if task is not None:
            yield from self._walk(_J.task, task, before, size)
            return
        for state, bound in before.items():
            yield from self._walk(_J.state, state.value, {state: bound}, size)

    def purge(self, jobs: Sequence[PurgeCandidate], *, at: int, remember: bool) -> Counter[State]:
        """Delete these jobs in one short transaction; returns how many of each state still existed.

        A job that was purged and created again since it was read is another job, and stays. A job whose row is locked
        stays until the next purge. Idempotency keys stay until they expire: a request that is sent again must not
        create a second job.
        """

        def change(db: peewee.Database) -> Counter[State]:
            if self._database.postgresql:  # It would scan a table of which it has no statistics yet.
                db.execute_sql("SET LOCAL enable_seqscan = off")
            if not (gone := self._lock(db, jobs)):
                return Counter()
            uuids = [job.uuid for job in gone]
            if remember:
                put_tombstones(db, uuids, at)
            for column, index in DEPENDENTS:
                execute_with_index_hint(db, column.model.delete().where(column.in_(uuids)), index)
            return Counter(job.state for job in gone)

        return self._database.write(change) if jobs else Counter()

    def _lock(self, db: peewee.Database, jobs: Sequence[PurgeCandidate]) -> Sequence[PurgeCandidate]:
        """Lock, until the end of the transaction, those of the jobs that have not changed since they were read."""
        query = _J.select(_J.uuid, _J.state, _J.created).where(_J.uuid.in_([job.uuid for job in jobs]))
        if not self._database.sqlite:
            query = query.for_update(skip_locked=True)
        found = {
            PurgeCandidate(uuid, State(state), created) for uuid, state, created in execute_with_index_hint(db, query)
        }
        return sorted(found.intersection(jobs))

    def _walk(self, column: peewee.Field, value: str, before: Bounds, size: int) -> Iterator[Sequence[PurgeCandidate]]:
        """The jobs with that value, along the index of this column, ``created`` and ``uuid``."""
        columns = (_J.uuid, _J.state, _J.created, _J.finished)
        query = _J.select(*columns).where(column == value, _J.created < max(before.values()))
        query = query.order_by(_J.created, _J.uuid).limit(size)
        uuid, created, full = "", 0, True
        while full:
            # The row value makes PostgreSQL use this index: it gives the place in it at which to begin.
            after = peewee.Tuple(column, _J.created, _J.uuid) > peewee.Tuple(value, created, uuid)
            page = self._database.rows(query.where(_J.created >= created, after))
            yield [PurgeCandidate(row[0], State(row[1]), row[2]) for row in page if _has_ended(row, before)]
            if full := len(page) == size:
                uuid, _, created, _ = page[-1]


def _has_ended(row: Sequence[Any], before: Bounds) -> bool:
    """Whether the job ended before the bound of its state; a row without ``finished`` counts from ``created``."""
    _, state, created, finished = row
    return State(state) in before and (created if finished is None else finished) < before[State(state)]


def put_tombstones(db: peewee.Database, uuids: Iterable[str], at: int) -> None:
    """Store tombstones, inside the caller's transaction; existing ones stay as they are.

    A job id that a user of Celery chose, and that is not a UUID, gets no tombstone.
    """
    keys = [key for uuid in uuids if (key := _tombstone_key(uuid)) is not None]
    if keys:
        _T.insert_many([{_T.job: key, _T.hour: at // HOUR} for key in keys]).on_conflict_ignore().execute(db)


def has_tombstone(database: Database, uuid: str) -> bool:
    """Whether there is a tombstone of the job."""
    return bool(database.read(lambda db: purged_among(db, [uuid])))


def purged_among(db: peewee.Database, uuids: Iterable[str]) -> set[str]:
    """Those of these jobs that have tombstones."""
    keys = {key: uuid for uuid in uuids if (key := _tombstone_key(uuid)) is not None}
    query = _T.select(_T.job).where(_T.job.in_(list(keys))).tuples()
    return {keys[key] for (key,) in query.execute(db)} if keys else set()


def forget_tombstones(database: Database, before: int, after: UUID, limit: int) -> UUID:
    """Delete those of the next ``limit`` tombstones after ``after`` that are from before the time ``before``.

    Returns the place at which to continue, ``FIRST_TOMBSTONE`` at the end. A call costs the same however many
    tombstones there are, and takes no write lock when it finds none to delete.
    """
    query = _T.select(_T.job, _T.hour).where(_T.job > after).order_by(_T.job).limit(limit)
    found = database.rows(query)
    old = [job for job, hour in found if hour < before // HOUR]
    if old:
        database.write(lambda db: execute_with_index_hint(db, _T.delete().where(_T.job.in_(old))))
    return found[-1][0] if len(found) == limit else FIRST_TOMBSTONE


def _tombstone_key(uuid: str) -> UUID | None:
    try:
        return UUID(uuid)
    except ValueError:
        return None
