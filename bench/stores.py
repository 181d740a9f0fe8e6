"""The three databases, asked and filled directly, beside the service: what it keeps, and on how much disk."""

import sqlite3
import uuid
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import unquote, urlsplit

import psycopg
import pymysql

from .servers import POSTGRESQL, postgresql_database

SQLITE, MARIADB = "SQLite", "MariaDB"
KINDS = (SQLITE, POSTGRESQL, MARIADB)
MARIADB_URL = "mysql://root@127.0.0.1:3306/"
"""MariaDB at its standard port, whose root has no password here; it is left out where that is not so."""
Row = Sequence[Any]


class Store(ABC):
    """One database of the service, by the URL that its configuration has."""

    kind: ClassVar[str]

    def __init__(self, url: str) -> None:
        self.url = url

    @abstractmethod
    def ask(self, statement: str) -> Sequence[Row]:
        """The rows of a statement, over a connection of its own; it is committed."""

    @abstractmethod
    def put(self, table: str, columns: Sequence[str], rows: Iterable[Row]) -> None:
        """Insert all rows at once, in one transaction, as fast as this database can with its indexes."""

    @abstractmethod
    def settle(self) -> None:
        """What the database would have done by itself, had the rows come one after the other."""

    @abstractmethod
    def sizes(self) -> Mapping[str, int]:
        """Bytes on disk of each table (``job``) and of its indexes (``job indexes``)."""

    def number(self, statement: str) -> int:
        """The one whole number that it answers, 0 for NULL."""
        return int(self.ask(statement)[0][0] or 0)

    def since(self, moment: int) -> int:
        """Jobs that have ended of those that were made since then; it costs what these cost, not the table."""
        return self.number(f"SELECT count(*) FROM job WHERE created >= {moment} AND finished IS NOT NULL")

    def left(self) -> int:
        """Jobs that have not ended."""
        return self.number("SELECT count(*) FROM job WHERE state IN ('PENDING', 'STARTED', 'RETRY')")

    def unsent(self) -> int:
        """Jobs in the outbox that are not for a later time."""
        return self.number("SELECT count(*) FROM job WHERE due IS NOT NULL AND eta IS NULL")

    def working_time(self, moment: int) -> float:
        """Seconds from the start of the first job until the end of the last, of those that were made since then."""
        return self.number(f"SELECT max(finished) - min(started) FROM job WHERE created >= {moment}") / 1e6


class Sqlite(Store):
    """A file; the URL's path is absolute."""

    kind = SQLITE

    @property
    def file(self) -> Path:
        """Where it is."""
        return Path(self.url.removeprefix("sqliteext:///"))

    def ask(self, statement: str) -> Sequence[Row]:
        with closing(sqlite3.connect(self.file, timeout=30)) as connection, connection:
            return connection.execute(statement).fetchall()

    def put(self, table: str, columns: Sequence[str], rows: Iterable[Row]) -> None:
        places = ", ".join("?" * len(columns))
        with closing(sqlite3.connect(self.file, timeout=30)) as connection:
            connection.execute("PRAGMA cache_size = -400000")
            with connection:
                connection.executemany(f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({places})", rows)

    def settle(self) -> None:
        """The log goes into the file."""
        self.ask("PRAGMA wal_checkpoint(TRUNCATE)")

    def sizes(self) -> Mapping[str, int]:
        owners = dict(self.ask("SELECT name, tbl_name FROM sqlite_master WHERE type = 'index'"))
        found: dict[str, int] = {}
        for name, size in self.ask("SELECT name, sum(pgsize) FROM dbstat GROUP BY name"):
            key = f"{owners[name]} indexes" if name in owners else name
            found[key] = found.get(key, 0) + size
        return found


class Postgresql(Store):
    """A database of its own on the server."""

    kind = POSTGRESQL

    def ask(self, statement: str) -> Sequence[Row]:
        with closing(psycopg.connect(self.url, autocommit=True, connect_timeout=5)) as connection:
            cursor = connection.execute(statement.encode())
            return cursor.fetchall() if cursor.description else []

    def put(self, table: str, columns: Sequence[str], rows: Iterable[Row]) -> None:
        statement = f"COPY {table} ({', '.join(columns)}) FROM STDIN".encode()
        with psycopg.connect(self.url, connect_timeout=5) as connection, connection.cursor().copy(statement) as copy:
            for lines in _lines(rows):
                copy.write(lines)

    def settle(self) -> None:
        """What autovacuum does, and a checkpoint."""
        self.ask("VACUUM (ANALYZE)")
        self.ask("CHECKPOINT")

    def sizes(self) -> Mapping[str, int]:
        found = self.ask(
            "SELECT relname::text, pg_table_size(oid), pg_indexes_size(oid) FROM pg_class"
            " WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace"
        )
        return {name: size for name, size, _ in found} | {f"{name} indexes": size for name, _, size in found}


class Mariadb(Store):
    """A database of its own on the server; its tables are ordered by their primary key, which counts as the table."""

    kind = MARIADB

    def ask(self, statement: str) -> Sequence[Row]:
        with closing(_mariadb(self.url)) as connection, connection.cursor() as cursor:
            cursor.execute(statement)
            return cursor.fetchall()

    def put(self, table: str, columns: Sequence[str], rows: Iterable[Row]) -> None:
        names, places = ", ".join(f"`{name}`" for name in columns), ", ".join(["%s"] * len(columns))
        with closing(_mariadb(self.url, autocommit=False)) as connection, connection.cursor() as cursor:
            cursor.executemany(f"INSERT INTO {table} ({names}) VALUES ({places})", rows)
            connection.commit()

    def settle(self) -> None:
        self.ask("ANALYZE TABLE job, event, label")

    def sizes(self) -> Mapping[str, int]:
        found = self.ask(
            "SELECT table_name, data_length, index_length FROM information_schema.tables"
            " WHERE table_schema = DATABASE()"
        )
        return {name: size for name, size, _ in found} | {f"{name} indexes": size for name, _, size in found}


@contextmanager
def new_store(kind: str, folder: Path) -> Iterator[Store]:
    """A new one without tables, which is removed in the end; SQLite's is in that folder, which must be there."""
    with ExitStack() as stack:
        if kind == SQLITE:
            yield Sqlite(f"sqliteext:///{folder / 'db.sqlite3'}")
        elif kind == POSTGRESQL:
            yield Postgresql(stack.enter_context(postgresql_database()))
        else:
            yield Mariadb(stack.enter_context(_mariadb_database()))


def missing(kind: str) -> str:
    """Why MariaDB cannot be had; empty when it can, or when it is another one."""
    try:
        if kind == MARIADB:
            _mariadb(MARIADB_URL).close()
    except pymysql.MySQLError as error:
        return f"{kind} does not answer at {MARIADB_URL} ({error})"
    return ""


@contextmanager
def _mariadb_database() -> Iterator[str]:
    name = f"bench_{uuid.uuid4().hex[:12]}"
    with closing(_mariadb(MARIADB_URL)) as connection, connection.cursor() as cursor:
        cursor.execute(f"CREATE DATABASE {name} CHARACTER SET utf8mb4")
    try:
        yield MARIADB_URL + name
    finally:
        with closing(_mariadb(MARIADB_URL)) as connection, connection.cursor() as cursor:
            cursor.execute(f"DROP DATABASE IF EXISTS {name}")


def _mariadb(url: str, *, autocommit: bool = True) -> "pymysql.connections.Connection[Any]":
    parts = urlsplit(url)
    return pymysql.connect(
        host=parts.hostname or "127.0.0.1",
        port=parts.port or 3306,
        user=unquote(parts.username or "root"),
        password=unquote(parts.password or ""),
        database=parts.path.strip("/") or None,
        connect_timeout=5,
        autocommit=autocommit,
        charset="utf8mb4",
    )


def _lines(rows: Iterable[Row]) -> Iterator[str]:
    """PostgreSQL's text format, some rows at a time."""
    lines: list[str] = []
    for row in rows:
        lines.append("\t".join(["\\N" if value is None else _escaped(value) for value in row]))
        if len(lines) == 1000:
            yield "\n".join(lines) + "\n"
            lines.clear()
    if lines:
        yield "\n".join(lines) + "\n"


def _escaped(value: Any) -> str:
    text = str(value)
    return text.replace("\\", "\\\\") if "\\" in text else text
