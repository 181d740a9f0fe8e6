"""A real Celery worker on ``database://``: how it ends, waits, reconnects and obeys remote control."""

import time
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psycopg
import pytest

from pacifica.dispatcher.store.database import Database

from ...eventually import eventually
from .conftest import LEASE, Broker
from .peer import noted

STOP_TIMEOUT = 60.0
"""Seconds: on any broker, billiard's child sometimes waits thirty for its parent to read a result."""


def rows(db_broker: Broker, query: str) -> list[Any]:
    """The rows of a query."""
    database = Database(db_broker.options["peewee_url"])
    try:
        return list(database.read(lambda db: db.execute_sql(query).fetchall()))
    finally:
        database.close()


@pytest.mark.parametrize("pool", ["prefork", "solo"])
def test_stopped_worker_returns_the_messages_that_it_has_not_begun(
    db_broker: Broker, run_db_task: Any, tmp_path: Path, pool: str
) -> None:
    path = tmp_path / "naps"
    for number in range(12):
        run_db_task("nap", str(path), str(number), 0.4)
    worker = db_broker.worker("-P", pool, "-c", "1")
    # On any broker, Celery returns a message whose child has begun so recently that its parent does not know it.
    worker.wait_until_it_says("begun: ")
    assert worker.stop(STOP_TIMEOUT) == 0
    ended = [line for line in noted(path) if line.endswith("ended")]
    assert 2 * len(ended) == len(noted(path)) < 24
    assert rows(db_broker, f"SELECT visible, owner FROM message WHERE queue = '{db_broker.queue.name}'") == [
        (0, "")
    ] * (12 - len(ended))


def test_long_task_in_a_solo_worker_runs_once(db_broker: Broker, run_db_task: Any, tmp_path: Path) -> None:
    path = tmp_path / "naps"
    for _ in range(2):
        db_broker.worker("-P", "solo", "-n", f"{time.monotonic_ns()}@h")
    run_db_task("nap", str(path), "long", 1.6 * LEASE)
    run_db_task("note", str(path), "other")
    eventually(lambda: "long ended" in noted(path))
    eventually(lambda: rows(db_broker, f"SELECT id FROM message WHERE queue = '{db_broker.queue.name}'") == [])
    assert sorted(noted(path)) == ["long began", "long ended", "other"]


def test_countdown_and_rate_limit_are_obeyed(db_broker: Broker, run_db_task: Any, tmp_path: Path) -> None:
    db_broker.worker("-c", "1")
    begin = time.monotonic()
    run_db_task("note", str(tmp_path / "later"), "later", countdown=1.5)
    for number in range(10):
        run_db_task("seldom", str(tmp_path / "seldom"), str(number))
    eventually(lambda: len(noted(tmp_path / "seldom")) == 10)
    assert time.monotonic() - begin >= 0.4
    eventually(lambda: noted(tmp_path / "later"))
    assert time.monotonic() - begin >= 1.4
    eventually(lambda: rows(db_broker, f"SELECT id FROM message WHERE queue = '{db_broker.queue.name}'") == [])


def test_restarted_worker_ignores_commands_to_its_killed_predecessor(
    db_broker: Broker, run_db_task: Any, tmp_path: Path
) -> None:
    worker = db_broker.worker("-c", "1")
    worker.kill()
    run_db_task.app.control.shutdown()
    pidbox = f"{db_broker.queue.name}@h.celery.pidbox"
    assert rows(db_broker, f"SELECT count(*) FROM message WHERE queue = '{pidbox}'") == [(1,)]
    db_broker.worker("-c", "1")
    run_db_task("note", str(tmp_path / "notes"), "alive")
    eventually(lambda: noted(tmp_path / "notes") == ["alive"])


def test_living_worker_sweeps_the_commands_to_a_dead_one(db_broker: Broker, run_db_task: Any) -> None:
    db_broker.worker("-c", "1", "-n", "dead@h").kill()
    run_db_task.app.control.enable_events()
    eventually(lambda: rows(db_broker, "SELECT count(*) FROM message WHERE queue = 'dead@h.celery.pidbox'") == [(1,)])
    db_broker.worker("-c", "1", "-n", "living@h")
    eventually(lambda: rows(db_broker, "SELECT count(*) FROM message WHERE queue = 'dead@h.celery.pidbox'") == [(0,)])
    assert rows(db_broker, "SELECT count(*) FROM binding WHERE queue = 'dead@h.celery.pidbox'") == [(0,)]
    assert rows(db_broker, "SELECT count(*) FROM binding WHERE queue = 'living@h.celery.pidbox'") == [(2,)]


def end_connections(url: str, *, allow: bool) -> None:
    """End all connections to a PostgreSQL database, and allow new ones or not."""
    name = urlsplit(url).path.strip("/")
    with psycopg.connect(urlsplit(url)._replace(path="/postgres").geturl(), autocommit=True) as connection:
        connection.execute(f"ALTER DATABASE {name} WITH ALLOW_CONNECTIONS {str(allow).lower()}")
        connection.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", (name,))


@pytest.mark.parametrize("unavailable", [False, True], ids=["connections end", "server is unavailable"])
def test_worker_survives_the_end_of_its_connections(
    make_broker_of: Any, make_tasks: Any, tmp_path: Path, unavailable: bool
) -> None:
    db_broker = make_broker_of("database-postgresql")
    url, path, run = db_broker.options["peewee_url"], tmp_path / "notes", make_tasks(db_broker)
    worker = db_broker.worker("-c", "1")
    run("note", str(path), "before")
    eventually(lambda: noted(path) == ["before"])
    end_connections(url, allow=not unavailable)
    if unavailable:
        worker.wait_until_it_says("Messages wait")
        end_connections(url, allow=True)
    run("note", str(path), "after")
    eventually(lambda: noted(path) == ["before", "after"], 30)
    eventually(lambda: rows(db_broker, f"SELECT id FROM message WHERE queue = '{db_broker.queue.name}'") == [])
    assert worker.stop(STOP_TIMEOUT) == 0
    assert "Traceback" not in worker.output()


def test_settings_of_a_worker_contain_no_password(make_broker_of: Any, make_tasks: Any) -> None:
    db_broker = make_broker_of("database-sqlite")
    db_broker.worker("-c", "1")
    name = f"{db_broker.queue.name}@h"
    inspect = make_tasks(db_broker).app.control.inspect([name], timeout=2.0)
    assert eventually(inspect.stats)[name]["broker"]["transport"] == "database"
    assert eventually(inspect.conf)[name]["broker_url"] == "database://"


def test_fully_loaded_worker_obeys_remote_control(db_broker: Broker, run_db_task: Any, tmp_path: Path) -> None:
    db_broker.worker("-c", "1")
    for number in range(12):
        run_db_task("nap", str(tmp_path / "naps"), str(number), 3600)
    eventually(lambda: noted(tmp_path / "naps") == ["0 began"])
    name = f"{db_broker.queue.name}@h"
    held = f"SELECT count(*) FROM message WHERE queue = '{db_broker.queue.name}' AND owner <> ''"
    eventually(lambda: rows(db_broker, held) == [(4,)])
    assert run_db_task.app.control.inspect([name], timeout=5.0, limit=1).ping() == {name: {"ok": "pong"}}


def test_monitor_receives_the_events_of_a_worker(make_broker_of: Any, make_tasks: Any, tmp_path: Path) -> None:
    db_broker = make_broker_of("database-sqlite")
    run = make_tasks(db_broker)
    seen: list[str] = []
    db_broker.worker("-c", "1", "-E")
    with db_broker.connect() as connection:
        receiver = run.app.events.Receiver(connection, handlers={"*": lambda event: seen.append(event["type"])})
        # It opens a connection of its own.
        with receiver.consumer_context() as (own, *_):
            run("note", str(tmp_path / "notes"), "done")
            wanted = {"worker-heartbeat", "task-received", "task-started", "task-succeeded"}
            eventually(lambda: (own.drain_events(timeout=15), wanted <= set(seen))[1])


def test_messages_with_a_countdown_hold_no_others_back(db_broker: Broker, run_db_task: Any, tmp_path: Path) -> None:
    db_broker.worker("-c", "1")
    for number in range(6):
        run_db_task("note", str(tmp_path / "later"), str(number), countdown=3600)
    run_db_task("note", str(tmp_path / "now"), "now")
    eventually(lambda: noted(tmp_path / "now") == ["now"])
