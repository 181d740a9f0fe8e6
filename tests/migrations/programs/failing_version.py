"""A migration that fails after its first statement."""

import peewee

from pacifica.dispatcher.migrations import tables


class Later(peewee.Model):
    name = peewee.CharField(20, primary_key=True)

    class Meta:
        table_name = "later"


def up(_, db):
    """Create the table, and insert a row that it refuses."""
    tables.create(db, [Later])
    db.execute_sql("INSERT INTO later VALUES (NULL)")


def down(_, db):
    """Drop the table."""
    tables.drop(db, [Later])
