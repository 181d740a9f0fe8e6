"""The counts of events and of run times: one row, which the leader keeps up to date."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import NamedTuple, Self

import peewee

from .. import orm
from ..core import strict_json
from ..core.job import FINAL
from . import job_minutes
from .committed_event import PROGRESS, REFUSED_MESSAGE
from .events import EventSequence

_C, _E, _J = orm.EventCounts, orm.Event, orm.Job
BUCKETS = (0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 10.0, 30.0, 60.0, 300.0, 900.0, 3600.0, 21600.0, 86400.0)
"""Upper bounds of run times, in seconds; longer ones are counted in one more bucket."""
TRIES = 10
"""How often a change of the counts is tried while other processes change them."""


class CountKey(NamedTuple):
    """Events with the same key are counted together; only the final event of a job that has run has a ``bucket``."""

    task: str | None
    kind: str
    bucket: int | None


class Count(NamedTuple):
    """The number of events, and the sum of the run times of the jobs that they ended, in microseconds."""

    events: int
    ran: int


@dataclass(frozen=True)
class EventCounts:
    """The counts of all events with an id up to ``upto``, without progress reports, of which only the last is kept."""

    upto: int = 0
    counts: Mapping[CountKey, Count] = field(default_factory=dict)

    def plus(self, counts: Mapping[CountKey, Count], upto: int) -> Self:
        """Add the counts of the events that follow, up to the id ``upto``."""
        total = dict(self.counts)
        for key, (events, ran) in counts.items():
            before = total.get(key, Count(0, 0))
            total[key] = Count(before.events + events, before.ran + ran)
        return type(self)(upto, total)


class EventCountStore(EventSequence):
    """The counts of the events of one database."""

    def count(self, after: int, upto: int) -> dict[CountKey, Count]:
        """Count the events with ids in ``after < id <= upto``."""
        rows = self._database.rows(_of_range(after, upto))
        return {CountKey(task, kind, bucket): Count(events, int(ran or 0)) for task, kind, bucket, events, ran in rows}

    def ended(self, after: int, upto: int, *, at: int) -> job_minutes.Minutes:
        """The jobs that ended with an event in ``after < id <= upto``, for the history; ``at`` is the current time."""
        return job_minutes.ended(self._database, after, upto, at=at)

    def load(self) -> EventCounts:
        rows = self._database.rows(_C.select(_C.upto, _C.counts))
        return EventCounts(rows[0][0], _from_text(rows[0][1])) if rows else EventCounts()

    def add_refused_message(self) -> None:
        """Count one message that a worker has refused; others may change the counts at the same moment."""
        one = {CountKey(None, REFUSED_MESSAGE, None): Count(1, 0)}
        for _ in range(TRIES):
            old = self.load()
            if self.replace(old, old.plus(one, old.upto)):
                break

    def replace(self, old: EventCounts, new: EventCounts, minutes: job_minutes.Minutes = MappingProxyType({})) -> bool:
        """Store the new counts, and add to the history; false, without a change, if the old counts are not stored."""
        before = _to_text(old.counts)

        def change(db: peewee.Database) -> bool:
            if not old.upto:
                _C.insert(id=1, upto=0, counts="[]").on_conflict_ignore().execute(db)
            same = (_C.upto == old.upto, _C.counts == before)
            if not _C.update(upto=new.upto, counts=_to_text(new.counts)).where(*same).execute(db):
                return False
            job_minutes.add(db, minutes)  # The row that was just updated is locked until the commit.
            return True

        return self._database.write(change)

    def forget_minutes(self, *, at: int) -> bool:
        """Delete rows of the history that are too old at ``at``; whether there may be more."""
        return job_minutes.forget(self._database, at=at)


def _to_text(counts: Mapping[CountKey, Count]) -> str:
    return strict_json.dumps([[*key, *count] for key, count in counts.items()])


def _from_text(text: str) -> dict[CountKey, Count]:
    return {CountKey(task, kind, bucket): Count(*count) for task, kind, bucket, *count in strict_json.loads(text)}


def _bucket() -> tuple[peewee.Case, peewee.Case]:
    """The bucket of a job that has run, and its run time in microseconds."""
    ran = peewee.Case(None, [(_J.finished > _J.started, _J.finished - _J.started)], 0)
    final = _E.kind.in_([state.value for state in sorted(FINAL)]) & _J.started.is_null(is_null=False)
    steps = [(final & (ran <= int(bound * 1_000_000)), number) for number, bound in enumerate(BUCKETS)]
    return peewee.Case(None, [*steps, (final, len(BUCKETS))]), peewee.Case(None, [(final, ran)], 0)


def _of_range(after: int, upto: int) -> peewee.Query:
    bucket, ran = _bucket()
    number = peewee.fn.COUNT(peewee.SQL("1"))
    columns = (_J.task, _E.kind, bucket.alias("bucket"), number, peewee.fn.SUM(ran))
    query = _E.select(*columns).join(_J, peewee.JOIN.LEFT_OUTER, on=(_J.uuid == _E.job))
    counted = query.where(_E.id > after, _E.id <= upto, _E.kind != PROGRESS)
    return counted.group_by(_J.task, _E.kind, peewee.SQL("bucket"))
