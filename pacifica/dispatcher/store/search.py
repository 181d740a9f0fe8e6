"""Looking for jobs: pages of them, newest first, that stay the same while jobs arrive."""

import peewee

from .. import orm
from ..job import Job
from ..search import Filters, Place
from . import rows
from .database import Database

_J, _L = orm.Job, orm.Label


def page(database: Database, filters: Filters, after: Place | None, limit: int) -> list[Job]:
    """At most ``limit`` jobs, newest first, from right behind ``after``; raises ``DatabaseUnavailable``.

    The order is that of an index for each filter by itself, so that a page costs what it shows. With
    several filters it costs what the narrowest of them lets through.
    """
    query = _query(filters, after).limit(limit)
    return [rows.job_from_row(row) for row in database.read(lambda db: list(query.tuples().execute(db)))]


def _query(filters: Filters, after: Place | None) -> peewee.Query:
    query = _J.select(*(getattr(_J, column) for column in rows.JOB_COLUMNS))
    created, uuid = _J.created, _J.uuid
    for number, wanted in enumerate(filters.labels):
        label = _L.alias(f"label{number}")
        query = query.join_from(_J, label, on=(label.job == _J.uuid)).where(label.name == wanted.name)
        if wanted.value is not None:
            query = query.where(label.value == wanted.value)
        if number == 0:  # The label's own copy, which its index holds in order.
            created, uuid = label.created, label.job
    for column, value in ((_J.task, filters.task), (_J.queue, filters.queue), (_J.caller, filters.caller)):
        if value is not None:
            query = query.where(column == value)
    if filters.states:
        query = query.where(_J.state.in_([state.value for state in filters.states]))
    if filters.since is not None:
        query = query.where(created >= filters.since)
    if filters.until is not None:
        query = query.where(created < filters.until)
    if after is not None:
        query = query.where((created <= after.created) & ((created < after.created) | (uuid < after.uuid)))
    return query.order_by(created.desc(), uuid.desc())
