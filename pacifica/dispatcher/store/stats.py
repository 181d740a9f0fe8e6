"""The figures of the record that are watched: what waits and runs, and how jobs have ended.

Each look reads a bounded number of rows by an index, however large the table is; a number that
reaches its bound says so. Ages are those of the asking process's clock.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import peewee

from .. import orm
from ..core.job import FINAL, State
from .database import Database
from .outbox import WAITS_SINCE

_J, _E = orm.Job, orm.Event
IN_MOTION = tuple(state for state in State if state not in FINAL)
BUCKETS = (0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 10.0, 30.0, 60.0, 300.0, 900.0, 3600.0, 21600.0, 86400.0)
"""Upper bounds of run times, in seconds; what is longer counts as one more."""


class Moving(NamedTuple):
    """Jobs of one task in one state; ``since`` is when the oldest could have started, or did."""

    task: str
    state: str
    jobs: int
    since: int | None


class Ended(NamedTuple):
    """Events of one kind and task; of final ones, those of a ``bucket`` of run times, which sum up to ``ran``."""

    task: str | None
    kind: str
    bucket: int | None
    events: int
    ran: int


class FigureStore:
    """The figures of one database; raises ``DatabaseUnavailable`` as ``JobStore`` does."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self.ordered = database.sqlite

    def moving(self, *, at: int, limit: int) -> list[Moving]:
        """The jobs that have not ended, by task and state; of each state the ``limit`` oldest are counted."""

        def read(db: peewee.Database) -> list[Moving]:
            return [Moving(*row) for state in IN_MOTION for row in _moving(state, at, limit).tuples().execute(db)]

        return self._database.read(read)

    def last(self) -> int:
        """The highest id of an event; 0 when there is none yet."""
        query = _E.select(peewee.fn.MAX(_E.id)).tuples()
        return int(self._database.read(lambda db: query.execute(db)[0][0]) or 0)

    def ended(self, after: int, upto: int) -> list[Ended]:
        """What the events with ids in ``after < id <= upto`` tell; none of progress, as only the last stays."""
        found: Sequence[Any] = self._database.read(lambda db: list(_ended(after, upto).tuples().execute(db)))
        return [Ended(task, kind, bucket, events, int(ran or 0)) for task, kind, bucket, events, ran in found]


_ALL = peewee.fn.COUNT(peewee.SQL("1"))


def _moving(state: State, at: int, limit: int) -> peewee.Query:
    since = _J.started if state is State.STARTED else WAITS_SINCE
    oldest = _J.select(_J.task, since.alias("since")).where(_J.state == state.value)
    few = oldest.order_by(_J.created, _J.uuid).limit(limit).alias("few")
    reached = peewee.Case(None, [(few.c.since <= at, few.c.since)])
    named = peewee.Value(state.value)
    return few.select_from(few.c.task, named, _ALL, peewee.fn.MIN(reached)).group_by(few.c.task)


def _bucket() -> tuple[peewee.Case, peewee.Case]:
    """The bucket of a job that has run, and its run time in microseconds."""
    ran = peewee.Case(None, [(_J.finished > _J.started, _J.finished - _J.started)], 0)
    final = _E.kind.in_([state.value for state in sorted(FINAL)]) & _J.started.is_null(is_null=False)
    steps = [(final & (ran <= int(bound * 1_000_000)), number) for number, bound in enumerate(BUCKETS)]
    return peewee.Case(None, [*steps, (final, len(BUCKETS))]), peewee.Case(None, [(final, ran)], 0)


def _ended(after: int, upto: int) -> peewee.Query:
    bucket, ran = _bucket()
    columns = (_J.task, _E.kind, bucket.alias("bucket"), _ALL, peewee.fn.SUM(ran))
    query = _E.select(*columns).join(_J, peewee.JOIN.LEFT_OUTER, on=(_J.uuid == _E.job))
    counted = query.where(_E.id > after, _E.id <= upto, _E.kind != "PROGRESS")
    return counted.group_by(_J.task, _E.kind, peewee.SQL("bucket"))
