"""Small reads and writes, for tests of the database."""

import peewee

from pacifica.dispatcher import orm
from pacifica.dispatcher.store.database import Database


def one(database: Database) -> int:
    """Read a constant."""
    found: int = database.read(lambda db: db.execute_sql("SELECT 1").fetchone()[0])
    return found


def add_event(db: peewee.Database, kind: str = "PENDING") -> None:
    """Insert an event, which needs no other row."""
    orm.Event.insert(job="j", at=1, kind=kind).execute(db)


def count_events(database: Database) -> int:
    """The number of events."""
    return int(database.read(orm.Event.select().count))
