"""The layout of the service's first years: one table ``dispatchermodel``, a row for each job that had succeeded.

Its rows become jobs. The table itself stays as it is, so that nothing is lost and a way back needs nothing but
the older service; whoever is sure may drop it.
"""

import logging
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import peewee

from ..core import strict_json
from ..core.job import micros
from .tables import Model

logger = logging.getLogger(__name__)

TABLE = "dispatchermodel"
TASK = "unknown"
"""The task of a job that the table names no task for: it can be searched for, and not be run again."""
BATCH = 500
"""Rows that are held in memory, and committed together where MySQL commits in between."""
REPORTED = 10_000
Row = dict[str, Any]


def take_over(db: peewee.Database, job: Model, event: Model) -> None:
    """Store a SUCCESS job, with its event, for each row that has none; ``job`` and ``event`` are the tables' models.

    What was marked as deleted was to be seen no more, and is not taken over; nor is what has no UUID.
    """
    if not db.table_exists(TABLE):
        return
    read = taken = deleted = nameless = 0
    for rows in _batches(db):
        seen = [row for row in rows if row[-1] is None]
        jobs = [found for row in seen if (found := _as_job(row)) is not None]
        taken += _store(db, jobs, job, event)
        read += len(rows)
        deleted += len(rows) - len(seen)
        nameless += len(seen) - len(jobs)
        if read % REPORTED < BATCH:
            logger.info("%d rows of %s are read.", read, TABLE)
    logger.info(
        "%d of %d rows of %s became jobs (left out: %d marked as deleted, %d without a UUID, %d that are jobs already)"
        "; the table stays as it is.",
        *(taken, read, TABLE, deleted, nameless, read - taken - deleted - nameless),
    )


def _batches(db: peewee.Database) -> Iterator[Sequence[Sequence[Any]]]:
    """All rows, each read once: pages by their key."""
    table = peewee.Table(TABLE)
    key, *others = (getattr(table.c, name) for name in ("uuid", "value", "created", "updated", "deleted"))
    query = table.select(key, *others).order_by(key).limit(BATCH).tuples()
    rows = list(query.where(~key.is_null()).execute(db))
    while rows:
        yield rows
        rows = list(query.where(key > rows[-1][0]).execute(db))


def _as_job(row: Sequence[Any]) -> Row | None:
    uuid, value, created, updated, _ = row
    try:
        name = str(UUID(str(uuid)))  # PeeWee wrote hexadecimal digits where the database has no UUIDs.
    except ValueError:
        logger.warning("A row of %s is left behind: %.80r is not a UUID.", TABLE, uuid)
        return None
    began = _moment(created) or _moment(updated) or 0
    return {
        "uuid": name,
        "task": TASK,
        "args": "[]",
        "kwargs": "{}",
        "state": "SUCCESS",
        "attempt": 1,
        "max_attempts": 1,
        "result": _as_json(value),
        "created": began,
        "started": began,
        "finished": max(_moment(updated) or 0, began),
        "version": 1,
    }


def _moment(value: Any) -> int | None:
    """Microseconds; SQLite holds a time as text."""
    if isinstance(value, datetime):
        return micros(value)
    try:
        return micros(datetime.fromisoformat(value))
    except (TypeError, ValueError):
        return None


def _as_json(text: Any) -> str | None:
    """JSON as the rows hold it; what is none becomes a string, and null is NULL."""
    if text is None:
        return None
    try:
        value = strict_json.loads(text)
    except ValueError:
        value = text
    return None if value is None else strict_json.dumps(value)


def _store(db: peewee.Database, rows: Sequence[Row], job: Model, event: Model) -> int:
    """Store those that are not there, and count them; one commit."""
    with db.atomic():
        uuids = [row["uuid"] for row in rows]
        there = {uuid for (uuid,) in job.select(job.uuid).where(job.uuid.in_(uuids)).tuples().execute(db)}
        new = {row["uuid"]: row for row in rows if row["uuid"] not in there}
        if new:
            job.insert_many(list(new.values())).execute(db)
            events = [{"job": row["uuid"], "at": row["finished"], "kind": row["state"]} for row in new.values()]
            event.insert_many(events).execute(db)
    return len(new)
