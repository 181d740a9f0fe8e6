"""Databases as other versions leave them, and descriptions of tables."""

import re
import uuid
from collections.abc import Mapping, Sequence
from typing import Any

import peewee

from pacifica.dispatcher import orm
from pacifica.dispatcher.dialect import is_mysql, is_sqlite, metadata
from pacifica.dispatcher.migrations.schema import HISTORY
from pacifica.dispatcher.store.database import Database

HISTORICAL = {
    "sqlite": 'CREATE TABLE "dispatchermodel" ("uuid" TEXT NOT NULL PRIMARY KEY, "value" TEXT NOT NULL, '
    '"created" DATETIME NOT NULL, "updated" DATETIME NOT NULL, "deleted" DATETIME)',
    "postgresql": 'CREATE TABLE "dispatchermodel" ("uuid" UUID NOT NULL PRIMARY KEY, "value" TEXT NOT NULL, '
    '"created" TIMESTAMP NOT NULL, "updated" TIMESTAMP NOT NULL, "deleted" TIMESTAMP)',
    "mysql": "CREATE TABLE `dispatchermodel` (`uuid` VARCHAR(40) NOT NULL PRIMARY KEY, `value` TEXT NOT NULL, "
    "`created` DATETIME NOT NULL, `updated` DATETIME NOT NULL, `deleted` DATETIME)",
}
"""The statements of PeeWee 3 for the historical model."""
CREATED, UPDATED = "2019-03-01 10:20:30", "2019-03-01 10:21:00"
DATED = ("2019-03-01T10:20:30.000000Z", "2019-03-01T10:21:00.000000Z")
"""The same times in the API."""


def kind_of(db: peewee.Database) -> str:
    """The kind of a database, by its name in the fixtures."""
    return "sqlite" if is_sqlite(db) else "mysql" if is_mysql(db) else "postgresql"


def make_historical(database: Database, values: Mapping[str, str], deleted: Mapping[str, str] | None = None) -> None:
    """Create the historical table with these UUIDs and their JSON values, and rows that are marked as deleted."""
    mark = "?" if database.sqlite else "%s"
    rows = [(name, value, None) for name, value in values.items()]
    rows += [(name, value, UPDATED) for name, value in (deleted or {}).items()]

    def change(db: peewee.Database) -> None:
        db.execute_sql(HISTORICAL[kind_of(db)])
        for name, value, end in rows:
            db.execute_sql(
                f"INSERT INTO dispatchermodel VALUES ({', '.join([mark] * 5)})", (name, value, CREATED, UPDATED, end)
            )

    database.write(change)


def historical_rows(database: Database) -> Sequence[Any]:
    """All rows of the historical table."""
    found: Sequence[Any] = database.read(
        lambda db: db.execute_sql("SELECT * FROM dispatchermodel ORDER BY uuid").fetchall()
    )
    return found


def old_ids(count: int) -> list[str]:
    """UUIDs of version 4, as PeeWee writes them if the database has no UUID type."""
    return [uuid.uuid4().hex for _ in range(count)]


def make_by_models(database: Database) -> None:
    """Create the tables from the models, without a migration history."""

    def change(db: peewee.Database) -> None:
        with db.bind_ctx(orm.MODELS):
            db.create_tables(orm.MODELS)
        for name, index in orm.JOB_INDEXES.items():
            columns = index.on_mysql if database.mysql else f"{index.columns}) WHERE ({index.where.sql}"
            db.execute_sql(f"CREATE INDEX {name} ON job ({columns})")
        for model in orm.MODELS if database.mysql else ():
            table = metadata(model).table_name
            db.execute_sql(f"ALTER TABLE `{table}` CONVERT TO CHARACTER SET utf8mb4 COLLATE utf8mb4_bin")

    database.write(change)


def described(database: Database) -> Mapping[str, Sequence[str]]:
    """The columns, checks, keys and indexes of each table but the history, in the words of the database."""
    found: Mapping[str, Sequence[str]] = database.read(_DESCRIBE[database.read(kind_of)])
    return {table: lines for table, lines in found.items() if table != HISTORY}


def _of_sqlite(db: peewee.Database) -> Mapping[str, Sequence[str]]:
    rows = db.execute_sql("SELECT tbl_name, sql FROM sqlite_master WHERE sql <> '' AND name NOT LIKE 'sqlite%'")
    return _sorted([(table, sql.replace("IF NOT EXISTS ", "")) for table, sql in rows.fetchall()])


def _of_mysql(db: peewee.Database) -> Mapping[str, Sequence[str]]:
    texts = {table: db.execute_sql(f"SHOW CREATE TABLE `{table}`").fetchone()[1] for table in db.get_tables()}
    lines = {table: re.sub(r" AUTO_INCREMENT=\d+", "", text).split("\n") for table, text in texts.items()}
    return _sorted([(table, line.strip(" ,")) for table, text in lines.items() for line in text])


def _of_postgresql(db: peewee.Database) -> Mapping[str, Sequence[str]]:
    rows = db.execute_sql(
        "SELECT table_name, concat_ws(' ', column_name, data_type, character_maximum_length, is_nullable, "
        "column_default) FROM information_schema.columns WHERE table_schema = 'public' "
        "UNION ALL SELECT tablename, indexdef FROM pg_indexes WHERE schemaname = 'public' "
        "UNION ALL SELECT conrelid::regclass::text, pg_get_constraintdef(oid) FROM pg_constraint "
        "WHERE connamespace = 'public'::regnamespace"
    )
    return _sorted(rows.fetchall())


def _sorted(lines: Sequence[tuple[str, str]]) -> Mapping[str, Sequence[str]]:
    return {table: sorted(text for other, text in lines if other == table) for table, _ in lines}


_DESCRIBE = {"sqlite": _of_sqlite, "mysql": _of_mysql, "postgresql": _of_postgresql}
