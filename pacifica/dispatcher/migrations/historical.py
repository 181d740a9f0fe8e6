"""The historical table ``dispatchermodel`` of the service's first years: one row for each job that succeeded.

Its rows become jobs. The table itself is not changed, so that the older service can still use it; an administrator
who no longer needs it may drop it.
"""

import logging
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import peewee

from ..core import strict_json
from ..core.job import micros
from ..dialect import Model

logger = logging.getLogger(__name__)

TABLE = "dispatchermodel"
TASK = "unknown"
"""The task name of these jobs, as the table has none: they can be searched for, but not run again."""
BATCH = 500
"""The number of rows in memory at a time; on MySQL each batch is a commit."""
LOGGED_EVERY = 10_000
"""The number of rows between two log lines."""
Row = dict[str, Any]


def take_over(db: peewee.Database, job: Model, event: Model) -> None:
    """Store a SUCCESS job with its event for each row that has none yet; ``job`` and ``event`` are the models.

    Rows that are marked as deleted, and rows without a UUID, are left out.
    """
    if not db.table_exists(TABLE):
        return
    read = added = deleted = invalid = 0
    for rows in _batches(db):
        kept = [row for row in rows if row[-1] is None]
        jobs = [found for row in kept if (found := _as_job(row)) is not None]
        added += _store(db, jobs, job, event)
        read += len(rows)
        deleted += len(rows) - len(kept)
        invalid += len(kept) - len(jobs)
        if read % LOGGED_EVERY < BATCH:
            logger.info("Read %d rows of %s.", read, TABLE)
    logger.info(
        "%d of %d rows of %s became jobs (left out: %d marked as deleted, %d without a UUID, %d that are jobs already)"
        ". The table itself was not changed.",
        *(added, read, TABLE, deleted, invalid, read - added - deleted - invalid),
    )


def _batches(db: peewee.Database) -> Iterator[Sequence[Sequence[Any]]]:
    """Read all rows, in pages by key."""
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
        name = str(UUID(str(uuid)))  # PeeWee wrote 32 hexadecimal digits where the database has no UUID type.
    except ValueError:
        logger.warning("A row of %s is left out: %.80r is not a UUID.", TABLE, uuid)
        return None
    start = _micros(created) or _micros(updated) or 0
    return {
        "uuid": name,
        "task": TASK,
        "args": "[]",
        "kwargs": "{}",
        "state": "SUCCESS",
        "attempt": 1,
        "max_attempts": 1,
        "result": _as_json(value),
        "created": start,
        "started": start,
        "finished": max(_micros(updated) or 0, start),
        "version": 1,
    }


def _micros(value: Any) -> int | None:
    """The time in microseconds; SQLite stores it as text."""
    if isinstance(value, datetime):
        return micros(value)
    try:
        return micros(datetime.fromisoformat(value))
    except (TypeError, ValueError):
        return None


def _as_json(text: Any) -> str | None:
    """The value as the JSON text of a job row: text that is not JSON becomes a string, and null becomes NULL."""
    if text is None:
        return None
    try:
        value = strict_json.loads(text)
    except ValueError:
        value = text
    return None if value is None else strict_json.dumps(value)


def _store(db: peewee.Database, rows: Sequence[Row], job: Model, event: Model) -> int:
    """Store, in one commit, the rows that are not jobs yet; returns how many."""
    with db.atomic():
        uuids = [row["uuid"] for row in rows]
        present = {uuid for (uuid,) in job.select(job.uuid).where(job.uuid.in_(uuids)).tuples().execute(db)}
        new = {row["uuid"]: row for row in rows if row["uuid"] not in present}
        if new:
            job.insert_many(list(new.values())).execute(db)
            events = [{"job": row["uuid"], "at": row["finished"], "kind": row["state"]} for row in new.values()]
            event.insert_many(events).execute(db)
    return len(new)
