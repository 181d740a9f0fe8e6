"""Searching for jobs: pages, newest first, that do not shift while new jobs arrive.

No database has an index for a text within another one. The failed jobs are therefore read newest first, at most
``MOST_FAILURES`` for a page, and their errors are compared in Python: upper and lower case then mean the same on each
database, and no character is a wildcard.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from heapq import nlargest
from typing import Any

import peewee

from .. import orm
from ..core import strict_json
from ..core.job import State
from ..core.job_filter import MOST_FAILURES, JobFilter, PageCursor
from ..core.permissions import Visibility
from . import mapping
from .visibility import dispatched_by, task_names, within

_J, _L = orm.Job, orm.Label

MAX_PAGE = 16_777_216
"""A page ends before the job with which its text would have more characters than this, but has at least one job."""
ERROR_HEAD = 2000
"""How many characters of an error, as it is stored, such a search reads: the type comes first, then the message."""
_TEXT = r'[^"\\]*(?:\\(?:u[0-9a-f]{4}|[^u])[^"\\]*)*'
_TYPE_AND_MESSAGE = re.compile(rf'\{{"type": ?"({_TEXT})", ?"message": ?"({_TEXT})')
_CREATED, _UUID = (mapping.JOB_COLUMNS.index(column) for column in ("created", "uuid"))


def page(
    db: peewee.Database, filters: JobFilter, after: PageCursor | None, limit: int, visibility: Visibility
) -> tuple[Sequence[Sequence[Any]], PageCursor | None]:
    """The rows of at most ``limit`` visible jobs after ``after``, newest first, and the cursor of the next page.

    A task in ``filters`` must be visible. A page of a search for an error may have no job although there is a next one.

    For one filter, and for the failures of some tasks, an index has this order, and a page costs as much as the jobs
    that it shows. For other filters together it costs as much as the jobs that satisfy the narrowest one.
    """
    following = None
    if filters.error is not None and filters.states and State.FAILURE not in filters.states:
        return [], None  # No other job has an error.
    if filters.error is not None:
        uuids, following = _failures(db, filters, after, limit, visibility)
        query = _query(JobFilter(), None).where(_J.uuid.in_(uuids))
    else:
        query = _in_order(db, filters, after, limit + 1, visibility)
    found = query.limit(limit + 1).tuples().execute(db)
    try:
        rows, more = _of_one_page(found.iterator(), limit)
    finally:
        found.cursor.close()
    return rows, PageCursor(rows[-1][_CREATED], rows[-1][_UUID]) if more else following


def beginning_with(db: peewee.Database, beginning: str, limit: int) -> list[Sequence[Any]]:
    """The rows of the last ``limit`` jobs whose UUID has this beginning; it reads the index of the primary key."""
    after = f"{beginning}g"  # No character of a UUID comes after it.
    query = _query(JobFilter(), None).order_by(_J.uuid.desc()).where(_J.uuid >= beginning, _J.uuid < after).limit(limit)
    return [row for row in query.tuples().execute(db) if row[_UUID].startswith(beginning)]


def _is_narrow(filters: JobFilter, visibility: Visibility) -> bool:
    return bool(filters.labels or filters.caller or filters.queue or visibility.caller)


def _has_parts(filters: JobFilter, visibility: Visibility) -> bool:
    """Whether the jobs are those of several tasks or states, which no index has in the order of time."""
    return len(filters.states) > 1 or not (filters.task is not None or visibility.every_task)


def _in_order(  # noqa: PLR0913, PLR0917 - a search, and the columns that it reads
    db: peewee.Database,
    filters: JobFilter,
    after: PageCursor | None,
    limit: int,
    visibility: Visibility,
    columns: Sequence[Any] = mapping.JOB_COLUMNS,
) -> peewee.Query:
    """A query for at least the first ``limit`` jobs that are visible and match, in their order."""
    if _has_parts(filters, visibility) and not _is_narrow(filters, visibility):
        return _query(JobFilter(), None, columns).where(_J.uuid.in_(_newest(db, filters, after, limit, visibility)))
    names: Sequence[str] = () if filters.task is None else [filters.task]
    if not (names or visibility.every_task):
        names = task_names(db, visibility)
    return within(_query(filters, after, columns), visibility, names)


def _failures(
    db: peewee.Database, filters: JobFilter, after: PageCursor | None, limit: int, visibility: Visibility
) -> tuple[list[str], PageCursor | None]:
    """At most ``limit`` failed jobs with the text in their error, and where to continue, if there is more to see."""
    head = peewee.fn.SUBSTR(_J.error, 1, ERROR_HEAD)
    failed = replace(filters, states=[State.FAILURE])
    query = _in_order(db, failed, after, MOST_FAILURES + 1, visibility, ("created", "uuid", head))
    wanted = (filters.error or "").casefold()
    matching: list[PageCursor] = []
    last, number = None, 0
    rows = query.limit(MOST_FAILURES + 1).tuples().execute(db)
    try:
        for number, (created, uuid, text) in enumerate(rows.iterator(), 1):
            if number > MOST_FAILURES or len(matching) > limit:
                break
            last = PageCursor(created, uuid)
            if wanted in _error_text(text or "").casefold():
                matching.append(last)
    finally:
        rows.cursor.close()
    if len(matching) > limit:
        last = matching[limit - 1]
    elif number <= MOST_FAILURES:
        last = None
    return [place.uuid for place in matching[:limit]], last


def _error_text(stored: str) -> str:
    """The type and the message as a traceback ends with them, from the beginning of an error's JSON text."""
    found = _TYPE_AND_MESSAGE.match(stored)
    if found is None:
        return stored
    return ": ".join(strict_json.loads(f'"{part}"') for part in found.groups())


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
    """The newest jobs of several tasks or states: an index gives the newest of each, and no others are read."""
    states: Sequence[Sequence[State]] = [[state] for state in dict.fromkeys(filters.states)] or [[]]
    queries = [_query(replace(filters, states=each), after, ("created", "uuid")).limit(limit) for each in states]
    if filters.task is not None or visibility.every_task:
        tasks: Sequence[Sequence[str]] = [[] if filters.task is None else [filters.task]]
    else:
        tasks = [[name] for name in task_names(db, visibility)]
    parts = [within(query, visibility, names) for query in queries for names in tasks]
    found = [place for one in parts for place in one.tuples().execute(db)]
    return [uuid for _, uuid in nlargest(limit, found)]


def _query(filters: JobFilter, after: PageCursor | None, columns: Sequence[Any] = mapping.JOB_COLUMNS) -> peewee.Query:
    query = _J.select(*(getattr(_J, column) if isinstance(column, str) else column for column in columns))
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
    if filters.states == [State.FAILURE]:
        yield orm.FAILED
    elif filters.states:
        yield _J.state.in_([state.value for state in filters.states])
