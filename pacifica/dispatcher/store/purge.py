"""Purging: jobs that have ended are deleted with their labels and their history; a tombstone stays.

A purge walks, oldest first, along an index that searches have anyway: the jobs of a state, or of a task. So it
needs none of its own, for which each dispatch would pay, and no scan of the table.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import peewee

from .. import orm
from ..core.job import FINAL, State
from . import tombstones
from .connections.mysql import along
from .database import Database

_J, _E, _L = orm.Job, orm.Event, orm.Label
Bounds = Mapping[State, int]
"""The states whose jobs are purged, all of them final, each with the moment before which a job has ended."""


class Ended(NamedTuple):
    """A job that may be purged."""

    uuid: str
    state: State
    created: int


class PurgeStore:
    """What is purged from one database; raises ``DatabaseUnavailable`` as ``JobStore`` does."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def pages(self, before: Bounds, size: int, task: str | None = None) -> Iterator[Sequence[Ended]]:
        """Look at ``size`` jobs at a time, and of each page give those that may be purged.

        Each page costs the same, however few of it may be purged. They come in the order in which they were
        made: whether a job has ended for long enough is seen when its turn comes, so that one that ran for
        longer than others of its age is purged later than they are, and never earlier.
        """
        if not before:
            return
        if not FINAL.issuperset(before):
            raise ValueError("only what has ended is purged")
        if task is not None:
            yield from self._walk(_J.task, task, before, size)
            return
        for state, bound in before.items():
            yield from self._walk(_J.state, state.value, {state: bound}, size)

    def purge(self, jobs: Sequence[Ended], *, at: int, remember: bool) -> Counter[State]:
        """Delete these jobs in one short transaction; how many of each state were still there.

        One that was purged and made anew since it was read is another job, and stays; so does one whose row somebody
        else holds, until the next walk. Their idempotency keys stay until their own time is over: a request that is
        sent again must not become a second job.
        """

        def change(db: peewee.Database) -> Counter[State]:
            self._use_indexes(db)
            if not (gone := self._lock(db, jobs)):
                return Counter()
            uuids = [job.uuid for job in gone]
            if remember:
                tombstones.put(db, uuids, at)
            for column, index in ((_L.job, "PRIMARY"), (_E.job, "event_job_id"), (_J.uuid, "PRIMARY")):
                along(db, column.model.delete().where(column.in_(uuids)), index)
            return Counter(job.state for job in gone)

        return self._database.write(change) if jobs else Counter()

    def _lock(self, db: peewee.Database, jobs: Sequence[Ended]) -> Sequence[Ended]:
        """Those of the jobs that are as they were read, each held until the end of the transaction."""
        query = _J.select(_J.uuid, _J.state, _J.created).where(_J.uuid.in_([job.uuid for job in jobs]))
        if not self._database.sqlite:
            query = query.for_update(skip_locked=True)
        there = {Ended(uuid, State(state), created) for uuid, state, created in along(db, query)}
        return sorted(there.intersection(jobs))

    def _use_indexes(self, db: peewee.Database) -> None:
        """Have PostgreSQL not scan a table of which it has no statistics yet."""
        if not self._database.sqlite and not self._database.mysql:
            db.execute_sql("SET LOCAL enable_seqscan = off")

    def _walk(self, column: peewee.Field, value: str, before: Bounds, size: int) -> Iterator[Sequence[Ended]]:
        """The jobs with that value, along the index of this column, ``created`` and ``uuid``."""
        columns = (_J.uuid, _J.state, _J.created, _J.finished)
        asked = _J.select(*columns).where(column == value, _J.created < max(before.values()))
        asked = asked.order_by(_J.created, _J.uuid).limit(size).tuples()
        uuid, created, full = "", 0, True
        while full:
            # PostgreSQL takes this index, and not the one without the column, as this says where to begin in it.
            behind = peewee.Tuple(column, _J.created, _J.uuid) > peewee.Tuple(value, created, uuid)
            page = self._read(asked.where(_J.created >= created, behind))
            yield [Ended(row[0], State(row[1]), row[2]) for row in page if _has_ended(row, before)]
            if full := len(page) == size:
                uuid, _, created, _ = page[-1]

    def _read(self, query: peewee.Query) -> Sequence[Sequence[Any]]:
        found: Sequence[Sequence[Any]] = self._database.read(lambda db: list(query.execute(db)))
        return found


def _has_ended(row: Sequence[Any], before: Bounds) -> bool:
    """Whether it ended before then; a row that does not say when it ended counts from when it was made."""
    _, state, created, finished = row
    return State(state) in before and (created if finished is None else finished) < before[State(state)]
