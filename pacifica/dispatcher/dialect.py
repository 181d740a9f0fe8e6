"""What SQLite, PostgreSQL and MySQL do not have in common, for the models of today and the migrations of all times.

A migration keeps its meaning only while these keep theirs: add to them, and change none.
"""

from typing import NamedTuple

import peewee

KEY_LENGTH = 191
"""The longest indexed string, in characters: MySQL indexes 767 bytes, and utf8mb4 takes four each."""


def is_sqlite(database: peewee.Database) -> bool:
    """Whether the database is an SQLite file (or memory)."""
    return isinstance(database, peewee.SqliteDatabase)


def is_mysql(database: peewee.Database) -> bool:
    """Whether the database is MySQL or MariaDB."""
    return isinstance(database, peewee.MySQLDatabase)


class LongTextField(peewee.TextField):
    """Text without a limit that matters: MySQL's own TEXT ends at 65,535 bytes."""

    field_type = "LONGTEXT"


class SequenceField(peewee.BigAutoField):
    """A key that is never given twice: plain SQLite gives the highest key again once its row is deleted."""

    def ddl(self, ctx: peewee.Context) -> peewee.NodeList:
        """The column's definition; only SQLite has to be told."""
        column = super().ddl(ctx)
        on_sqlite = ctx.state.param == peewee.SqliteDatabase.param
        return peewee.NodeList((column, peewee.SQL("AUTOINCREMENT"))) if on_sqlite else column


class PartialIndex(NamedTuple):
    """An index of few rows: the ``columns`` of those that ``where`` lets in.

    MySQL knows no partial indexes and takes ``on_mysql``, which begins with what the queries ask to be equal.
    """

    columns: str
    where: peewee.SQL
    on_mysql: str
