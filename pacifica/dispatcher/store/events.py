"""The events of all jobs as one sequence."""

from collections.abc import Sequence
from typing import Any

import peewee

from .. import orm
from ..core.job import Event, State
from ..core.permissions import EVERY_JOB, Visibility
from . import mapping
from .database import Database
from .prepared import Prepared, slot
from .visibility import task_names, within

_E = orm.Event
LATEST_JOBS, TASK_JOBS = 500, 25
"""The number of successful jobs to look at for run times, and the number of jobs of one task that count."""
_COLUMNS = (_E.id, _E.job, _E.at, _E.kind, _E.data)


class EventSequence:
    """The ids of the events of one database; raises ``DatabaseUnavailable`` as ``JobStore`` does.

    ``ordered``: events become visible in the order of their ids. A database server assigns an id before the commit,
    so there an event may become visible after one with a higher id.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self.ordered = database.sqlite
        self._last = Prepared(database.peewee, _E.select(peewee.fn.MAX(_E.id)))

    def last(self) -> int:
        """The highest id of an event; 0 if there are no events."""
        row = self._database.read(lambda _: self._last.run({}).fetchone())
        return int(row[0] or 0)


class EventStore(EventSequence):
    """The events of one database."""

    def __init__(self, database: Database) -> None:
        super().__init__(database)
        after = _E.select(_E.id, _E.job, _E.at, _E.kind).where(_E.id > slot("after"))
        self._peek = Prepared(database.peewee, after.order_by(_E.id).limit(slot("limit")))

    def close(self) -> None:
        """Close the calling thread's connection."""
        self._database.close()

    def peek(self, after: int, limit: int) -> list[tuple[int, str, int, str]]:
        """Id, job, time and kind of at most ``limit`` events after the id ``after``, in the order of their ids."""
        values = {"after": after, "limit": limit}
        return [tuple(row) for row in self._database.read(lambda _: self._peek.run(values).fetchall())]

    def between(
        self, after: int, upto: int, limit: int, job: str | None = None, visibility: Visibility = EVERY_JOB
    ) -> list[Event]:
        """At most ``limit`` events with ids in ``after < id <= upto``, of one job or of all visible jobs."""
        query = _E.select(*_COLUMNS).where(_E.id > after, _E.id <= upto).order_by(_E.id).limit(limit)
        if job is not None:
            query = query.where(_E.job == job)
        if visibility != EVERY_JOB:
            query = query.join(orm.Job, on=(orm.Job.uuid == _E.job))

        def read(db: peewee.Database) -> Sequence[Sequence[Any]]:
            names = [] if visibility.every_task else task_names(db, visibility)
            found: Sequence[Sequence[Any]] = list(within(query, visibility, names).tuples().execute(db))
            return found

        return [mapping.event_from_row(row) for row in self._database.read(read)]

    def run_times(self, task: str) -> list[int]:
        """The run times of the task's jobs among the latest successful jobs of all tasks, in microseconds."""
        job = orm.Job
        columns = (job.task, job.started, job.finished)
        done = job.select(*columns).where(job.state == State.SUCCESS.value)
        latest = done.order_by(job.created.desc(), job.uuid.desc()).limit(LATEST_JOBS).alias("latest")
        query = latest.select_from(latest.c.started, latest.c.finished).where(latest.c.task == task).limit(TASK_JOBS)
        return [finished - started for started, finished in self._database.rows(query)]
