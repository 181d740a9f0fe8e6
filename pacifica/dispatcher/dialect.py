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


class Compact(peewee.SchemaManager):
    """Makes a table that SQLite keeps in its primary key alone, without a hidden row id and a second tree."""

    def create_table(self, safe: bool = True, **options: object) -> None:  # noqa: FBT001, FBT002 - PeeWee's own
        """Create it; the other databases have no such option, and the one of the model holds for all."""
        self.model._meta.without_rowid = is_sqlite(self.database)
        super().create_table(safe, **options)


class PartialIndex(NamedTuple):
    """An index of few rows: the ``columns`` of those that ``where`` lets in.

    MySQL knows no partial indexes and takes ``on_mysql``, which begins with what the queries ask to be equal.
    """

    columns: str
    where: peewee.SQL
    on_mysql: str
