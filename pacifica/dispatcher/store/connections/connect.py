"""The database of a connection URL, with a time limit for each of its answers.

A server that is stopped, or a network that drops all packets, leaves a connection open and silent: without a limit
its users would wait forever.
"""

import importlib.util
import math
import re
import time
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import peewee
from playhouse import db_url
from playhouse.pool import PooledDatabase, PooledMySQLDatabase, PooledPostgresqlDatabase, PooledSqliteDatabase

from ...dialect import is_mysql, is_sqlite
from .sqlite import FileConnection

DRIVERS = {"postgresql": "psycopg", "mysql": "pymysql"}
"""The driver that each extra of the package installs."""
CONNECT_TIMEOUT = 5.0
"""The longest time to connect, in seconds, if an answer may take longer."""
LOG_PAGES = 10_000
"""The pages of 4 KiB in SQLite's log at which a commit checkpoints it; SQLite's default is 1,000.

The pages of a job are written several times before it ends; with a long log they are checkpointed once.
"""


class _Postgresql(peewee.PostgresqlDatabase):
    answer_timeout = math.inf

    def psycopg3_adapter(self) -> Any:
        from .postgresql import TimeoutAdapter

        return TimeoutAdapter()


class _ServerPool(PooledDatabase):  # type: ignore[misc]
    """A pool that, if the server is silent, tests one idle connection and not each in turn."""

    answer_timeout = math.inf

    def _is_closed(self, conn: object) -> bool:
        begin = time.monotonic()
        closed = bool(super()._is_closed(conn))
        if closed and time.monotonic() - begin >= self.answer_timeout:
            self.close_idle()
        return closed


class _PostgresqlPool(_ServerPool, _Postgresql, PooledPostgresqlDatabase):  # type: ignore[misc]
    pass


class _MySQLPool(_ServerPool, PooledMySQLDatabase):  # type: ignore[misc]
    pass


CLASSES: Mapping[str, Any] = {
    "sqlite": peewee.SqliteDatabase,
    "sqlite+pool": PooledSqliteDatabase,
    "sqliteext": peewee.SqliteDatabase,
    "sqliteext+pool": PooledSqliteDatabase,
    "postgresql": _Postgresql,
    "postgresql+pool": _PostgresqlPool,
    "mysql": peewee.MySQLDatabase,
    "mysql+pool": _MySQLPool,
}
SCHEMES = tuple(CLASSES)


def open_database(url: str, busy_timeout: float = 30.0, answer_timeout: float = 5.0) -> peewee.Database:
    """The database of a PeeWee URL, not connected yet.

    ``url`` has one of ``SCHEMES``; ``%`` escapes in user and password are decoded, and a relative SQLite path is
    relative to the working directory at this moment. ``busy_timeout``, in seconds, is for SQLite; ``answer_timeout`` is
    for servers, and may be infinite. Raises ``ValueError`` with a sentence if the URL cannot be used.

    Source: https://docs.peewee-orm.com/en/latest/peewee/playhouse.html#database-url
    """
    scheme = urlsplit(url).scheme
    if scheme not in CLASSES:
        raise ValueError(f"the scheme is {scheme or 'missing'}; it must be one of {', '.join(SCHEMES)}")
    options: dict[str, Any] = db_url.parse(url, unquote_password=True, unquote_user=True)
    options |= {"autoconnect": False, "field_types": {"LONGTEXT": "TEXT"}}
    if not options["database"]:
        raise ValueError(f"it names no database; it must end as in {scheme}://host/database")
    if scheme.startswith("sqlite"):
        if options["database"] == ":memory:":
            raise ValueError("an SQLite database in memory is seen by one thread only; name a file")
        # A task may change the working directory, and a connection may be opened after that.
        options |= {"database": str(Path(options["database"]).absolute()), **_sqlite_options(busy_timeout)}
    elif scheme.startswith("mysql"):
        if "passwd" in options:  # PeeWee uses the old name, which PyMySQL deprecates
            options["password"] = options.pop("passwd")
        options |= _mysql_options(answer_timeout)
    else:
        options |= {"connect_timeout": _connect_timeout(answer_timeout), "prefer_psycopg3": True}
    database = CLASSES[scheme](**options)
    database.answer_timeout = answer_timeout
    opened: peewee.Database = database
    return opened


def check_installed(url: str) -> None:
    """Raise ``ValueError`` with a sentence if the driver of a database server is not installed."""
    kind = urlsplit(url).scheme.removesuffix("+pool")
    driver = DRIVERS.get(kind)
    if driver is not None and importlib.util.find_spec(driver) is None:
        raise ValueError(f"{driver} is not installed; pip install 'pacifica-dispatcher[{kind}]' brings it")


def sqlite_file(url: str) -> Path | None:
    """The absolute path of an SQLite URL, as this process would open it; ``None`` if the URL names a server."""
    parts = urlsplit(url)
    return Path(parts.path[1:]).absolute() if parts.scheme.startswith("sqlite") else None


def product(database: peewee.Database) -> str:
    """Read the name and version of a connected database."""
    if is_sqlite(database):
        name, statement = "SQLite", "SELECT sqlite_version(), (SELECT count(*) FROM sqlite_master)"
    elif is_mysql(database):
        name, statement = "MySQL", "SELECT version()"
    else:
        name, statement = "PostgreSQL", "SHOW server_version"
    version = str(database.execute_sql(statement).fetchone()[0])
    number = re.match(r"[\d.]*", version)
    return f"{'MariaDB' if 'MariaDB' in version else name} {number[0] if number else version}"


def _sqlite_options(busy_timeout: float) -> Mapping[str, Any]:
    return {
        "lock_type": "IMMEDIATE",
        "timeout": 0,  # SQLite's own busy handler; FileConnection has another.
        "factory": partial(FileConnection, busy_timeout=busy_timeout),
        "check_same_thread": False,
        "pragmas": {
            "synchronous": "normal",
            "wal_autocheckpoint": LOG_PAGES,
            "foreign_keys": 1,
        },
    }


def _mysql_options(answer_timeout: float) -> Mapping[str, Any]:
    from pymysql.constants import CLIENT

    seconds = answer_timeout if math.isfinite(answer_timeout) else None
    return {
        "client_flag": CLIENT.FOUND_ROWS,
        "connect_timeout": _connect_timeout(answer_timeout),
        "read_timeout": seconds,
        "write_timeout": seconds,
        # No gap locks; see docs/decisions/0006-read-committed.md.
        "init_command": "SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED",
        "field_types": {"LONGTEXT": "LONGTEXT"},
    }


def _connect_timeout(answer_timeout: float) -> int:
    """In whole seconds, as libpq requires."""
    return math.ceil(min(CONNECT_TIMEOUT, answer_timeout))
