"""What is measured within one process, run by itself: ``python -m bench.limits NAME SECONDS``, which prints a rate.

Each is one way that a dispatch or its record could not be faster than, measured alone.
"""

import os
import sqlite3
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

BODY = "[[2, 2], {}, {}]"
ROW = ("01a20a87-952e-7637-b259-b34fb625e63a", "add", "[2, 2]", "{}", "PENDING", 1_790_000_000_000_000)


@contextmanager
def delay() -> Iterator[Callable[[], object]]:
    """Celery's ``delay()`` to RabbitMQ, without a result backend."""
    from work import add  # of systems/empty_tasks

    yield lambda: add.delay(2, 2)


@contextmanager
def publishing(*, confirmed: bool) -> Iterator[Callable[[], object]]:
    """kombu's publish of a persistent message, and whether RabbitMQ confirms each before the next."""
    from kombu import Connection, Exchange, Producer, Queue

    name = os.environ["BENCH_QUEUE"]
    options = {"confirm_publish": confirmed}
    with Connection(os.environ["BENCH_RABBITMQ_URL"], connect_timeout=5, transport_options=options) as connection:
        Queue(name, Exchange(name, durable=True), name, channel=connection.default_channel, durable=True).declare()
        producer = Producer(connection, Exchange(name), name)
        yield lambda: producer.publish(BODY, content_type="application/json", content_encoding="utf-8", delivery_mode=2)


@contextmanager
def inserting(synchronous: str) -> Iterator[Callable[[], object]]:
    """One row inserted and committed in SQLite's WAL mode."""
    connection = sqlite3.connect(Path("limit.sqlite3"), isolation_level=None)
    connection.execute("PRAGMA journal_mode = wal")
    connection.execute(f"PRAGMA synchronous = {synchronous}")
    connection.execute(
        "CREATE TABLE job (id INTEGER PRIMARY KEY, uuid TEXT, task TEXT, args TEXT, kwargs TEXT,"
        " state TEXT, created INTEGER)"
    )
    statement = "INSERT INTO job (uuid, task, args, kwargs, state, created) VALUES (?, ?, ?, ?, ?, ?)"

    def insert() -> None:
        connection.execute("BEGIN IMMEDIATE")
        connection.execute(statement, ROW)
        connection.execute("COMMIT")

    yield insert
    connection.close()


LIMITS = {
    "delay": delay,
    "publish": lambda: publishing(confirmed=False),
    "publish-confirmed": lambda: publishing(confirmed=True),
    "sqlite-normal": lambda: inserting("NORMAL"),
    "sqlite-full": lambda: inserting("FULL"),
}


def rate(once: Callable[[], object], seconds: float) -> float:
    """How often per second it can be called, one after the other."""
    for _ in range(20):
        once()
    number, begun = 0, time.perf_counter()
    while time.perf_counter() - begun < seconds:
        once()
        number += 1
    return number / (time.perf_counter() - begun)


def fill(number: int) -> None:
    """So many empty tasks in the queue, between one that notes the time and two that do."""
    from work import add, note

    note.delay("begun")
    for _ in range(number):
        add.delay(2, 2)
    note.delay("ended")
    note.delay("ended-too")


if __name__ == "__main__":
    if sys.argv[1].startswith("fill-"):
        fill(int(sys.argv[1].removeprefix("fill-")))
        sys.exit()
    with LIMITS[sys.argv[1]]() as measured:
        sys.stdout.write(f"{rate(measured, float(sys.argv[2]))}\n")
