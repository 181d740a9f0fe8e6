"""Fixtures for the store: a fresh database with its tables, and the stores on it."""

import threading
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import pytest

from pacifica.dispatcher.config.settings import RetentionSettings
from pacifica.dispatcher.core.job import Job, State, new_uuid, now
from pacifica.dispatcher.orm import MODELS
from pacifica.dispatcher.service.event_feed import EventFeed
from pacifica.dispatcher.service.waiting import Waiting
from pacifica.dispatcher.store.database import Database
from pacifica.dispatcher.store.events import EventStore
from pacifica.dispatcher.store.jobs import JobStore
from pacifica.dispatcher.store.outbox import Outbox
from pacifica.dispatcher.upkeep.pruner import Pruner

Value = TypeVar("Value")


@pytest.fixture
def database(shared_database: Database) -> Database:
    """An empty database with its tables; the test runs once for each kind."""
    for model in MODELS:
        shared_database.write(model.delete().execute)
    return shared_database


@pytest.fixture
def jobs(database: Database) -> JobStore:
    """The job store of a fresh database."""
    return JobStore(database)


@pytest.fixture
def outbox(database: Database) -> Outbox:
    """The outbox of a fresh database."""
    return Outbox(database)


def a_job(**columns: Any) -> Job:
    """A new job that is due at once."""
    at = now()
    given = {"task": "add", "args": [2, 2], "kwargs": {}, "max_attempts": 3, "created": at, "due": at}
    return Job(**{"uuid": new_uuid(), "state": State.PENDING, **given, **columns})


def a_pruner(database: Database, **own: float | None) -> Pruner:
    """A pruner for the database; it purges nothing, unless settings of ``[retention]`` say so."""
    forever = dict.fromkeys(("success_seconds", "failure_seconds", "revoked_seconds"))
    settings: dict[str, Any] = {**forever, "tombstone_seconds": 86_400.0, "purge_batch": 2, "purge_pause": 0.0, **own}
    return Pruner(database, RetentionSettings(**settings))


def a_waiting(database: Database, places: int = 4, **options: float) -> Waiting:
    """The waiting service of a database."""
    history = EventStore(database)
    return Waiting(JobStore(database), history, EventFeed(history, places), **{"heartbeat": 15, "limit": 60, **options})


def all_at_once(database: Database, actions: Sequence[Callable[[], Value]]) -> list[Value]:
    """Run the actions at once, each in its own thread; returns their results, or raises the first error."""
    results: list[Value] = []
    errors: list[BaseException] = []
    ready = threading.Barrier(len(actions))

    def run(action: Callable[[], Value]) -> None:
        try:
            ready.wait(10)
            results.append(action())
        except BaseException as error:  # noqa: BLE001 - raised in the thread of the test
            errors.append(error)
        finally:
            database.close()

    threads = [threading.Thread(target=run, args=(action,), daemon=True) for action in actions]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    if errors:
        raise errors[0]
    assert not any(thread.is_alive() for thread in threads), "an action did not end within a minute"
    return results
