"""A search by queue reads an index; a job that names no queue, as most do, is not in it."""

from typing import Any

import peewee

from pacifica.dispatcher.dialect import PartialIndex
from pacifica.dispatcher.migrations import tables

INDEX = PartialIndex("queue, created, uuid", peewee.SQL("queue IS NOT NULL"), "queue, created, uuid")


def up(_: Any, db: peewee.Database) -> None:
    """Create the index."""
    tables.create_partial_index(db, "job", "job_queue", INDEX)


def down(_: Any, db: peewee.Database) -> None:
    """Drop it."""
    tables.drop_index(db, "job", "job_queue")
