"""The figures of the record that are watched: what waits and runs.

Each look reads a bounded number of rows by an index, however large the table is; a number that
reaches its bound says so. Ages are those of the asking process's clock.
"""

from typing import NamedTuple

import peewee

from .. import orm
from ..core.job import FINAL, State
from .database import Database
from .outbox import WAITS_SINCE

_J = orm.Job
IN_MOTION = tuple(state for state in State if state not in FINAL)


class Moving(NamedTuple):
    """Jobs of one task in one state; ``since`` is when the oldest could have started, or did."""

    task: str
    state: str
    jobs: int
    since: int | None


class FigureStore:
    """The figures of one database; raises ``DatabaseUnavailable`` as ``JobStore`` does."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def moving(self, *, at: int, limit: int) -> list[Moving]:
        """The jobs that have not ended, by task and state; of each state the ``limit`` oldest are counted."""

        def read(db: peewee.Database) -> list[Moving]:
            return [Moving(*row) for state in IN_MOTION for row in _moving(state, at, limit).tuples().execute(db)]

        return self._database.read(read)


_ALL = peewee.fn.COUNT(peewee.SQL("1"))


def _moving(state: State, at: int, limit: int) -> peewee.Query:
    since = _J.started if state is State.STARTED else WAITS_SINCE
    oldest = _J.select(_J.task, since.alias("since")).where(_J.state == state.value)
    few = oldest.order_by(_J.created, _J.uuid).limit(limit).alias("few")
    reached = peewee.Case(None, [(few.c.since <= at, few.c.since)])
    named = peewee.Value(state.value)
    return few.select_from(few.c.task, named, _ALL, peewee.fn.MIN(reached)).group_by(few.c.task)
