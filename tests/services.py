"""The servers that tests use: their URLs, whether they answer, and an empty database or queue in each.

A server is expected at its standard port on the loopback address, or at the URL that the environment gives. If it
does not answer, its tests are skipped; with ``CI=true`` they fail, so that CI never passes by skipping.
"""

import os
import re
import shutil
import uuid
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from functools import cache
from typing import Any, NamedTuple
from urllib.parse import unquote, urlsplit

import psycopg
import pymysql
import pytest
import redis
from kombu.connection import Connection as Broker
from psycopg import sql

TIMEOUT = 5
"""Seconds for a handshake, which takes a few milliseconds on this machine."""

RABBITMQ = "rabbitmq"
REDIS = "redis"
POSTGRESQL = "postgresql"
MYSQL = "mysql"
SQLITE = "sqlite"
TABLE = "database"

DATABASES = (SQLITE, POSTGRESQL, MYSQL)
BROKERS = (RABBITMQ, REDIS, TABLE)


class Server(NamedTuple):
    """A server: its ``name``, the ``variable`` that replaces its standard ``url``, and a ``handshake``."""

    name: str
    variable: str
    url: str
    handshake: Callable[[str], None]


def _greet_rabbitmq(url: str) -> None:
    with Broker(url, connect_timeout=TIMEOUT) as connection:
        connection.connect()


def _greet_redis(url: str) -> None:
    with closing(redis.Redis.from_url(url, socket_timeout=TIMEOUT, socket_connect_timeout=TIMEOUT)) as client:
        client.ping()


def _greet_postgresql(url: str) -> None:
    with _postgresql(url) as connection:
        connection.execute("SELECT 1")


def _greet_mysql(url: str) -> None:
    with closing(_mysql(url)) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT 1")


SERVERS = {
    RABBITMQ: Server("RabbitMQ", "TEST_RABBITMQ_URL", "pyamqp://guest:guest@127.0.0.1//", _greet_rabbitmq),
    REDIS: Server("Redis", "TEST_REDIS_URL", "redis://127.0.0.1", _greet_redis),
    POSTGRESQL: Server(
        "PostgreSQL", "TEST_POSTGRESQL_URL", "postgresql://postgres@127.0.0.1/postgres", _greet_postgresql
    ),
    MYSQL: Server("MariaDB", "TEST_MYSQL_URL", "mysql://root@127.0.0.1/", _greet_mysql),
}


_used: set[str] = set()
allowed_servers = set(SERVERS)
"""The kinds that tests may use; empty when only the fast tests run."""


def server_url(kind: str) -> str:
    """Return the URL of the server."""
    server = SERVERS[kind]
    return os.environ.get(server.variable) or server.url


@cache
def refusal(kind: str) -> str:
    """Return why the server cannot be used, empty if it answers; a process checks it once."""
    server, url = SERVERS[kind], server_url(kind)
    try:
        server.handshake(url)
    except Exception as error:  # noqa: BLE001 - each driver has its own errors, and any of them is a reason
        reason = str(error).strip().partition("\n")[0] or type(error).__name__
        place = re.sub(r"//[^/@]*@", "//", url)
        return f"no {server.name} at {place} ({reason}); {server.variable} names another"
    return ""


def require(kind: str) -> str:
    """Return the server's URL; skips the test if the server does not answer, and fails it in CI."""
    assert kind in allowed_servers, "This test needs a server. Mark it: @pytest.mark.slow"
    reason = refusal(kind)
    if reason and os.environ.get("CI") == "true":
        pytest.fail(f"{reason} (CI=true: nothing may be skipped)", pytrace=False)
    if reason:
        pytest.skip(reason)
    _used.add(kind)
    return server_url(kind)


def require_program(name: str, folder: str) -> str:
    """Return the path of a program, also in ``folder``; skips the test if it is missing, and fails it in CI."""
    found = shutil.which(name) or shutil.which(name, path=folder)
    if found is None:
        reason = f"{name} is not installed"
        if os.environ.get("CI") == "true":
            pytest.fail(f"{reason} (CI=true: nothing may be skipped)", pytrace=False)
        pytest.skip(reason)
    return found


@contextmanager
def fresh_database(kind: str) -> Iterator[str]:
    """The PeeWee URL of a new database on PostgreSQL or MariaDB; dropped at the end, despite open connections."""
    url = require(kind)
    name = f"test_{uuid.uuid4().hex}"
    create, drop = (_create_postgresql, _drop_postgresql) if kind == POSTGRESQL else (_create_mysql, _drop_mysql)
    create(url, name)
    try:
        yield urlsplit(url)._replace(path=f"/{name}").geturl()
    finally:
        drop(url, name)


def redis_database(worker: str) -> str:
    """Return the URL of the Redis database of a pytest-xdist worker ("gw3"); no test uses database 0."""
    number = 1 + int(re.sub(r"\D", "", worker) or 0) % 15
    return urlsplit(require(REDIS))._replace(path=f"/{number}").geturl()


def forget_queue(name: str, worker: str) -> None:
    """Delete a queue from the brokers that this process has used."""
    if RABBITMQ in _used:
        with (
            Broker(server_url(RABBITMQ), connect_timeout=TIMEOUT) as connection,
            connection.channel() as channel,
        ):
            channel.queue_delete(name)
            channel.exchange_delete(name)
    if REDIS in _used:
        with closing(redis.Redis.from_url(redis_database(worker), socket_timeout=TIMEOUT)) as client:
            for key in list(client.scan_iter(f"*{name}*", count=1000)):
                client.delete(key)


def _postgresql(url: str) -> "psycopg.Connection[Any]":
    return psycopg.connect(url, connect_timeout=TIMEOUT, autocommit=True)


def _create_postgresql(url: str, name: str) -> None:
    with _postgresql(url) as connection:
        connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))


def _drop_postgresql(url: str, name: str) -> None:
    with _postgresql(url) as connection:
        connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


def _mysql(url: str) -> "pymysql.connections.Connection[Any]":
    parts = urlsplit(url)
    return pymysql.connect(
        host=parts.hostname or "127.0.0.1",
        port=parts.port or 3306,
        user=unquote(parts.username or "root"),
        password=unquote(parts.password or ""),
        connect_timeout=TIMEOUT,
        autocommit=True,
    )


def _create_mysql(url: str, name: str) -> None:
    with closing(_mysql(url)) as connection, connection.cursor() as cursor:
        cursor.execute(f"CREATE DATABASE `{name}`")


def _drop_mysql(url: str, name: str) -> None:
    """Close open connections first: DROP would wait for their locks on tables."""
    with closing(_mysql(url)) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT id FROM information_schema.processlist WHERE db = %s", (name,))
        for (thread,) in cursor.fetchall():
            try:
                cursor.execute("KILL %s", (thread,))
            except pymysql.MySQLError:
                continue
        cursor.execute(f"DROP DATABASE `{name}`")
