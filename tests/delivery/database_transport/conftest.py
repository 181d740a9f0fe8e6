"""Fixtures for the transport: each kind of broker, and what a test needs of it."""

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from celery import Celery
from kombu import Connection, Queue

import pacifica.dispatcher.delivery.database_transport  # noqa: F401 - registers database://
from pacifica.dispatcher.orm import Binding, Message
from pacifica.dispatcher.store.database import Database
from pacifica.dispatcher.store.messages import MessageStore

from ...processes import Processes, Running
from .peer import task_queue

LEASE = 2.0
"""Seconds; a third of it must be enough for a renewal on a machine that is busy with other tests."""
BROKERS = ("rabbitmq", "redis", "database-sqlite", "database-postgresql", "database-mysql")


@dataclass
class Broker:
    """A broker, and a queue on it that only this test uses."""

    kind: str
    url: str
    options: Mapping[str, Any]
    queue: Queue
    processes: Processes
    _open: ExitStack = field(default_factory=ExitStack)

    def connect(self) -> Connection:
        """A connection, closed when the test ends."""
        return self._open.enter_context(Connection(self.url, transport_options=dict(self.options)))

    def peer(self, command: str, *arguments: str) -> Running:
        """A process of ``peer.py``."""
        script = str(Path(__file__).with_name("peer.py"))
        options = json.dumps(self.options)
        return self.processes.start(command, [script, self.url, options, self.queue.name, command, *arguments])

    def worker(self, *options: str) -> Running:
        """A Celery worker that is ready."""
        environment = {"PYTHONPATH": str(Path(__file__).parent), **self.environment()}
        arguments = ["-m", "celery", "-A", "worker_app", "worker", "-l", "info", "-n", f"{self.queue.name}@h"]
        running = self.processes.start("worker", [*arguments, *options], env=environment)
        running.wait_until_it_says(r"@\S+ ready\.")
        return running

    def environment(self) -> dict[str, str]:
        """The environment variables that ``worker_app`` reads."""
        return {
            "TEST_APP_BROKER": self.url,
            "TEST_APP_OPTIONS": json.dumps(self.options),
            "TEST_APP_QUEUE": self.queue.name,
        }

    def close(self) -> None:
        """Close all connections and kill all processes: only tests of a clean end wait for one."""
        self._open.close()
        self.processes.kill()


@pytest.fixture
def make_broker_of(
    make_broker: Callable[[str], str],
    make_database: Callable[[str], str],
    queue_name: str,
    processes: Processes,
) -> Iterator[Callable[[str], Broker]]:
    """Makes a ``Broker`` of one of ``BROKERS``."""
    with ExitStack() as brokers:

        def make(kind: str) -> Broker:
            name, _, database = kind.partition("-")
            options: dict[str, Any] = {
                "rabbitmq": {"confirm_publish": True},
                "redis": {"visibility_timeout": LEASE},
            }.get(kind, {})
            if database:
                options = {"peewee_url": make_database(database), "lease": LEASE}
            broker = Broker(kind, make_broker(name), options, task_queue(queue_name), processes)
            brokers.callback(broker.close)
            return broker

        yield make


@pytest.fixture(params=BROKERS)
def broker(request: pytest.FixtureRequest, make_broker_of: Callable[[str], Broker]) -> Broker:
    """Each broker in turn."""
    return make_broker_of(request.param)


@pytest.fixture(params=[kind for kind in BROKERS if kind.startswith("database")])
def db_broker(request: pytest.FixtureRequest, make_broker_of: Callable[[str], Broker]) -> Broker:
    """``database://`` on each database."""
    return make_broker_of(request.param)


@pytest.fixture
def database(shared_database: Database) -> Database:
    """A database without messages and routes; the test runs once for each kind."""
    for model in (Message, Binding):
        shared_database.write(model.delete().execute)
    return shared_database


@pytest.fixture
def store(database: Database) -> MessageStore:
    """The message store of a fresh database."""
    return MessageStore(database)


class Tasks:
    """Sends tasks to the worker that ``broker.worker()`` starts."""

    def __init__(self, broker: Broker) -> None:
        self.app = Celery("worker_app", broker=broker.url, set_as_current=False)
        self.app.conf.update(
            broker_transport_options=dict(broker.options),
            task_default_queue=broker.queue.name,
            task_ignore_result=True,
        )

    def __call__(self, name: str, *arguments: Any, **options: Any) -> None:
        self.app.send_task(f"worker_app.{name}", arguments, **options)


@pytest.fixture
def make_tasks() -> Iterator[Callable[[Broker], Tasks]]:
    """Makes the sender of tasks to a broker."""
    made: list[Tasks] = []

    def make(broker: Broker) -> Tasks:
        made.append(Tasks(broker))
        return made[-1]

    yield make
    for tasks in made:
        tasks.app.pool.force_close_all()  # A connection that is left to the collector goes on renewing its leases.
        tasks.app.close()


@pytest.fixture
def run_task(broker: Broker, make_tasks: Callable[[Broker], Tasks]) -> Tasks:
    """Sends a task, by name and arguments, to the broker."""
    return make_tasks(broker)


@pytest.fixture
def run_db_task(db_broker: Broker, make_tasks: Callable[[Broker], Tasks]) -> Tasks:
    """Sends a task, by name and arguments, to ``database://``."""
    return make_tasks(db_broker)
