"""Requests that wait in greenlets of the loop."""

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import closing
from contextvars import ContextVar

import peewee
import pytest

from pacifica.dispatcher.store.database import Database
from pacifica.dispatcher.store.group_commit import GroupCommit
from pacifica.dispatcher.web.server import loop as loop_module
from pacifica.dispatcher.web.server.loop import WAITER, Loop

from ..eventually import eventually


@pytest.fixture
def restored() -> list[str]:
    """The states that were restored after pauses."""
    return []


@pytest.fixture
def loop(restored: list[str]) -> Iterator[Loop]:
    """A loop in the thread of the test."""
    made = Loop(lambda: lambda: restored.append("restored"), 2)
    yield made
    made.close()


def until(loop: Loop, fact: Callable[[], bool]) -> None:
    """Run rounds until the fact holds."""
    eventually(lambda: (loop.go_round(0), fact())[1])


def test_request_that_waits_lets_others_run(loop: Loop, restored: list[str]) -> None:
    seen: list[str] = []
    future: Future[str] = Future()
    named: ContextVar[str] = ContextVar("named", default="no one")

    def first() -> None:
        named.set("first")
        seen.append("begun")
        seen.append(f"{named.get()} {WAITER.wait(future)}")

    loop.start(first)
    loop.start(lambda: seen.append(f"{named.get()}'s turn"))
    until(loop, lambda: len(seen) == 2)
    assert (seen, restored, WAITER.on_loop()) == (["begun", "no one's turn"], [], False)
    threading.Thread(target=future.set_result, args=("ended",)).start()
    until(loop, lambda: len(seen) == 3)
    assert (seen[2:], restored) == (["first ended"], ["restored"])


def test_wait_ends_after_its_seconds(loop: Loop) -> None:
    seen: list[float] = []

    def ask() -> None:
        with pytest.raises(TimeoutError):
            WAITER.wait(Future(), 0.05)
        seen.append(time.monotonic())

    began = time.monotonic()
    loop.start(ask)
    until(loop, lambda: bool(seen))
    assert seen[0] - began >= 0.05


def test_ended_timers_do_not_accumulate(loop: Loop) -> None:
    def ask() -> None:
        for _ in range(3000):
            future: Future[None] = Future()
            loop.call(lambda future=future: future.set_result(None))
            WAITER.wait(future, 1000)
        seen.append("ended")

    seen: list[str] = []
    loop.start(ask)
    while not seen:
        loop.go_round(0)
    assert len(loop._timers) < 2000  # noqa: SLF001 - no other sign of it


def test_blocking_call_runs_in_a_thread_with_the_context(loop: Loop) -> None:
    go, seen = threading.Event(), list[object]()
    named: ContextVar[str] = ContextVar("named", default="no one")

    def ask() -> None:
        named.set("asked")
        seen.append(WAITER.run(lambda: (WAITER.on_loop(), named.get(), go.wait(20))))
        with pytest.raises(ZeroDivisionError):
            WAITER.run(lambda: 1 // 0)
        seen.append("raised")

    loop.start(ask)
    loop.start(lambda: seen.append("next"))
    until(loop, lambda: seen == ["next"])
    go.set()
    until(loop, lambda: len(seen) == 3)
    assert seen[1:] == [(False, "asked", True), "raised"]


def test_heavy_calls_run_one_at_a_time_and_rendering_precedes_reading(loop: Loop) -> None:
    seen: list[str] = []

    def ask(name: str) -> None:
        WAITER.run(lambda: seen.append(f"{name} reads"), heavy=True)
        WAITER.run_if_away(lambda: seen.append(f"{name} renders"))

    for name in ("a", "b", "c"):
        loop.start(lambda name=name: ask(name))
    until(loop, lambda: len(seen) == 6)
    assert seen == [f"{name} {step}" for name in ("a", "b", "c") for step in ("reads", "renders")]


def test_loop_is_wary_for_a_while_after_a_long_request(loop: Loop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop_module, "LONG", 0.02)
    assert not loop.is_wary
    began = time.monotonic()
    loop.start(lambda: eventually(lambda: time.monotonic() > began + 0.03))
    loop.go_round(0)
    assert loop.is_wary
    eventually(lambda: not loop.is_wary)
    assert time.monotonic() - began > loop_module.WARY * 0.02


def test_error_of_a_request_is_logged_and_the_loop_goes_on(loop: Loop, caplog: pytest.LogCaptureFixture) -> None:
    def fail(error: BaseException) -> None:
        raise error

    seen: list[str] = []
    for error in (ValueError("a fault"), SystemExit(3)):
        loop.start(lambda error=error: fail(error))
    loop.start(lambda: seen.append("next"))
    until(loop, lambda: seen == ["next"])
    assert "a fault" in caplog.text


def test_requests_of_a_round_share_one_group_commit(loop: Loop) -> None:
    calls: list[tuple[list[int], int]] = []
    group = GroupCommit[int](lambda items: calls.append((list(items), threading.get_ident())), 64, 20, WAITER)
    done: list[int] = []

    def ask(item: int) -> None:
        group(item)
        done.append(item)

    for item in range(5):
        loop.start(lambda item=item: ask(item))
    until(loop, lambda: len(done) == 5)
    assert [items for items, _ in calls] == [[0, 1, 2, 3, 4]]
    assert threading.get_ident() not in {thread for _, thread in calls}


def test_threads_can_have_a_call_run_in_a_greenlet(loop: Loop) -> None:
    seen: list[bool] = []
    threading.Thread(target=lambda: seen.append(loop.ask(WAITER.on_loop))).start()
    until(loop, lambda: seen == [True])


def test_call_that_times_out_itself_ends_the_wait_of_its_thread(loop: Loop) -> None:
    """A socket raises ``TimeoutError`` when its client has vanished from the network."""
    seen: list[str] = []

    def fail() -> None:
        raise TimeoutError("the client is gone")

    def ask() -> None:
        try:
            loop.ask(fail)
        except TimeoutError as error:
            seen.append(str(error))

    threading.Thread(target=ask, daemon=True).start()
    until(loop, lambda: seen == ["the client is gone"])


def test_call_that_fails_does_not_end_the_loop(loop: Loop, caplog: pytest.LogCaptureFixture) -> None:
    seen: list[str] = []

    def fail() -> None:
        raise RuntimeError("can't start new thread")

    loop.call(fail)
    loop.after_round(fail)
    loop.call(lambda: seen.append("called"))
    loop.after_round(lambda: seen.append("after the round"))
    until(loop, lambda: sorted(seen) == ["after the round", "called"])
    assert caplog.text.count("Unhandled exception in the event loop.") == 2


def test_pooled_connections_read_large_rows_on_the_loop(loop: Loop, sqlite_url: str) -> None:
    """The limits of the loop would stay with a connection that another thread gets next."""
    database = Database(f"{sqlite_url.replace('sqliteext://', 'sqliteext+pool://')}?max_connections=1", waiter=WAITER)
    text = "x" * 500_000
    seen: list[str] = []

    def echo(db: peewee.Database) -> str:
        return str(db.execute_sql("SELECT ?", (text,)).fetchone()[0])

    def read() -> None:
        seen.append(database.read(echo))
        seen.append(database.read(echo))

    with closing(database):
        loop.start(read)
        until(loop, lambda: len(seen) == 2)
        assert database.read(echo) == text
    assert seen == [text, text]
