"""The steps of migrations. Each can be repeated, as MySQL keeps the changes of an interrupted migration."""

from collections.abc import Sequence

import peewee
from playhouse.migrate import SchemaMigrator, migrate

from ..dialect import Model, PartialIndex, SequenceField, declared_indexes, is_mysql, is_sqlite, metadata


def create(db: peewee.Database, models: Sequence[Model]) -> None:
    """Create each table, or the parts that it lacks: columns that are nullable or have a default, and indexes."""
    for model in models:
        with db.bind_ctx([model]):
            if db.table_exists(metadata(model).table_name):
                _complete(db, model)
            else:
                settings = ["CHARACTER SET utf8mb4", "COLLATE utf8mb4_bin"] if is_mysql(db) else None
                metadata(model).table_settings = settings
                model.create_table()
            _create_indexes(db, model)


def create_partial_index(db: peewee.Database, table: str, name: str, index: PartialIndex) -> None:
    """Create the index unless it exists."""
    if name in _index_names(db, table):
        return
    columns = index.on_mysql if is_mysql(db) else f"{index.columns}) WHERE ({index.where.sql}"
    db.execute_sql(f"CREATE INDEX {name} ON {table} ({columns})")


def drop(db: peewee.Database, models: Sequence[Model]) -> None:
    """Drop the tables with all their rows."""
    with db.bind_ctx(models):
        for model in models:
            model.drop_table(safe=True)


def _complete(db: peewee.Database, model: Model) -> None:
    table = metadata(model).table_name
    present = {column.name for column in db.get_columns(table)}
    migrator = SchemaMigrator.from_database(db)
    for field in metadata(model).sorted_fields:
        if field.column_name not in present:
            migrate(migrator.add_column(table, field.column_name, field))
    if is_mysql(db):
        _set_collation(db, table)
    elif is_sqlite(db) and isinstance(metadata(model).primary_key, SequenceField):
        _add_autoincrement(db, model)


def _create_indexes(db: peewee.Database, model: Model) -> None:
    table = metadata(model).table_name
    present = _index_names(db, table)
    migrator = SchemaMigrator.from_database(db)
    for index in declared_indexes(model):
        if index.name not in present:
            migrate(migrator.add_index(table, index.columns, unique=index.unique, name=index.name))


def _index_names(db: peewee.Database, table: str) -> set[str]:
    return {index.name for index in db.get_indexes(table)}


def _set_collation(db: peewee.Database, table: str) -> None:
    """Make MySQL compare text byte by byte, as the other databases do."""
    found = db.execute_sql(
        "SELECT table_collation FROM information_schema.tables WHERE table_schema = DATABASE() AND table_name = %s",
        (table,),
    ).fetchone()
    if found != ("utf8mb4_bin",):
        db.execute_sql(f"ALTER TABLE `{table}` CONVERT TO CHARACTER SET utf8mb4 COLLATE utf8mb4_bin")


def _add_autoincrement(db: peewee.Database, model: Model) -> None:
    """Recreate the table: SQLite cannot add AUTOINCREMENT to an existing one."""
    table = metadata(model).table_name
    made = db.execute_sql("SELECT sql FROM sqlite_master WHERE type = 'table' AND name = ?", (table,)).fetchone()
    if "AUTOINCREMENT" in made[0].upper():
        return
    names = [field.column_name for field in metadata(model).sorted_fields]
    for index in _index_names(db, table):
        db.execute_sql(f'DROP INDEX "{index}"')
    db.execute_sql(f'ALTER TABLE "{table}" RENAME TO "{table}_before"')
    model.create_table(safe=False)
    before = peewee.Table(f"{table}_before", names)
    model.insert_from(before.select(*(getattr(before, name) for name in names)), names).execute(db)
    db.execute_sql(f'DROP TABLE "{table}_before"')
