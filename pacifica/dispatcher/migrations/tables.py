"""What migrations do to tables. All of it may be repeated: MySQL keeps what an interrupted migration has done."""

from collections.abc import Sequence
from typing import Any

import peewee
from playhouse.migrate import SchemaMigrator, migrate

from ..dialect import PartialIndex, SequenceField, is_mysql, is_sqlite

Model = Any
"""A model's class; PeeWee's types do not know the manager of its schema."""


def create(db: peewee.Database, models: Sequence[Model]) -> None:
    """Create each table, or what is missing of it: columns that may be empty or have a default, and indexes."""
    for model in models:
        with db.bind_ctx([model]):
            if db.table_exists(model._meta.table_name):
                _complete(db, model)
            else:
                model._meta.table_settings = ["CHARACTER SET utf8mb4", "COLLATE utf8mb4_bin"] if is_mysql(db) else None
                model._schema.create_table(safe=True)
            _create_indexes(db, model)


def create_partial_index(db: peewee.Database, table: str, name: str, index: PartialIndex) -> None:
    """Create the index unless it is there."""
    if name in _index_names(db, table):
        return
    columns = index.on_mysql if is_mysql(db) else f"{index.columns}) WHERE ({index.where.sql}"
    db.execute_sql(f"CREATE INDEX {name} ON {table} ({columns})")


def drop_index(db: peewee.Database, table: str, name: str) -> None:
    """Drop the index if it is there."""
    if name in _index_names(db, table):
        migrate(SchemaMigrator.from_database(db).drop_index(table, name))


def drop(db: peewee.Database, models: Sequence[Model]) -> None:
    """Drop the tables with all that they hold."""
    with db.bind_ctx(models):
        for model in models:
            model.drop_table(safe=True)


def _complete(db: peewee.Database, model: Model) -> None:
    table = model._meta.table_name
    present = {column.name for column in db.get_columns(table)}
    migrator = SchemaMigrator.from_database(db)
    for field in model._meta.sorted_fields:
        if field.column_name not in present:
            migrate(migrator.add_column(table, field.column_name, field))
    if is_mysql(db):
        _give_collation(db, table)
    elif is_sqlite(db) and isinstance(model._meta.primary_key, SequenceField):
        _give_sequence(db, model)


def _create_indexes(db: peewee.Database, model: Model) -> None:
    table = model._meta.table_name
    present = _index_names(db, table)
    migrator = SchemaMigrator.from_database(db)
    for index in model._meta.fields_to_index():
        if index._name not in present:
            columns = [field.column_name for field in index._expressions]
            migrate(migrator.add_index(table, columns, unique=index._unique, name=index._name))


def _index_names(db: peewee.Database, table: str) -> set[str]:
    return {index.name for index in db.get_indexes(table)}


def _give_collation(db: peewee.Database, table: str) -> None:
    """Texts are compared byte by byte, as on the other databases."""
    found = db.execute_sql(
        "SELECT table_collation FROM information_schema.tables WHERE table_schema = DATABASE() AND table_name = %s",
        (table,),
    ).fetchone()
    if found != ("utf8mb4_bin",):
        db.execute_sql(f"ALTER TABLE `{table}` CONVERT TO CHARACTER SET utf8mb4 COLLATE utf8mb4_bin")


def _give_sequence(db: peewee.Database, model: Model) -> None:
    """Make the table anew, as SQLite learns of AUTOINCREMENT only when a table is made."""
    table = model._meta.table_name
    made = db.execute_sql("SELECT sql FROM sqlite_master WHERE type = 'table' AND name = ?", (table,)).fetchone()
    if "AUTOINCREMENT" in made[0].upper():
        return
    names = [field.column_name for field in model._meta.sorted_fields]
    for index in _index_names(db, table):
        db.execute_sql(f'DROP INDEX "{index}"')
    db.execute_sql(f'ALTER TABLE "{table}" RENAME TO "{table}_before"')
    model._schema.create_table(safe=False)
    before = peewee.Table(f"{table}_before", names)
    model.insert_from(before.select(*(getattr(before, name) for name in names)), names).execute(db)
    db.execute_sql(f'DROP TABLE "{table}_before"')
