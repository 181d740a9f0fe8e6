"""How the tables of a database differ from the models of this version.

``playhouse.schema_diff`` compares neither types nor what may be NULL, and knows no index that a model does not
declare; so this looks for itself. What is in the database and none of ours is not looked at.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import peewee

from .. import orm
from ..dialect import is_mysql, is_sqlite

WORDS = {"character varying": "varchar", "int": "integer", "tinyint": "bool", "boolean": "bool", "bigserial": "bigint"}
"""What databases answer when they are asked for a type, and how peewee calls it."""
BY_KEY = re.compile(r"PRIMARY\Z|sqlite_autoindex_|.*_pkey\Z")
"""Indexes that come with a primary key."""


class Difference(NamedTuple):
    """One difference, in words; ``breaks`` when the service fails by it, and does not merely get slower."""

    table: str
    told: str
    breaks: bool


class Column(NamedTuple):
    """What is compared of a column."""

    type: str
    null: bool

    def __str__(self) -> str:
        return f"{self.type}{'' if self.null else ' NOT NULL'}"


class Index(NamedTuple):
    """What is compared of an index."""

    columns: tuple[str, ...]
    unique: bool
    partial: bool

    def __str__(self) -> str:
        return f"{'unique ' * self.unique}{'partial ' * self.partial}({', '.join(self.columns)})"


def differences(db: peewee.Database) -> list[Difference]:
    """Every difference, in the order of the models."""
    there = set(db.get_tables())
    return [one for model in orm.MODELS for one in _of_table(db, model, present=model._meta.table_name in there)]


def _of_table(db: peewee.Database, model: type[peewee.Model], *, present: bool) -> Iterator[Difference]:
    table = model._meta.table_name
    if not present:
        yield Difference(table, "the table is missing", breaks=True)
        return
    yield from _compare(table, "column", _modelled_columns(db, model), _found_columns(db, table), breaks=True)
    yield from _compare(table, "index", _modelled_indexes(db, model), _found_indexes(db, table), breaks=False)
    key = [field.column_name for field in model._meta.get_primary_keys()]
    found = list(db.get_primary_keys(table))
    if sorted(found) != sorted(key):
        yield Difference(table, f"the primary key is {', '.join(found)} instead of {', '.join(key)}", breaks=True)


def _compare(
    table: str, kind: str, wanted: Mapping[str, object], found: Mapping[str, object], *, breaks: bool
) -> Iterator[Difference]:
    for name, one in wanted.items():
        if name not in found:
            yield Difference(table, f"{kind} {name} is missing", breaks)
        elif found[name] != one:
            yield Difference(table, f"{kind} {name} is {found[name]} instead of {one}", breaks)
    for name in sorted(found.keys() - wanted.keys()):
        yield Difference(table, f"{kind} {name} is not of this version", breaks=False)


def _modelled_columns(db: peewee.Database, model: type[peewee.Model]) -> Mapping[str, Column]:
    context = db.get_sql_context()
    return {
        field.column_name: Column(_type(field.ddl_datatype(context).sql), bool(field.null))
        for field in model._meta.sorted_fields
    }


def _found_columns(db: peewee.Database, table: str) -> Mapping[str, Column]:
    if is_sqlite(db):
        return {column.name: Column(_type(column.data_type), bool(column.null)) for column in db.get_columns(table)}
    (schema,) = db.execute_sql("SELECT DATABASE()" if is_mysql(db) else "SELECT current_schema()").fetchone()
    found = db.execute_sql(
        "SELECT column_name, data_type, character_maximum_length, is_nullable FROM information_schema.columns "
        "WHERE table_schema = %s AND table_name = %s",
        (schema, table),
    )
    return {name: Column(_type(kind, length), null == "YES") for name, kind, length, null in found.fetchall()}


def _type(told: str, length: Any = None) -> str:
    """One word for what the databases call differently; a length where it means something."""
    word, _, inside = told.lower().removesuffix(" auto_increment").partition("(")
    word = WORDS.get(word, word)
    return f"{word}({length or inside.rstrip(')')})" if word == "varchar" else word


def _modelled_indexes(db: peewee.Database, model: type[peewee.Model]) -> Mapping[str, Index]:
    wanted = {
        index._name: Index(tuple(field.column_name for field in index._expressions), bool(index._unique), partial=False)
        for index in model._meta.fields_to_index()
    }
    if model is orm.Job:
        for name, index in orm.JOB_INDEXES.items():
            columns = index.on_mysql if is_mysql(db) else index.columns
            wanted[name] = Index(tuple(columns.split(", ")), unique=False, partial=not is_mysql(db))
    return wanted


def _found_indexes(db: peewee.Database, table: str) -> Mapping[str, Index]:
    return {
        index.name: Index(tuple(index.columns), bool(index.unique), " WHERE " in (index.sql or "").upper())
        for index in db.get_indexes(table)
        if not BY_KEY.match(index.name)
    }
