"""The history of ended jobs: their number, run times and waiting times, by minute, quarter of an hour and hour.

The leader adds each job once, in the transaction that counts its last event. A purge of jobs does not change the
history. A span of time has a row for each task and outcome, and one for all tasks together.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import peewee

from .. import orm
from ..core import strict_json
from ..core.histogram import Histogram, bucket_of
from ..core.job import FINAL
from ..dialect import is_mysql
from .connections.mysql import execute_with_index_hint
from .database import Database

_M, _E, _J = orm.JobMinutes, orm.Event, orm.Job
MINUTE, QUARTER, HOUR_SPAN = 60, 900, 3600
DAY = 86_400
KEPT: Mapping[int, int] = {MINUTE: 2 * DAY, QUARTER: 7 * DAY, HOUR_SPAN: 35 * DAY}
"""The lengths of the spans, each with the age at which its rows are deleted, in seconds."""
ALL_TASKS = ""
"""The task of the rows for all tasks together."""
CHUNK = 100
"""The most rows that one statement writes, and the most spans that one statement reads."""
FORGOTTEN = 500
"""About the most rows that one transaction deletes."""


class MinuteKey(NamedTuple):
    """A row: the span's length and its start, in seconds since 1970; the task, and the final state of its jobs."""

    span: int
    start: int
    task: str
    outcome: str


@dataclass
class EndedJobs:
    """The number of jobs, and the histograms of their run times and waiting times.

    A job that never started has neither time. A job that started again after a loss has no waiting time.
    """

    jobs: int = 0
    run: dict[int, int] = field(default_factory=dict)
    wait: dict[int, int] = field(default_factory=dict)

    def count(  # noqa: PLR0913, PLR0917 - the columns of a row
        self, created: int, eta: int | None, started: int | None, finished: int | None, attempt: int, retries: int
    ) -> None:
        """Count one job; times of two clocks may be in the wrong order."""
        self.jobs += 1
        if started is None or finished is None:
            return
        _increment(self.run, bucket_of(finished - started))
        if attempt - retries == 1:
            _increment(self.wait, bucket_of(started - max(created, eta or 0)))

    def add(self, other: "EndedJobs") -> None:
        """Add those of another row."""
        self.jobs += other.jobs
        for mine, others in ((self.run, other.run), (self.wait, other.wait)):
            for bucket, number in others.items():
                mine[bucket] = mine.get(bucket, 0) + number


Minutes = Mapping[MinuteKey, EndedJobs]


class HistoryRow(NamedTuple):
    """A row of the history."""

    key: MinuteKey
    ended: EndedJobs


def ended(database: Database, after: int, upto: int, *, at: int) -> Minutes:
    """The jobs whose last event has an id in ``after < id <= upto``; without those that would be deleted at ``at``."""
    columns = (_E.at, _E.kind, _J.task, _J.created, _J.eta, _J.started, _J.finished, _J.attempt, _J.retries)
    query = _E.select(*columns).join(_J, peewee.JOIN.LEFT_OUTER, on=(_J.uuid == _E.job))
    final = [state.value for state in sorted(FINAL)]
    found: dict[MinuteKey, EndedJobs] = defaultdict(EndedJobs)
    for when, outcome, task, *times in database.rows(query.where(_E.id > after, _E.id <= upto, _E.kind.in_(final))):
        minute = MinuteKey(MINUTE, when // 1_000_000 // MINUTE * MINUTE, task or ALL_TASKS, outcome)
        found[minute].count(*times)
    return _in_all_spans(found, at // 1_000_000)


def add(db: peewee.Database, minutes: Minutes) -> None:
    """Add to the rows, inside the caller's transaction, which excludes other callers."""
    sums = _stored(db, minutes)
    for key, jobs in minutes.items():
        sums[key].add(jobs)
    rows = [_to_row(key, sums[key]) for key in minutes]
    key_columns = () if is_mysql(db) else (_M.span, _M.start, _M.task, _M.outcome)
    for first in range(0, len(rows), CHUNK):
        insert = _M.insert_many(rows[first : first + CHUNK])
        insert.on_conflict(conflict_target=key_columns, preserve=(_M.jobs, _M.run, _M.wait)).execute(db)


def read_all(database: Database, span: int, since: int) -> list[HistoryRow]:
    """The rows for all tasks together, of the spans that begin at ``since`` or later, in seconds."""
    return list(_read(database, _columns().where(_M.span == span, _M.start >= since, _M.task == ALL_TASKS)))


def read_tasks(  # noqa: PLR0913, PLR0917 - the parts of a key
    database: Database,
    span: int,
    since: int,
    matches: Callable[[str], bool],
    outcome: str | None = None,
    before: int | None = None,
) -> list[HistoryRow]:
    """The rows of each task whose name matches, of the spans from ``since``, in seconds; with one outcome, or all.

    ``before``: without the spans that begin then or later.

    Names are matched before the histograms are read, as most of the time goes into these.
    """
    those = [_M.span == span, _M.start >= since]
    those += [] if outcome is None else [_M.outcome == outcome]
    those += [] if before is None else [_M.start < before]
    names = [name for (name,) in database.rows(_M.select(_M.task).where(*those).distinct()) if name and matches(name)]
    return list(_read(database, _columns().where(*those, _M.task.in_(names)))) if names else []


def forget(database: Database, *, at: int, limit: int = FORGOTTEN) -> bool:
    """Delete the oldest rows that are too old at ``at``, about ``limit`` of each span; whether there may be more.

    Takes no write lock if there are none.
    """
    full = False
    for span, kept in KEPT.items():
        old = _M.select(_M.start).where(_M.span == span, _M.start < at // 1_000_000 - kept)
        found = [start for (start,) in database.rows(old.order_by(_M.start).limit(limit))]
        if found:
            _delete(database, span, found[-1])
        full = full or len(found) == limit
    return full


def _delete(database: Database, span: int, upto: int) -> None:
    query = _M.delete().where(_M.span == span, _M.start <= upto)
    database.write(lambda db: execute_with_index_hint(db, query))


def _in_all_spans(minutes: Minutes, now: int) -> Minutes:
    """The sums for each span and for all tasks, without those that are too old.

    A job that was purged before it was counted has no task, and counts only among those of all tasks.
    """
    found: dict[MinuteKey, EndedJobs] = defaultdict(EndedJobs)
    for minute, jobs in minutes.items():
        for span, kept in KEPT.items():
            start = minute.start // span * span
            if start >= now - kept:
                for task in {minute.task, ALL_TASKS}:
                    found[MinuteKey(span, start, task, minute.outcome)].add(jobs)
    return found


def _stored(db: peewee.Database, minutes: Minutes) -> dict[MinuteKey, EndedJobs]:
    """The present rows of the same spans of time."""
    starts: dict[int, set[int]] = defaultdict(set)
    for key in minutes:
        starts[key.span].add(key.start)
    found: dict[MinuteKey, EndedJobs] = defaultdict(EndedJobs)
    for span, those in starts.items():
        for some in _chunks(sorted(those)):
            query = _columns().where(_M.span == span, _M.start.in_(some))
            found.update(_from_row(row) for row in query.tuples().execute(db))
    return found


def _increment(histogram: dict[int, int], bucket: int) -> None:
    histogram[bucket] = histogram.get(bucket, 0) + 1


def _chunks(values: Sequence[int]) -> Iterator[Sequence[int]]:
    return (values[first : first + CHUNK] for first in range(0, len(values), CHUNK))


def _columns() -> peewee.Query:
    return _M.select(_M.span, _M.start, _M.task, _M.outcome, _M.jobs, _M.run, _M.wait)


def _read(database: Database, query: peewee.Query) -> Iterable[HistoryRow]:
    return map(_from_row, database.rows(query.order_by(_M.start, _M.task, _M.outcome)))


def _to_row(key: MinuteKey, jobs: EndedJobs) -> dict[str, Any]:
    times = {"run": _to_text(jobs.run), "wait": _to_text(jobs.wait)}
    return {**key._asdict(), "jobs": jobs.jobs, **times}


def _from_row(row: Sequence[Any]) -> HistoryRow:
    *key, jobs, run, wait = row
    return HistoryRow(MinuteKey(*key), EndedJobs(jobs, dict(strict_json.loads(run)), dict(strict_json.loads(wait))))


def _to_text(histogram: Histogram) -> str:
    return strict_json.dumps(sorted(histogram.items()))
