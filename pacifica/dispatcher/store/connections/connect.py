"""The database that a connection URL names, and how long its answers may take.

A server that is stopped, or a network that swallows what it is sent, keeps a connection open and says
nothing: whoever waits for it waits for ever. So each wait for a server's answer has a limit.
"""

import importlib.util
import math
import time
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import peewee
from playhouse import db_url
from playhouse.pool import PooledDatabase, PooledSqliteDatabase

from .forks import FileConnection

SCHEMES = tuple(f"{name}{pool}" for name in ("sqlite", "sqliteext", "postgresql", "mysql") for pool in ("", "+pool"))
DRIVERS = {"postgresql": "psycopg", "mysql": "pymysql"}
"""What the extra of that name installs."""
CONNECT_TIMEOUT = 5.0
"""Seconds for a connection, where an answer may take longer."""
LOG_PAGES = 10_000
"""Pages of SQLite's log, of 4 KiB, with which whoever commits takes it over into the file; SQLite's own is 1,000.

A job's pages are written several times before it ends, and taken over once if the log is long.
"""

for _alias, _class in (("sqliteext", peewee.SqliteDatabase), ("sqliteext+pool", PooledSqliteDatabase)):
    db_url.register_database(_class, _alias)


def is_pooled(database: peewee.Database) -> bool:
    """Whether connections go back to a pool after each use (a ``+pool`` URL)."""
    return isinstance(database, PooledDatabase)


def check_installed(url: str) -> None:
    """Raises ``ValueError`` with a sentence when the driver of a server's database is not installed."""
    kind = urlsplit(url).scheme.removesuffix("+pool")
    driver = DRIVERS.get(kind)
    if driver is not None and importlib.util.find_spec(driver) is None:
        raise ValueError(f"{driver} is not installed; pip install 'pacifica-dispatcher[{kind}]' brings it")


def sqlite_file(url: str) -> Path | None:
    """The file of an SQLite URL, absolute, as this process would open it; ``None`` when the URL names a server."""
    parts = urlsplit(url)
    return Path(parts.path[1:]).absolute() if parts.scheme.startswith("sqlite") else None


def _sqlite_options(busy_timeout: float) -> Mapping[str, Any]:
    return {
        "lock_type": "IMMEDIATE",
        "timeout": 0,  # SQLite's own; see busy.py.
        "factory": partial(FileConnection, patience=busy_timeout),
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
        # No locks on what is not there; see docs/decisions/0006-read-committed.md.
        "init_command": "SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED",
        "field_types": {"LONGTEXT": "LONGTEXT"},
    }


def _connect_timeout(answer_timeout: float) -> int:
    """In whole seconds, as libpq wants them."""
    return math.ceil(min(CONNECT_TIMEOUT, answer_timeout))


def _give_up_pool_in_time(database: Any, answer_timeout: float) -> None:
    """Have the pool ask one idle connection of a silent server, and not each in turn, before it makes a new one."""
    is_closed = database._is_closed

    def is_closed_in_time(connection: object) -> bool:
        begin = time.monotonic()
        closed = bool(is_closed(connection))
        if closed and time.monotonic() - begin >= answer_timeout:
            database.close_idle()
        return closed

    database._is_closed = is_closed_in_time


def open_database(url: str, busy_timeout: float = 30.0, answer_timeout: float = 5.0) -> peewee.Database:
    """The database that a PeeWee URL names, not connected yet.

    ``url`` has one of ``SCHEMES``; ``%`` escapes in user and password are decoded, a relative
    SQLite path is relative to the working directory. ``busy_timeout`` is in seconds, and SQLite's
    alone; ``answer_timeout`` is the servers', and may be infinite. Raises ``ValueError`` with a sentence
    when the URL cannot be used.

    Source: https://docs.peewee-orm.com/en/latest/peewee/playhouse.html#database-url
    """
    scheme = urlsplit(url).scheme
    if scheme not in SCHEMES:
        raise ValueError(f"the scheme is {scheme or 'missing'}; it must be one of {', '.join(SCHEMES)}")
    options: dict[str, Any] = {"autoconnect": False, "field_types": {"LONGTEXT": "TEXT"}}
    if scheme.startswith("sqlite"):
        options |= _sqlite_options(busy_timeout)
    elif scheme.startswith("mysql"):
        options |= _mysql_options(answer_timeout)
    else:
        options |= {"connect_timeout": _connect_timeout(answer_timeout), "prefer_psycopg3": True}
    database: Any = db_url.connect(url, unquote_password=True, unquote_user=True, **options)
    if "passwd" in database.connect_params:  # PeeWee's name for it, which PyMySQL is about to drop
        database.connect_params["password"] = database.connect_params.pop("passwd")
    if scheme.startswith("postgresql"):
        from .postgresql import InTime

        database._adapter = InTime(answer_timeout)
    if is_pooled(database):
        _give_up_pool_in_time(database, answer_timeout)
    if scheme.startswith("sqlite") and database.database == ":memory:":
        raise ValueError("an SQLite database in memory is seen by one thread only; name a file")
    opened: peewee.Database = database
    return opened
