"""Tombstones: the UUIDs of purged jobs, which are remembered for a while in a few bytes each."""

from collections.abc import Iterable
from uuid import UUID

import peewee

from .. import orm
from .connections.mysql import along
from .database import Database

_T = orm.Tombstone
HOUR = 3_600_000_000
"""Microseconds; a tombstone knows no finer time."""
FIRST = UUID(int=0)
"""Before all others."""


def put(db: peewee.Database, uuids: Iterable[str], at: int) -> None:
    """Remember them, inside the caller's transaction; one that is remembered already stays as it is.

    An id that Celery's user has made up, and that is no UUID, is not remembered.
    """
    found = [key for uuid in uuids if (key := _key(uuid)) is not None]
    if found:
        _T.insert_many([{_T.job: key, _T.hour: at // HOUR} for key in found]).on_conflict_ignore().execute(db)


def is_there(database: Database, uuid: str) -> bool:
    """Whether the UUID is remembered."""
    if (key := _key(uuid)) is None:
        return False
    query = _T.select(_T.hour).where(_T.job == key)
    return bool(database.read(lambda db: list(query.tuples().execute(db))))


def forget(database: Database, before: int, after: UUID, limit: int) -> UUID:
    """Of the ``limit`` next ones behind ``after`` delete those from before then; where to go on, ``FIRST`` at the end.

    So a look costs the same however many there are, and takes no write lock when it finds nothing.
    """
    query = _T.select(_T.job, _T.hour).where(_T.job > after).order_by(_T.job).limit(limit)
    found = database.read(lambda db: list(query.tuples().execute(db)))
    old = [job for job, hour in found if hour < before // HOUR]
    if old:
        database.write(lambda db: along(db, _T.delete().where(_T.job.in_(old))))
    return found[-1][0] if len(found) == limit else FIRST


def _key(uuid: str) -> UUID | None:
    try:
        return UUID(uuid)
    except ValueError:
        return None
