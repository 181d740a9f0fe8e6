"""The servers that the systems need: RabbitMQ and PostgreSQL of this machine, and a Redis that the benchmark starts.

RabbitMQ and PostgreSQL are expected at their standard ports on 127.0.0.1, or at ``BENCH_RABBITMQ_URL`` and
``BENCH_POSTGRESQL_URL``. Systems never see each other's data: each start has its own queue in RabbitMQ and an empty
Redis, and each table its own database.
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

RABBITMQ, POSTGRESQL, REDIS = "RabbitMQ", "PostgreSQL", "Redis"
RABBITMQ_URL = os.environ.get("BENCH_RABBITMQ_URL", "amqp://guest:guest@127.0.0.1:5672/%2F")
POSTGRESQL_URL = os.environ.get("BENCH_POSTGRESQL_URL", "postgresql://postgres@127.0.0.1/postgres")
URLS = {RABBITMQ: RABBITMQ_URL, POSTGRESQL: POSTGRESQL_URL}
PROGRAMS = {RABBITMQ: "beam.smp", POSTGRESQL: "postgres"}
TIMEOUT = 15.0


class Servers:
    """The servers of a whole run; a context manager that starts Redis when it is first needed."""

    def __init__(self, folder: Path) -> None:
        self._group = Group(folder, {})
        self._redis_port = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._group.stop()

    def redis(self) -> str:
        """Return the URL of an empty Redis that keeps nothing on disk, without the number of a database."""
        if not self._redis_port:
            self._start_redis()
        url = f"redis://127.0.0.1:{self._redis_port}"
        with closing(redis.Redis.from_url(url, socket_timeout=TIMEOUT)) as client:
            client.flushall()
        return url

    def _start_redis(self) -> None:
        self._redis_port = free_port()
        options = ["--port", str(self._redis_port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]
        self._group.start(Command("redis", ["redis-server", *options]))
        end = time.monotonic() + TIMEOUT
        while not answers(self._redis_port):
            self._group.check()
            if time.monotonic() > end:
                raise TimeoutError("redis-server did not answer")
            time.sleep(0.02)

    def pids(self, name: str) -> list[int]:
        """Return the first processes of that server; empty if it is not on this machine."""
        return [one.popen.pid for one in self._group.processes] if name == REDIS else named(PROGRAMS[name])

    def versions(self) -> dict[str, str]:
        """Return the version of each server that answers."""
        return {name: self._version(name) for name in (RABBITMQ, POSTGRESQL, REDIS) if not missing(name)}

    def _version(self, name: str) -> str:
        if name != REDIS:
            return _version(name)
        with closing(redis.Redis.from_url(self.redis(), socket_timeout=TIMEOUT)) as client:
            return str(client.info("server")["redis_version"])

    def environment(self, stack: ExitStack, needed: tuple[str, ...]) -> dict[str, str]:
        """Return the variables that name the servers a system needs; the stack removes what is created for it."""
        found: dict[str, str] = {}
        if RABBITMQ in needed:
            found |= {"BENCH_RABBITMQ_URL": RABBITMQ_URL, "BENCH_QUEUE": stack.enter_context(_rabbitmq_queue())}
        if REDIS in needed:
            found["BENCH_REDIS_URL"] = self.redis()
        if POSTGRESQL in needed:
            found["BENCH_POSTGRESQL_URL"] = stack.enter_context(postgresql_database())
        return found


@cache
def missing(name: str) -> str:
    """Return why that server cannot be used; empty if it can. A run checks it once."""
    if name == REDIS:
        found = shutil.which("redis-server")
        return "" if found else "redis-server is not installed (on Debian and Ubuntu: apt-get install redis-server)"
    try:
        _version(name)
    except Exception as error:  # noqa: BLE001 - each driver has its own errors, and any of them is a reason
        url = re.sub("//[^/@]*@", "//", URLS[name])
        return f"{name} does not answer at {url} ({str(error).strip() or type(error).__name__})"
    return ""


@contextmanager
def postgresql_database() -> Iterator[str]:
    """The URL of a new, empty database, which is dropped at the end."""
    name = f"bench_{uuid.uuid4().hex[:12]}"
    with psycopg.connect(POSTGRESQL_URL, autocommit=True, connect_timeout=5) as connection:
        connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        try:
            yield urlsplit(POSTGRESQL_URL)._replace(path=f"/{name}").geturl()
        finally:
            connection.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))


@contextmanager
def _rabbitmq_queue() -> Iterator[str]:
    """An unused name for a queue; the queue, its exchange and Dramatiq's further queues are removed at the end."""
    name = f"bench-{uuid.uuid4().hex[:12]}"
    try:
        yield name
    finally:
        with Connection(RABBITMQ_URL, connect_timeout=5) as connection, connection.channel() as channel:
            for queue in (name, f"{name}.DQ", f"{name}.XQ"):
                Queue(queue, channel=channel).delete(if_unused=False, if_empty=False)
            Exchange(name, channel=channel).delete(if_unused=False)


def _version(name: str) -> str:
    if name == POSTGRESQL:
        with psycopg.connect(POSTGRESQL_URL, connect_timeout=5) as connection:
            return str((connection.execute("SHOW server_version").fetchone() or ["unknown"])[0])
    with Connection(RABBITMQ_URL, connect_timeout=5) as connection:
        connection.ensure_connection(max_retries=1)
        properties: dict[str, Any] = connection.connection.server_properties
        return str(properties.get("version", "unknown"))
