"""The differences between SQLite, PostgreSQL and MySQL, for the models of this version and for all migrations.

A migration keeps its meaning only while these keep theirs: add to them, but change none of them.
"""

from typing import Any, NamedTuple

import peewee

KEY_LENGTH = 191
"""The longest indexed string, in characters: MySQL indexes 767 bytes, and utf8mb4 uses four for each."""
CHANNEL = "pacifica_dispatcher"
"""PostgreSQL's channel for the notifications that a job is due."""
Model = Any
"""A model class; PeeWee's type hints lack its schema manager."""


def is_sqlite(database: peewee.Database) -> bool:
    """Whether the database is SQLite."""
    return isinstance(database, peewee.SqliteDatabase)


def is_mysql(database: peewee.Database) -> bool:
    """Whether the database is MySQL or MariaDB."""
    return isinstance(database, peewee.MySQLDatabase)


def metadata(model: Model) -> Any:
    """The documented introspection of a model: ``table_name``, ``sorted_fields``, ``primary_key`` and others."""
    return model._meta  # noqa: SLF001 - documented: docs.peewee-orm.com/en/latest/peewee/models.html


class DeclaredIndex(NamedTuple):
    """An index that a model declares."""

    name: str
    columns: tuple[str, ...]
    unique: bool


def declared_indexes(model: Model) -> list[DeclaredIndex]:
    """The indexes of the model's fields and of its ``Meta.indexes``."""
    return [
        DeclaredIndex(
            index._name,  # noqa: SLF001 - PeeWee has no public name for it
            tuple(field.column_name for field in index._expressions),  # noqa: SLF001 - the same
            bool(index._unique),  # noqa: SLF001 - the same
        )
        for index in metadata(model).fields_to_index()
    ]


class LongTextField(peewee.TextField):
    """Text without a practical limit: MySQL's own TEXT ends at 65,535 bytes."""

    field_type = "LONGTEXT"


class SequenceField(peewee.BigAutoField):
    """A key that is never used twice: without AUTOINCREMENT, SQLite reuses the highest key when its row is deleted."""

    def ddl(self, ctx: peewee.Context) -> peewee.NodeList:
        """The column's definition."""
        column = super().ddl(ctx)
        on_sqlite = ctx.state.param == peewee.SqliteDatabase.param
        return peewee.NodeList((column, peewee.SQL("AUTOINCREMENT"))) if on_sqlite else column


class WithoutRowid(peewee.SchemaManager):
    """Creates a table WITHOUT ROWID on SQLite, which stores it in the tree of its primary key alone."""

    def create_table(self, safe: bool = True, **options: object) -> None:  # noqa: FBT001, FBT002 - PeeWee's signature
        """Create the table; only SQLite has the option."""
        metadata(self.model).without_rowid = is_sqlite(self.database)
        super().create_table(safe, **options)


class PartialIndex(NamedTuple):
    """An index of the ``columns`` of only those rows that satisfy ``where``.

    MySQL has no partial indexes and uses ``on_mysql``, which begins with the columns that queries compare for equality.
    """

    columns: str
    where: peewee.SQL
    on_mysql: str
