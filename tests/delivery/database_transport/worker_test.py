"""A real Celery worker on ``database://``: what it gives back, how it waits, and that it comes back."""

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

STOPPED = 60.0
"""Seconds: now and then billiard's child waits thirty for its parent to read a result, on any broker."""


def rows(table: Broker, query: str) -> list[Any]:
    """What a query answers."""
    database = Database(table.options["peewee_url"])
    try:
        return list(database.read(lambda db: db.execute_sql(query).fetchall()))
    finally:
        database.close()


@pytest.mark.parametrize("pool", ["prefork", "solo"])
def test_a_worker_that_is_asked_to_end_gives_back_what_it_has_not_begun(
    table: Broker, run_table_task: Any, tmp_path: Path, pool: str
) -> None:
    path = tmp_path / "naps"
    for number in range(12):
        run_table_task("nap", str(path), str(number), 0.4)
    worker = table.worker("-P", pool, "-c", "1")
    # Celery gives back, on any broker, what a child began so lately that its parent has not heard of it.
    worker.wait_until_it_says("heard of")
    assert worker.stop(STOPPED) == 0
    ended = [line for line in noted(path) if line.endswith("ended")]
    assert 2 * len(ended) == len(noted(path)) < 24
    assert rows(table, f"SELECT visible, owner FROM message WHERE queue = '{table.queue.name}'") == [(0, "")] * (
        12 - len(ended)
    )


def test_a_long_task_in_a_solo_worker_runs_once(table: Broker, run_table_task: Any, tmp_path: Path) -> None:
    path = tmp_path / "naps"
    for _ in range(2):
        table.worker("-P", "solo", "-n", f"{time.monotonic_ns()}@h")
    run_table_task("nap", str(path), "long", 2.5 * LEASE)
    run_table_task("note", str(path), "other")
    eventually(lambda: "long ended" in noted(path))
    eventually(lambda: rows(table, f"SELECT id FROM message WHERE queue = '{table.queue.name}'") == [])
    assert sorted(noted(path)) == ["long began", "long ended", "other"]


def test_a_countdown_and_a_rate_limit_are_obeyed(table: Broker, run_table_task: Any, tmp_path: Path) -> None:
    table.worker("-c", "1")
    begin = time.monotonic()
    run_table_task("note", str(tmp_path / "later"), "later", countdown=1.5)
    for number in range(10):
        run_table_task("seldom", str(tmp_path / "seldom"), str(number))
    eventually(lambda: len(noted(tmp_path / "seldom")) == 10)
    assert time.monotonic() - begin >= 0.4
    eventually(lambda: noted(tmp_path / "later"))
    assert time.monotonic() - begin >= 1.4
    eventually(lambda: rows(table, f"SELECT id FROM message WHERE queue = '{table.queue.name}'") == [])


def test_a_restarted_worker_does_not_hear_what_was_said_to_its_killed_predecessor(
    table: Broker, run_table_task: Any, tmp_path: Path
) -> None:
    worker = table.worker("-c", "1")
    worker.kill()
    run_table_task.app.control.shutdown()
    pidbox = f"{table.queue.name}@h.celery.pidbox"
    assert rows(table, f"SELECT count(*) FROM message WHERE queue = '{pidbox}'") == [(1,)]
    table.worker("-c", "1")
    run_table_task("note", str(tmp_path / "notes"), "alive")
    eventually(lambda: noted(tmp_path / "notes") == ["alive"])


def test_what_was_sent_to_a_dead_worker_is_swept_by_a_living_one(table: Broker, run_table_task: Any) -> None:
    table.worker("-c", "1", "-n", "dead@h").kill()
    run_table_task.app.control.enable_events()
    eventually(lambda: rows(table, "SELECT count(*) FROM message WHERE queue = 'dead@h.celery.pidbox'") == [(1,)])
    table.worker("-c", "1", "-n", "living@h")
    eventually(lambda: rows(table, "SELECT count(*) FROM message WHERE queue = 'dead@h.celery.pidbox'") == [(0,)])
    assert rows(table, "SELECT count(*) FROM binding WHERE queue = 'dead@h.celery.pidbox'") == [(0,)]
    assert rows(table, "SELECT count(*) FROM binding WHERE queue = 'living@h.celery.pidbox'") == [(2,)]


def end_connections(url: str, *, allow: bool) -> None:
    """End all connections to a PostgreSQL database, and allow new ones or not."""
    name = urlsplit(url).path.strip("/")
    with psycopg.connect(urlsplit(url)._replace(path="/postgres").geturl(), autocommit=True) as connection:
        connection.execute(f"ALTER DATABASE {name} WITH ALLOW_CONNECTIONS {str(allow).lower()}")
        connection.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", (name,))


@pytest.mark.parametrize("away", [False, True], ids=["connections end", "server is away"])
def test_a_worker_goes_on_when_its_connections_were_ended(
    make_broker_of: Any, make_tasks: Any, tmp_path: Path, away: bool
) -> None:
    table = make_broker_of("database-postgresql")
    url, path, run = table.options["peewee_url"], tmp_path / "notes", make_tasks(table)
    worker = table.worker("-c", "1")
    run("note", str(path), "before")
    eventually(lambda: noted(path) == ["before"])
    end_connections(url, allow=not away)
    if away:
        worker.wait_until_it_says("Messages wait")
        end_connections(url, allow=True)
    run("note", str(path), "after")
    eventually(lambda: noted(path) == ["before", "after"], 30)
    eventually(lambda: rows(table, f"SELECT id FROM message WHERE queue = '{table.queue.name}'") == [])
    assert worker.stop(STOPPED) == 0
    assert "Traceback" not in worker.output()


def test_a_worker_tells_its_settings_without_the_password(make_broker_of: Any, make_tasks: Any) -> None:
    table = make_broker_of("database-sqlite")
    table.worker("-c", "1")
    name = f"{table.queue.name}@h"
    inspect = make_tasks(table).app.control.inspect([name], timeout=2.0)
    assert eventually(inspect.stats)[name]["broker"]["transport"] == "database"
    assert eventually(inspect.conf)[name]["broker_url"] == "database://"


def test_a_worker_whose_hands_are_full_hears_remote_control(table: Broker, run_table_task: Any, tmp_path: Path) -> None:
    table.worker("-c", "1")
    for number in range(12):
        run_table_task("nap", str(tmp_path / "naps"), str(number), 3600)
    eventually(lambda: noted(tmp_path / "naps") == ["0 began"])
    name = f"{table.queue.name}@h"
    held = f"SELECT count(*) FROM message WHERE queue = '{table.queue.name}' AND owner <> ''"
    eventually(lambda: rows(table, held) == [(4,)])
    assert run_table_task.app.control.inspect([name], timeout=5.0, limit=1).ping() == {name: {"ok": "pong"}}


def test_messages_that_wait_for_their_time_keep_no_others_back(
    table: Broker, run_table_task: Any, tmp_path: Path
) -> None:
    table.worker("-c", "1")
    for number in range(6):
        run_table_task("note", str(tmp_path / "later"), str(number), countdown=3600)
    run_table_task("note", str(tmp_path / "now"), "now")
    eventually(lambda: noted(tmp_path / "now") == ["now"])
