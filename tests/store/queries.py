"""Small reads and writes, for tests of the database."""

import peewee

from pacifica.dispatcher import orm
from pacifica.dispatcher.store.database import Database


def one(database: Database) -> int:
    """A look at the database."""
    found: int = database.read(lambda db: db.execute_sql("SELECT 1").fetchone()[0])
    return found


def add_event(db: peewee.Database, kind: str = "PENDING") -> None:
    """A row that needs no other."""
    orm.Event.insert(job="j", at=1, kind=kind).execute(db)


def count_events(database: Database) -> int:
    """How many rows there are."""
    return int(database.read(orm.Event.select().count))
