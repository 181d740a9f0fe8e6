"""What is remembered of purged jobs, and who looks after all of them."""

from typing import Any

import peewee

from pacifica.dispatcher.dialect import Compact
from pacifica.dispatcher.migrations import tables


class Tombstone(peewee.Model):
    job = peewee.BinaryUUIDField(primary_key=True)
    hour = peewee.IntegerField()

    class Meta:
        table_name = "tombstone"
        schema_manager_class = Compact


class Election(peewee.Model):
    duty = peewee.CharField(32, primary_key=True)
    holder = peewee.CharField(36)
    beat = peewee.BigIntegerField()

    class Meta:
        table_name = "election"


MODELS = (Tombstone, Election)


def up(_: Any, db: peewee.Database) -> None:
    """Create the tables."""
    tables.create(db, MODELS)


def down(_: Any, db: peewee.Database) -> None:
    """Drop them: a purged job is then as unknown as none."""
    tables.drop(db, MODELS)
