"""How ended jobs are counted beside the system, in its own store."""

import sqlite3
from contextlib import closing
from functools import cache
from pathlib import Path

import redis

from .system import Place


def redis_keys(place: Place, database: int) -> int:
    """All keys of that database."""
    return int(_client(place.redis, database).dbsize())


def redis_members(place: Place, database: int, key: str) -> int:
    """The members of a sorted set."""
    return int(_client(place.redis, database).zcard(key))


def redis_keys_of(place: Place, database: int, pattern: str) -> int:
    """The keys that match; it reads them all."""
    return sum(1 for _ in _client(place.redis, database).scan_iter(match=pattern, count=10_000))


def rows(file: Path, table: str, condition: str = "true") -> int:
    """The rows of an SQLite table, 0 while there is none; a reader in WAL holds up no writer."""
    try:
        with closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True, timeout=5)) as connection:
            return int(connection.execute(f"SELECT count(*) FROM {table} WHERE {condition}").fetchone()[0])
    except sqlite3.OperationalError:
        return 0


@cache
def _client(url: str, database: int) -> redis.Redis:
    return redis.Redis.from_url(f"{url}/{database}", socket_timeout=15)
