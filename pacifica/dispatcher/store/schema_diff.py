"""The differences between the tables of a database and the models of this version.

``playhouse.schema_diff`` compares neither types nor nullability, and ignores indexes that no model declares.
Tables that are not in the models are ignored.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

import peewee

from .. import orm
from ..dialect import Model, declared_indexes, is_mysql, is_sqlite, metadata

TYPE_NAMES = {
    "character varying": "varchar",
    "int": "integer",
    "tinyint": "bool",
    "boolean": "bool",
    "bigserial": "bigint",
}
"""Type names of databases, and PeeWee's names for the same types."""
KEY_INDEX = re.compile(r"PRIMARY\Z|sqlite_autoindex_|.*_pkey\Z")
"""The names of indexes that belong to a primary key."""


class Difference(NamedTuple):
    """One difference; ``breaks`` if the service fails because of it, and does not only become slower."""

    table: str
    message: str
    breaks: bool


def differences(db: peewee.Database) -> list[Difference]:
    """Every difference, in the order of the models."""
    present = set(db.get_tables())
    return [
        difference
        for model in orm.MODELS
        for difference in _of_table(db, model, present=metadata(model).table_name in present)
    ]


def _of_table(db: peewee.Database, model: Model, *, present: bool) -> Iterator[Difference]:
    table = metadata(model).table_name
    if not present:
        yield Difference(table, "the table is missing", breaks=True)
        return
    yield from _compare(table, "column", _model_columns(db, model), _table_columns(db, table), breaks=True)
    yield from _compare(table, "index", _model_indexes(db, model), _table_indexes(db, table), breaks=False)
    key = [field.column_name for field in metadata(model).get_primary_keys()]
    found = list(db.get_primary_keys(table))
    if sorted(found) != sorted(key):
        yield Difference(table, f"the primary key is {', '.join(found)} instead of {', '.join(key)}", breaks=True)


def _compare(
    table: str, kind: str, wanted: Mapping[str, str], found: Mapping[str, str], *, breaks: bool
) -> Iterator[Difference]:
    for name, definition in wanted.items():
        if name not in found:
            yield Difference(table, f"{kind} {name} is missing", breaks)
        elif found[name] != definition:
            yield Difference(table, f"{kind} {name} is {found[name]} instead of {definition}", breaks)
    for name in sorted(found.keys() - wanted.keys()):
        yield Difference(table, f"{kind} {name} is not of this version", breaks=False)


def _model_columns(db: peewee.Database, model: Model) -> Mapping[str, str]:
    context = db.get_sql_context()
    return {
        field.column_name: _column(field.ddl_datatype(context).sql, null=field.null)
        for field in metadata(model).sorted_fields
    }


def _table_columns(db: peewee.Database, table: str) -> Mapping[str, str]:
    if is_sqlite(db):
        return {column.name: _column(column.data_type, null=column.null) for column in db.get_columns(table)}
    (schema,) = db.execute_sql("SELECT DATABASE()" if is_mysql(db) else "SELECT current_schema()").fetchone()
    found = db.execute_sql(
        "SELECT column_name, data_type, character_maximum_length, is_nullable FROM information_schema.columns "
        "WHERE table_schema = %s AND table_name = %s",
        (schema, table),
    )
    return {name: _column(kind, length, null=null == "YES") for name, kind, length, null in found.fetchall()}


def _column(declared: str, length: Any = None, *, null: bool) -> str:
    """A column's definition: PeeWee's name for the type, the length of a ``varchar``, and NOT NULL."""
    word, _, inside = declared.lower().removesuffix(" auto_increment").partition("(")
    word = TYPE_NAMES.get(word, word)
    size = f"({length or inside.rstrip(')')})" if word == "varchar" else ""
    return f"{word}{size}{'' if null else ' NOT NULL'}"


def _model_indexes(db: peewee.Database, model: Model) -> Mapping[str, str]:
    indexes = {index.name: _index(index.columns, unique=index.unique) for index in declared_indexes(model)}
    if model is orm.Job:
        for name, index in orm.JOB_INDEXES.items():
            columns = index.on_mysql if is_mysql(db) else index.columns
            indexes[name] = _index(columns.split(", "), partial=not is_mysql(db))
    return indexes


def _table_indexes(db: peewee.Database, table: str) -> Mapping[str, str]:
    return {
        index.name: _index(index.columns, unique=index.unique, partial=" WHERE " in (index.sql or "").upper())
        for index in db.get_indexes(table)
        if not KEY_INDEX.match(index.name)
    }


def _index(columns: Iterable[str], *, unique: bool = False, partial: bool = False) -> str:
    return f"{'unique ' * bool(unique)}{'partial ' * partial}({', '.join(columns)})"
