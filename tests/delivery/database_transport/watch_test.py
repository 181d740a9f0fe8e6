"""A consumer of ``database://`` on SQLite notices messages at once, and costs almost nothing while idle."""

import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from pathlib import Path

import pytest
from kombu import Connection, Queue
from kombu.asynchronous import Hub

from pacifica.dispatcher.core.errors import DatabaseUnavailable
from pacifica.dispatcher.delivery.database_transport import watch
from pacifica.dispatcher.delivery.database_transport.watch import FileWatch, MessageWatch
from pacifica.dispatcher.store.database import Database
from pacifica.dispatcher.store.messages import Letter, MessageStore

from ...eventually import eventually

LONG = 30.0
on_linux = pytest.mark.skipif(sys.platform != "linux", reason="inotify exists only on Linux; other systems are polled")


@pytest.fixture
def database(sqlite_url: str) -> Iterator[Database]:
    """A fresh database, whose writer does not wait for a lock."""
    with closing(Database(sqlite_url, busy_timeout=0.0)) as opened:
        opened.wait_until_up(1, 0.0)
        yield opened


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A file with some text."""
    path = tmp_path / "log"
    path.write_text("begin")
    return path


def seconds(action: Callable[[], object]) -> float:
    """The seconds that the action takes."""
    begin = time.monotonic()
    action()
    return time.monotonic() - begin


def append(path: Path) -> None:
    """Append to the file."""
    with path.open("a", encoding="utf-8") as opened:
        opened.write("more")


@on_linux
def test_write_ends_the_wait_and_otherwise_it_lasts_its_time(file: Path) -> None:
    with closing(FileWatch(file)) as file_watch:
        assert file_watch.wait(LONG)
        writer = threading.Timer(0.1, append, (file,))
        writer.start()
        assert seconds(lambda: file_watch.wait(LONG)) < LONG
        writer.join()
        assert seconds(lambda: file_watch.wait(0.2)) >= 0.15


@on_linux
def test_wake_ends_a_wait_even_before_it_begins(file: Path) -> None:
    with closing(FileWatch(file)) as file_watch:
        file_watch.wake()
        file_watch.wait(LONG)
        file_watch.wake()
        assert seconds(lambda: file_watch.wait(LONG)) < LONG
        assert seconds(lambda: file_watch.wait(0.2)) >= 0.15


@on_linux
def test_new_file_of_the_same_name_is_watched(file: Path) -> None:
    with closing(FileWatch(file)) as file_watch:
        file_watch.wait(LONG)
        file.unlink()
        file.write_text("another")
        assert seconds(lambda: file_watch.wait(LONG)) < LONG
        append(file)
        assert seconds(lambda: file_watch.wait(LONG)) < LONG


def test_wait_returns_false_at_once_for_a_file_that_cannot_be_watched(
    tmp_path: Path, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with closing(FileWatch(tmp_path / "missing")) as file_watch:
        assert not file_watch.wait(LONG)
    assert not file_watch.wait(LONG)
    file_watch.wake()
    monkeypatch.setattr(watch.sys, "platform", "another")
    with closing(FileWatch(file)) as file_watch:
        assert not file_watch.wait(LONG)


@pytest.mark.parametrize("disabled", [False, True])
def test_message_put_while_the_file_was_at_rest_is_found_soon(database: Database, disabled: bool) -> None:
    store = MessageStore(database)
    watched = MessageWatch(store, 0.004)
    watched.queues = ["q"]
    if disabled:
        watched.close()

    def rest(until: float) -> bool:
        while not (found := not watched.can_rest() and watched.check()) and time.monotonic() < until:
            watched.sleep(LONG)
        return found

    assert not rest(time.monotonic() + 0.5)
    writer = threading.Timer(0.1, store.put, ([Letter("q", "a")],))
    writer.start()
    assert rest(time.monotonic() + LONG)
    writer.join()
    watched.close()


def test_idle_consumer_takes_no_write_lock(database: Database, sqlite_url: str) -> None:
    failures: list[str] = []
    database.on_failure = failures.append
    hub = Hub()
    with (
        closing(Database(sqlite_url)) as other,
        closing(hub),
        Connection("database://", transport_options={"database": database}) as connection,
        connection.Consumer([Queue("q")], callbacks=[lambda body, message: message.ack()]),
    ):

        def idle(_: object) -> None:
            with suppress(TimeoutError):
                connection.drain_events(timeout=1)
            connection.register_with_event_loop(hub)
            end = time.monotonic() + 1
            while time.monotonic() < end:
                hub.run_once()

        with suppress(TimeoutError):
            connection.drain_events(timeout=0.1)
        other.write(idle)
        assert failures == []
        with pytest.raises(DatabaseUnavailable):
            other.write(lambda _: connection.Producer().publish("a", routing_key="q"))


def test_event_loop_is_woken_for_a_message_after_a_rest(database: Database, sqlite_url: str) -> None:
    hub, got = Hub(), []
    with (
        closing(Database(sqlite_url)) as other,
        closing(hub),
        Connection("database://", transport_options={"database": database}) as connection,
        connection.Consumer([Queue("q")], callbacks=[lambda body, message: (got.append(body), message.ack())]),
    ):
        connection.register_with_event_loop(hub)
        for number in range(3):
            end = time.monotonic() + 0.4
            while time.monotonic() < end:
                hub.run_once()
            Connection("database://", transport_options={"database": other}).Producer().publish(number, routing_key="q")
            eventually(lambda number=number: (hub.run_once(), got[-1:] == [number])[1])
    assert got == [0, 1, 2]
