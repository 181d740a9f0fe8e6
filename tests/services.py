"""The servers that tests talk to: where they are, whether they answer, and a clean corner in each.

A server is looked for at its standard loopback port, or at the URL that the environment gives. Where it
does not answer, its tests are skipped; with ``CI=true`` they fail, so that CI never passes by skipping.
"""

import os
import re
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
"""Seconds for a handshake; a server on this machine needs a few milliseconds."""

RABBITMQ = "rabbitmq"
REDIS = "redis"
POSTGRESQL = "postgresql"
MYSQL = "mysql"
SQLITE = "sqlite"
TABLE = "database"

DATABASES = (SQLITE, POSTGRESQL, MYSQL)
BROKERS = (RABBITMQ, REDIS, TABLE)


class Server(NamedTuple):
    """One server: its ``name`` for people, the ``variable`` that moves it, its standard ``url``, a ``handshake``."""

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
"""The kinds that tests may use; empty in a run of the fast tests alone."""


def server_url(kind: str) -> str:
    """Where the tests look for the server."""
    server = SERVERS[kind]
    return os.environ.get(server.variable) or server.url


@cache
def refusal(kind: str) -> str:
    """Why the server cannot be used, empty when it answers; it is asked once in a process."""
    server, url = SERVERS[kind], server_url(kind)
    try:
        server.handshake(url)
    except Exception as error:  # noqa: BLE001 - each driver has its own errors, and any of them is a reason
        told = str(error).strip().partition("\n")[0] or type(error).__name__
        place = re.sub(r"//[^/@]*@", "//", url)
        return f"no {server.name} at {place} ({told}); {server.variable} names another"
    return ""


def require(kind: str) -> str:
    """The server's URL; skips the test where the server does not answer, and fails it in CI."""
    assert kind in allowed_servers, "This test needs a server. Mark it: @pytest.mark.slow"
    reason = refusal(kind)
    if reason and os.environ.get("CI") == "true":
        pytest.fail(f"{reason} (CI=true: nothing may be skipped)", pytrace=False)
    if reason:
        pytest.skip(reason)
    _used.add(kind)
    return server_url(kind)


@contextmanager
def fresh_database(kind: str) -> Iterator[str]:
    """A new empty database on PostgreSQL or MariaDB, as a PeeWee URL; dropped in the end, whoever is connected."""
    url = require(kind)
    name = f"test_{uuid.uuid4().hex}"
    create, drop = (_create_postgresql, _drop_postgresql) if kind == POSTGRESQL else (_create_mysql, _drop_mysql)
    create(url, name)
    try:
        yield urlsplit(url)._replace(path=f"/{name}").geturl()
    finally:
        drop(url, name)


def redis_database(worker: str) -> str:
    """The URL of the Redis database of one pytest-xdist worker ("gw3"); 0 is left to others."""
    number = 1 + int(re.sub(r"\D", "", worker) or 0) % 15
    return urlsplit(require(REDIS))._replace(path=f"/{number}").geturl()


def forget_queue(name: str, worker: str) -> None:
    """Remove what a queue of that name has left on the brokers that this process has used."""
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
    """A connection that is left open would keep a lock on a table, and DROP would wait for it."""
    with closing(_mysql(url)) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT id FROM information_schema.processlist WHERE db = %s", (name,))
        for (thread,) in cursor.fetchall():
            try:
                cursor.execute("KILL %s", (thread,))
            except pymysql.MySQLError:
                continue
        cursor.execute(f"DROP DATABASE `{name}`")
