"""The servers that systems need beside: RabbitMQ and PostgreSQL of this machine, and a Redis of our own.

Each is looked for at its standard port on 127.0.0.1, or at the URL in ``BENCH_RABBITMQ_URL`` and
``BENCH_POSTGRESQL_URL``. Systems never see each other's data: each start has a queue of its own name in RabbitMQ, a
database of its own in PostgreSQL, and an empty Redis.
"""

import os
import re
import shutil
import time
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from functools import cache
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlsplit

import psycopg
import redis
from kombu import Connection, Exchange, Queue
from psycopg import sql

from .processes import Command, Group, answers, free_port, named

RABBITMQ = "RabbitMQ"
POSTGRESQL = "PostgreSQL"
REDIS = "Redis"
RABBITMQ_URL = os.environ.get("BENCH_RABBITMQ_URL", "amqp://guest:guest@127.0.0.1:5672/%2F")
POSTGRESQL_URL = os.environ.get("BENCH_POSTGRESQL_URL", "postgresql://postgres@127.0.0.1/postgres")
PROGRAMS = {RABBITMQ: "beam.smp", POSTGRESQL: "postgres"}
WAIT = 15.0


class Servers:
    """What there is; a context manager of the whole run, which starts Redis when it is first needed."""

    def __init__(self, folder: Path) -> None:
        self._group = Group(folder, {})
        self._redis_port = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._group.stop()

    def missing(self, *needed: str) -> str:
        """Which of these cannot be had, as a sentence; empty when all can."""
        return "; ".join(filter(None, map(refusal, needed)))

    def redis(self) -> str:
        """The URL of an empty Redis that keeps nothing on disk, without a database's number."""
        if not self._redis_port:
            self._redis_port = free_port()
            options = ["--port", str(self._redis_port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]
            self._group.start(Command("redis", ["redis-server", *options]))
            until = time.monotonic() + WAIT
            while not answers(self._redis_port):
                self._group.must_live()
                if time.monotonic() > until:
                    raise TimeoutError("redis-server did not answer")
                time.sleep(0.02)
        url = f"redis://127.0.0.1:{self._redis_port}"
        with closing(redis.Redis.from_url(url, socket_timeout=WAIT)) as client:
            client.flushall()
        return url

    def pids(self, name: str) -> list[int]:
        """Processes of that server, from which all others of it descend; none where it is not on this machine."""
        if name == REDIS:
            return [process.popen.pid for process in self._group.processes]
        return named(PROGRAMS[name])

    def versions(self) -> dict[str, str]:
        """The version of each that is there."""
        asked = {RABBITMQ: _rabbitmq_version, POSTGRESQL: _postgresql_version, REDIS: self._redis_version}
        return {name: ask() for name, ask in asked.items() if not refusal(name)}

    def _redis_version(self) -> str:
        with closing(redis.Redis.from_url(self.redis(), socket_timeout=WAIT)) as client:
            return str(client.info("server")["redis_version"])


@cache
def refusal(name: str) -> str:
    """Why that server cannot be had; empty when it can. It is asked once in a run."""
    if name == REDIS:
        there = shutil.which("redis-server")
        return (
            "" if there else "Redis: redis-server is not installed (on Debian and Ubuntu: apt-get install redis-server)"
        )
    try:
        {RABBITMQ: _rabbitmq_version, POSTGRESQL: _postgresql_version}[name]()
    except Exception as error:  # noqa: BLE001 - each driver has errors of its own, and any is a reason
        url = {RABBITMQ: RABBITMQ_URL, POSTGRESQL: POSTGRESQL_URL}[name]
        return (
            f"{name} does not answer at {re.sub('//[^/@]*@', '//', url)} ({str(error).strip() or type(error).__name__})"
        )
    return ""


@contextmanager
def rabbitmq_queue() -> Iterator[str]:
    """A name for a queue that nobody uses; queue and exchange of that name, and Dramatiq's beside, are removed."""
    name = f"bench-{uuid.uuid4().hex[:12]}"
    try:
        yield name
    finally:
        with _rabbitmq() as connection, connection.channel() as channel:
            for queue in (name, f"{name}.DQ", f"{name}.XQ"):
                Queue(queue, channel=channel).delete(if_unused=False, if_empty=False)
            Exchange(name, channel=channel).delete(if_unused=False)


@contextmanager
def postgresql_database() -> Iterator[str]:
    """The URL of a new empty database, which is dropped in the end."""
    name = f"bench_{uuid.uuid4().hex[:12]}"
    with psycopg.connect(POSTGRESQL_URL, autocommit=True, connect_timeout=5) as connection:
        connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
    try:
        yield urlsplit(POSTGRESQL_URL)._replace(path=f"/{name}").geturl()
    finally:
        with psycopg.connect(POSTGRESQL_URL, autocommit=True, connect_timeout=5) as connection:
            connection.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))


def lend(stack: ExitStack, servers: Servers, needed: tuple[str, ...]) -> dict[str, str]:
    """What a system is told of the servers that it needs, as environment variables; the stack tidies up."""
    told: dict[str, str] = {}
    if RABBITMQ in needed:
        told |= {"BENCH_RABBITMQ_URL": RABBITMQ_URL, "BENCH_QUEUE": stack.enter_context(rabbitmq_queue())}
    if REDIS in needed:
        told["BENCH_REDIS_URL"] = servers.redis()
    if POSTGRESQL in needed:
        told["BENCH_POSTGRESQL_URL"] = stack.enter_context(postgresql_database())
    return told


def _rabbitmq() -> Connection:
    return Connection(RABBITMQ_URL, connect_timeout=5)


def _rabbitmq_version() -> str:
    with _rabbitmq() as connection:
        connection.ensure_connection(max_retries=1)
        properties: dict[str, Any] = connection.connection.server_properties
        return str(properties.get("version", "unknown"))


def _postgresql_version() -> str:
    with psycopg.connect(POSTGRESQL_URL, connect_timeout=5) as connection:
        row = connection.execute("SHOW server_version").fetchone()
        return str(row[0]) if row else "unknown"
