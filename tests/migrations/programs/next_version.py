"""A migration as the next version of this service might bring it."""

import peewee

from pacifica.dispatcher.migrations import tables


class Later(peewee.Model):
    name = peewee.CharField(20, primary_key=True)

    class Meta:
        table_name = "later"


def up(_, db):
    """Create the table."""
    tables.create(db, [Later])


def down(_, db):
    """Drop the table."""
    tables.drop(db, [Later])
