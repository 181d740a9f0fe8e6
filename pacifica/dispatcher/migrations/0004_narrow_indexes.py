"""Two indexes hold only what they are asked for, so that most jobs are stored, claimed and ended without them."""

from typing import Any

import peewee

from pacifica.dispatcher.dialect import PartialIndex, is_mysql
from pacifica.dispatcher.migrations import tables

WAITS = "state IN ('PENDING', 'RETRY')"
SENT, EXPIRES = "task, queue, published, due", "expires"
NARROW = {
    "job_sent": PartialIndex(SENT, peewee.SQL(f"{WAITS} AND due IS NULL AND published IS NOT NULL"), f"state, {SENT}"),
    "job_expires": PartialIndex(EXPIRES, peewee.SQL(f"{WAITS} AND expires IS NOT NULL"), f"state, {EXPIRES}"),
}
WIDE = {
    "job_sent": PartialIndex(SENT, peewee.SQL(WAITS), f"state, {SENT}"),
    "job_expires": PartialIndex(EXPIRES, peewee.SQL(WAITS), f"state, {EXPIRES}"),
}


def up(_: Any, db: peewee.Database) -> None:
    """Make them anew; MySQL has no indexes of some rows."""
    _make(db, NARROW)


def down(_: Any, db: peewee.Database) -> None:
    """Make them as they were."""
    _make(db, WIDE)


def _make(db: peewee.Database, indexes: dict[str, PartialIndex]) -> None:
    if is_mysql(db):
        return
    for name, index in indexes.items():
        tables.drop_index(db, "job", name)
        tables.create_partial_index(db, "job", name, index)
