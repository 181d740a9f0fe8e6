"""The service's databases, read and filled directly."""

import sqlite3
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import psycopg

from .servers import POSTGRESQL, missing, postgresql_database

SQLITE = "SQLite"
KINDS = (SQLITE, POSTGRESQL)
Row = Sequence[Any]


class Store(ABC):
    """A database of the service; ``url`` is the one of its configuration."""

    def __init__(self, url: str) -> None:
        self.url = url

    @abstractmethod
    def query(self, statement: str) -> Sequence[Row]:
        """Return the rows of a statement, which is committed; each call opens its own connection."""

    @abstractmethod
    def insert(self, table: str, columns: Sequence[str], rows: Iterable[Row]) -> None:
        """Insert all rows in one transaction."""

    @abstractmethod
    def settle(self) -> None:
        """Do what the database would have done in the background, had the rows come one after the other."""

    @abstractmethod
    def sizes(self) -> Mapping[str, int]:
        """Return the bytes on disk of each table, with its indexes."""

    def number(self, statement: str) -> int:
        """Return the whole number that the statement selects; 0 for NULL."""
        return int(self.query(statement)[0][0] or 0)

    def finished(self, since: int) -> int:
        """Return how many jobs have ended of those created since that moment; the cost does not grow with the table."""
        return self.number(f"SELECT count(*) FROM job WHERE created >= {since} AND finished IS NOT NULL")

    def open_jobs(self) -> int:
        """Return how many jobs have not ended."""
        return self.number("SELECT count(*) FROM job WHERE state IN ('PENDING', 'STARTED', 'RETRY')")

    def unpublished(self) -> int:
        """Return how many jobs that are due are still in the outbox."""
        return self.number("SELECT count(*) FROM job WHERE due IS NOT NULL AND eta IS NULL")

    def working_time(self, since: int) -> float:
        """Return the seconds from the first start to the last end of the jobs created since that moment."""
        return self.number(f"SELECT max(finished) - min(started) FROM job WHERE created >= {since}") / 1e6


class Sqlite(Store):
    """A file."""

    @property
    def file(self) -> Path:
        """The path of the file."""
        return Path(self.url.removeprefix("sqliteext:///"))

    def query(self, statement: str) -> Sequence[Row]:
        with closing(sqlite3.connect(self.file, timeout=30)) as connection, connection:
            return connection.execute(statement).fetchall()

    def insert(self, table: str, columns: Sequence[str], rows: Iterable[Row]) -> None:
        places = ", ".join("?" * len(columns))
        with closing(sqlite3.connect(self.file, timeout=30)) as connection:
            connection.execute("PRAGMA cache_size = -400000")
            with connection:
                connection.executemany(f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({places})", rows)

    def settle(self) -> None:
        self.query("PRAGMA wal_checkpoint(TRUNCATE)")

    def sizes(self) -> Mapping[str, int]:
        return dict(
            self.query(
                "SELECT m.tbl_name, sum(s.pgsize) FROM dbstat s JOIN sqlite_master m ON m.name = s.name GROUP BY 1"
            )
        )


class Postgresql(Store):
    """A database on the server."""

    def query(self, statement: str) -> Sequence[Row]:
        with closing(psycopg.connect(self.url, autocommit=True, connect_timeout=5)) as connection:
            cursor = connection.execute(statement.encode())
            return cursor.fetchall() if cursor.description else []

    def insert(self, table: str, columns: Sequence[str], rows: Iterable[Row]) -> None:
        statement = f"COPY {table} ({', '.join(columns)}) FROM STDIN".encode()
        with psycopg.connect(self.url, connect_timeout=5) as connection, connection.cursor().copy(statement) as copy:
            for row in rows:
                copy.write_row(row)

    def settle(self) -> None:
        self.query("VACUUM (ANALYZE)")
        self.query("CHECKPOINT")

    def sizes(self) -> Mapping[str, int]:
        return dict(
            self.query(
                "SELECT relname::text, pg_total_relation_size(oid) FROM pg_class"
                " WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace"
            )
        )


@contextmanager
def new_store(kind: str, folder: Path) -> Iterator[Store]:
    """A new database without tables; SQLite's file is in that folder, PostgreSQL's database is dropped at the end."""
    if kind == SQLITE:
        yield Sqlite(f"sqliteext:///{folder / 'db.sqlite3'}")
    else:
        with postgresql_database() as url:
            yield Postgresql(url)


def missing_store(kind: str) -> str:
    """Return why this kind of database cannot be used; empty if it can."""
    return "" if kind == SQLITE else missing(kind)
