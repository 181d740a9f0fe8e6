"""Statistics of the unfinished jobs, for monitoring.

A query reads a bounded number of rows by an index, however large the table is. Times are compared with the clock of
the calling process.
"""

from collections import Counter
from typing import NamedTuple

import peewee

from .. import orm
from ..core.job import FINAL, WAITING, State
from .database import Database
from .lifecycle import LACKS_TASK_TEXT
from .outbox import WAITS_SINCE

_J = orm.Job


class UnfinishedJobs(NamedTuple):
    """The jobs of one task in one state; ``since`` is the time at which the oldest was due to start, or started."""

    task: str
    state: str
    jobs: int
    since: int | None


def unfinished_jobs(database: Database, *, at: int, limit: int) -> list[UnfinishedJobs]:
    """Count the unfinished jobs by task and state; of each state, the ``limit`` oldest are counted."""

    def read(db: peewee.Database) -> list[UnfinishedJobs]:
        queries = [_of_state(state, at, limit) for state in State if state not in FINAL]
        return [UnfinishedJobs(*row) for query in queries for row in query.tuples().execute(db)]

    return database.read(read)


def jobs_without_worker(database: Database, *, limit: int) -> list[tuple[str, int]]:
    """The tasks of waiting jobs that a worker could not run as it lacks the task, each with its number of such jobs.

    Looks at the ``limit`` oldest jobs of each waiting state.
    """

    def read(db: peewee.Database) -> list[tuple[str, int]]:
        found: Counter[str] = Counter()
        for state in WAITING:
            oldest = _J.select(_J.task, _J.error).where(_J.state == state.value)
            few = oldest.order_by(_J.created, _J.uuid).limit(limit).alias("few")
            columns = (few.c.task, peewee.fn.COUNT(peewee.SQL("1")))
            lacking = few.select_from(*columns).where(few.c.error**LACKS_TASK_TEXT).group_by(few.c.task)
            found.update(dict(lacking.tuples().execute(db)))
        return sorted(found.items())

    return database.read(read)


def _of_state(state: State, at: int, limit: int) -> peewee.Query:
    since = _J.started if state is State.STARTED else WAITS_SINCE
    oldest = _J.select(_J.task, since.alias("since")).where(_J.state == state.value)
    few = oldest.order_by(_J.created, _J.uuid).limit(limit).alias("few")
    due = peewee.Case(None, [(few.c.since <= at, few.c.since)])
    columns = (few.c.task, peewee.Value(state.value), peewee.fn.COUNT(peewee.SQL("1")), peewee.fn.MIN(due))
    return few.select_from(*columns).group_by(few.c.task)
