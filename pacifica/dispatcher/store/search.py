"""Searching for jobs: pages, newest first, that do not shift while new jobs arrive."""

from collections.abc import Iterator, Sequence
from heapq import nlargest
from typing import Any

import peewee

from .. import orm
from ..core.job_filter import JobFilter, PageCursor
from ..core.permissions import Visibility
from . import mapping
from .visibility import dispatched_by, task_names, within

_J, _L = orm.Job, orm.Label

MAX_PAGE = 16_777_216
"""A page ends before the job with which its text would have more characters than this, but has at least one job."""


def page(
    db: peewee.Database, filters: JobFilter, after: PageCursor | None, limit: int, visibility: Visibility
) -> tuple[Sequence[Sequence[Any]], bool]:
    """The rows of at most ``limit`` visible jobs after ``after``, newest first, and whether there are more.

    A task in ``filters`` must be visible.

    For one filter, an index has this order, and a page costs as much as the jobs that it shows. For several filters
    it costs as much as the jobs that satisfy the narrowest one.
    """
    if filters.task is not None or visibility.every_task:
        query = within(_query(filters, after), visibility, [] if filters.task is None else [filters.task])
    elif filters.labels or filters.caller or filters.queue or visibility.caller:
        query = within(_query(filters, after), visibility, task_names(db, visibility))
    else:
        query = _query(JobFilter(), None).where(_J.uuid.in_(_newest(db, filters, after, limit + 1, visibility)))
    found = query.limit(limit + 1).tuples().execute(db)
    try:
        return _of_one_page(found.iterator(), limit)
    finally:
        found.cursor.close()


def _of_one_page(rows: Iterator[Sequence[Any]], limit: int) -> tuple[Sequence[Sequence[Any]], bool]:
    """The first rows, at most ``limit`` and within ``MAX_PAGE``, and whether there are more."""
    taken: list[Sequence[Any]] = []
    size = 0
    for row in rows:
        size += sum(len(value) for value in row if isinstance(value, str))
        if len(taken) == limit or (taken and size > MAX_PAGE):
            return taken, True
        taken.append(row)
    return taken, False


def _newest(
    db: peewee.Database, filters: JobFilter, after: PageCursor | None, limit: int, visibility: Visibility
) -> list[str]:
    """The newest jobs of several tasks: the index gives the newest of each task, and no others are read."""
    query = _query(filters, after, ("created", "uuid")).limit(limit)
    tasks = [within(query, visibility, [name]) for name in task_names(db, visibility)]
    found = [place for one in tasks for place in one.tuples().execute(db)]
    return [uuid for _, uuid in nlargest(limit, found)]


def _query(filters: JobFilter, after: PageCursor | None, columns: Sequence[str] = mapping.JOB_COLUMNS) -> peewee.Query:
    query = _J.select(*(getattr(_J, column) for column in columns))
    created, uuid = _J.created, _J.uuid
    for number, wanted in enumerate(filters.labels):
        label = _L.alias(f"label{number}")
        query = query.join_from(_J, label, on=(label.job == _J.uuid)).where(label.name == wanted.name)
        if wanted.value is not None:
            query = query.where(label.value == wanted.value)
        if number == 0:  # The label's copies, which are in its index in this order.
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


def _exactly(filters: JobFilter) -> Iterator[peewee.Node]:
    """The conditions for columns of the job table."""
    for column, value in ((_J.task, filters.task), (_J.queue, filters.queue)):
        if value is not None:
            yield column == value
    if filters.caller is not None:
        yield from dispatched_by(filters.caller)
    if filters.states:
        yield _J.state.in_([state.value for state in filters.states])
