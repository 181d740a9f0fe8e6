"""Looking for jobs: pages of them, newest first, that stay the same while jobs arrive."""

from collections.abc import Iterator, Sequence
from heapq import nlargest
from typing import Any

import peewee

from .. import orm
from ..access import EVERY_JOB, Reach
from ..job import Job
from ..search import Filters, Place
from . import rows
from .database import Database
from .reach import dispatched_by, task_names, within

_J, _L = orm.Job, orm.Label


def page(database: Database, filters: Filters, after: Place | None, limit: int, reach: Reach = EVERY_JOB) -> list[Job]:
    """At most ``limit`` jobs of the reach, newest first, from right behind ``after``; raises ``DatabaseUnavailable``.

    The order is that of an index for each filter by itself, so that a page costs what it shows. With
    several filters it costs what the narrowest of them lets through.
    """
    if filters.task is not None and not reach.matches(filters.task):
        return []
    return [rows.job_from_row(row) for row in database.read(lambda db: _read(db, filters, after, limit, reach))]


def _read(
    db: peewee.Database, filters: Filters, after: Place | None, limit: int, reach: Reach
) -> Sequence[Sequence[Any]]:
    by_task = filters.task is None and not reach.every_task
    names = task_names(db, reach) if by_task else [filters.task or ""]
    if by_task and not (filters.labels or filters.caller or reach.caller):
        query = _merged(db, filters, after, limit, names)
    else:
        query = within(_query(filters, after), reach, names)
    return list(query.limit(limit).tuples().execute(db))


def _merged(
    db: peewee.Database, filters: Filters, after: Place | None, limit: int, names: Sequence[str]
) -> peewee.Query:
    """The newest jobs of several tasks: each one's own newest, by its index, so that it costs nothing but these."""
    query = _query(filters, after, ("created", "uuid")).limit(limit)
    found = [place for name in names for place in query.where(_J.task == name).tuples().execute(db)]
    chosen = [uuid for _, uuid in nlargest(limit, found)]
    return _query(Filters(), None).where(_J.uuid.in_(chosen))


def _query(filters: Filters, after: Place | None, columns: Sequence[str] = rows.JOB_COLUMNS) -> peewee.Query:
    query = _J.select(*(getattr(_J, column) for column in columns))
    created, uuid = _J.created, _J.uuid
    for number, wanted in enumerate(filters.labels):
        label = _L.alias(f"label{number}")
        query = query.join_from(_J, label, on=(label.job == _J.uuid)).where(label.name == wanted.name)
        if wanted.value is not None:
            query = query.where(label.value == wanted.value)
        if number == 0:  # The label's own copy, which its index holds in order.
            created, uuid = label.created, label.job
    if conditions := list(_exactly(filters)):
        query = query.where(*conditions)
    if filters.since is not None:
        query = query.where(created >= filters.since)
    if filters.until is not None:
        query = query.where(created < filters.until)
    if after is not None:
        query = query.where((created <= after.created) & ((created < after.created) | (uuid < after.uuid)))
    return query.order_by(created.desc(), uuid.desc())


def _exactly(filters: Filters) -> Iterator[peewee.Node]:
    """What columns of the job's own must hold."""
    for column, value in ((_J.task, filters.task), (_J.queue, filters.queue)):
        if value is not None:
            yield column == value
    if filters.caller is not None:
        yield from dispatched_by(filters.caller)
    if filters.states:
        yield _J.state.in_([state.value for state in filters.states])
