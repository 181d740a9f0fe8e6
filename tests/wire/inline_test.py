"""Requests that a server answers in its event loop, and requests that it leaves to threads."""

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from selectors import DefaultSelector
from typing import Any

import pytest

from pacifica.dispatcher.core.pausing import Host, this_thread
from pacifica.dispatcher.store.group_commit import GroupCommit
from pacifica.dispatcher.web.brief import MAX_BODY, Brief
from pacifica.dispatcher.web.server import inline as inline_module
from pacifica.dispatcher.web.server.inline import Inline
from pacifica.dispatcher.web.server.outgoing import Budget, Outgoing

from ..eventually import eventually


class Loop:
    """An event loop in the thread of the test."""

    def __init__(self) -> None:
        self._selector = DefaultSelector()
        self.restored: list[str] = []
        self.inline = Inline(self._selector, lambda: lambda: self.restored.append("restored"))

    def turn(self) -> bool:
        """Run one round; return whether there were events."""
        found = self._selector.select(0)
        for key, _ in found:
            key.data(key.fileobj)
        self.inline.go_round()
        return bool(found)

    def until(self, fact: Callable[[], bool]) -> None:
        """Run rounds until the fact holds."""
        eventually(lambda: (self.turn(), fact())[1])

    def close(self) -> None:
        self.inline.close()
        self._selector.close()


@pytest.fixture
def loop() -> Iterator[Loop]:
    made = Loop()
    yield made
    made.close()


def host() -> Host:
    """The host of the code that this thread runs."""
    assert this_thread.host is not None
    return this_thread.host


def test_paused_request_lets_others_run_and_is_resumed(loop: Loop) -> None:
    seen: list[str] = []
    go_on: list[Callable[[], object]] = []
    named: ContextVar[str] = ContextVar("named", default="no one")

    def first() -> None:
        named.set("first")
        seen.append("begun")
        host().pause(go_on.append)
        seen.append(f"{named.get()} ended")

    loop.inline.answer(first)
    loop.inline.answer(lambda: seen.append(f"{named.get()}'s turn"))
    loop.turn()
    assert seen == ["begun", "no one's turn"]
    assert not loop.turn()
    assert (this_thread.host, loop.restored) == (None, [])
    threading.Thread(target=go_on[0]).start()
    loop.until(lambda: len(seen) == 3)
    assert seen[2:] == ["first ended"]
    assert (this_thread.host, loop.restored) == (None, ["restored"])


def test_request_resumed_before_it_pauses_continues(loop: Loop) -> None:
    seen: list[str] = []

    def at_once() -> None:
        host().pause(lambda go_on: go_on())
        seen.append("ended")

    loop.inline.answer(at_once)
    loop.until(lambda: seen == ["ended"])


def test_request_enqueued_by_another_runs_in_the_next_round(loop: Loop) -> None:
    seen: list[int] = []

    def ask(number: int) -> None:
        seen.append(number)
        if number < 3:
            loop.inline.answer(lambda: ask(number + 1))

    loop.inline.answer(lambda: ask(1))
    for rounds in range(1, 4):
        loop.turn()
        assert len(seen) == rounds, "a client that keeps sending requests would monopolize the loop"


def test_request_from_another_thread_wakes_the_loop(loop: Loop) -> None:
    seen: list[str] = []
    threading.Thread(target=loop.inline.answer, args=(lambda: seen.append("asked"),)).start()
    loop.until(lambda: seen == ["asked"])


def test_error_is_logged_and_system_exit_is_raised(loop: Loop, caplog: pytest.LogCaptureFixture) -> None:
    def fail(error: BaseException) -> None:
        raise error

    seen: list[str] = []
    loop.inline.answer(lambda: fail(ValueError("a fault")))
    loop.inline.answer(lambda: seen.append("next"))
    loop.turn()
    assert "a fault" in caplog.text
    assert seen == ["next"]
    loop.inline.answer(lambda: fail(SystemExit(3)))
    with pytest.raises(SystemExit):
        loop.turn()
    assert this_thread.host is None


def test_blocking_call_runs_in_a_thread_while_the_loop_continues(loop: Loop) -> None:
    go, seen = threading.Event(), list[object]()
    named: ContextVar[str] = ContextVar("named", default="no one")

    def wait() -> tuple[str, bool]:
        assert this_thread.host is None
        return named.get(), go.wait(20)

    def ask() -> None:
        named.set("asked")
        seen.append(host().run_in_thread(wait))
        with pytest.raises(ZeroDivisionError):
            host().run_in_thread(lambda: 1 // 0)
        seen.append("raised")

    loop.inline.answer(ask)
    loop.inline.answer(lambda: seen.append("next"))
    loop.turn()
    assert seen == ["next"]
    assert loop.inline.is_busy()
    go.set()
    loop.until(lambda: len(seen) == 3)
    assert seen[1:] == [("asked", True), "raised"]
    assert not loop.inline.is_busy()


def test_loop_answers_no_request_for_a_while_after_a_long_one(loop: Loop, monkeypatch: pytest.MonkeyPatch) -> None:
    assert loop.inline.has_time()
    monkeypatch.setattr(inline_module, "LONG", 0.02)
    began, seen = time.monotonic(), list[float]()

    def take_long() -> None:
        eventually(lambda: time.monotonic() > began + 0.03)
        seen.append(time.monotonic())

    for _ in range(2):
        loop.inline.answer(take_long)
    loop.turn()
    assert len(seen) == 1, "the round must end"
    assert not loop.inline.has_time()
    eventually(loop.inline.has_time)
    assert time.monotonic() - began > inline_module.WARY * 0.02
    loop.until(lambda: len(seen) == 2)


def test_requests_of_a_round_share_one_group_commit(loop: Loop) -> None:
    calls: list[tuple[list[int], int]] = []
    group = GroupCommit[int](lambda items: calls.append((list(items), threading.get_ident())), 64, 20)
    done: list[int] = []

    def ask(item: int) -> None:
        group(item)
        done.append(item)

    for item in range(5):
        loop.inline.answer(lambda item=item: ask(item))
    loop.turn()
    loop.until(lambda: len(done) == 5)
    assert [items for items, _ in calls] == [[0, 1, 2, 3, 4]]
    assert threading.get_ident() not in {thread for _, thread in calls}
    assert done == [0, 1, 2, 3, 4]


def test_failed_or_late_commit_is_raised_in_its_request(loop: Loop) -> None:
    def refuse(items: list[str]) -> None:
        if "bad" in items:
            raise ValueError("bad")

    outcomes: dict[str, str] = {}

    def ask(group: GroupCommit[str], item: str) -> None:
        try:
            group(item)
        except Exception as error:  # noqa: BLE001 - whatever it is
            outcomes[item] = str(error)
        else:
            outcomes[item] = ""

    for item in ("good", "bad"):
        loop.inline.answer(lambda item=item: ask(GroupCommit(refuse, 64, 20), item))
    loop.inline.answer(lambda: ask(GroupCommit(refuse, 64, -1), "late"))
    loop.turn()
    loop.until(lambda: len(outcomes) == 3)
    assert "other writes wait" in outcomes.pop("late")
    assert outcomes == {"good": "", "bad": "bad"}


def test_threads_and_the_loop_share_group_commits(loop: Loop) -> None:
    go, calls, done = threading.Event(), list[list[str]](), list[str]()

    def carry_out(items: list[str]) -> None:
        calls.append(list(items))
        assert len(calls) > 1 or go.wait(20)

    group = GroupCommit(carry_out, 64, 20)

    def ask(item: str) -> None:
        group(item)
        done.append(item)

    threads = [threading.Thread(target=ask, args=("first",), daemon=True)]
    threads[0].start()
    eventually(lambda: bool(calls))
    loop.inline.answer(lambda: ask("loop"))
    loop.turn()
    threads.append(threading.Thread(target=ask, args=("thread",), daemon=True))
    threads[1].start()
    eventually(lambda: group.waiting == 2)
    go.set()
    loop.until(lambda: len(done) == 3)
    assert calls == [["first"], ["loop", "thread"]]
    assert not group.busy


def test_stream_beyond_the_budget_blocks_no_other_request(loop: Loop) -> None:
    near, far = socket.socketpair()
    near.settimeout(0)
    far.settimeout(20)
    answer, seen = bytes(4_000_000), list[str]()
    budget = Budget(1000)
    budget.take(1)  # Anything fits into an empty one.

    def send() -> None:
        outgoing = Outgoing(near)
        outgoing.send(answer[:1], budget, 20)
        outgoing.send(answer[1:], budget, 20)
        seen.append("sent")

    loop.inline.answer(send)
    loop.inline.answer(lambda: seen.append("next"))
    with near, far:
        loop.turn()
        assert seen == ["next"]
        received = 0
        while received < len(answer):
            received += len(far.recv(100_000))
            loop.turn()
        loop.until(lambda: seen == ["next", "sent"])


def brief(*, files: bool) -> Brief:
    """A classifier without tools and hooks of a user."""
    return Brief(files=files, common={}, own={})


UUID = b"0193b0a4-5b1c-7000-8000-000000000000"


@pytest.mark.parametrize(
    ("line", "file", "server"),
    [
        (b"GET /health/live", True, True),
        (b"GET /status/" + UUID, True, False),
        (b"GET /result/" + UUID, True, False),
        (b"GET /dispatch/add/2/2", True, False),
        (b"POST /dispatch/add", True, False),
        (b"GET /tasks", True, False),
        (b"GET /", True, False),
        (b"GET /health/ready", False, False),
        (b"GET /metrics", False, False),
        (b"GET /status", False, False),
        (b"GET /status/" + UUID + b"?wait=5", False, False),
        (b"GET /status/" + UUID + b"/events", False, False),
        (b"POST /status/" + UUID + b"/retry", False, False),
        (b"DELETE /status/" + UUID, False, False),
        (b"GET /dispatch/add/2/2?wait=5", False, False),
        (b"POST /dispatch/add?wait=5", False, False),
        (b"POST /dispatch", False, False),
        (b"GET /events", False, False),
    ],
)
def test_only_certainly_brief_requests_are_brief(line: bytes, file: bool, server: bool) -> None:
    head = line + b" HTTP/1.1\r\nHost: a\r\n\r\n"
    assert (brief(files=True)(head, 0), brief(files=False)(head, 0)) == (file, server)


@pytest.mark.parametrize("more", [b"Prefer: wait=5", b"prefer : wait=5", b"IDEMPOTENCY-KEY:k"])
def test_request_that_may_wait_or_has_a_large_body_is_not_brief(more: bytes) -> None:
    plain, judge = b"POST /dispatch/add HTTP/1.1\r\nHost: a\r\n", brief(files=True)
    assert judge(plain + b"\r\n", MAX_BODY)
    assert not judge(plain + b"\r\n", MAX_BODY + 1)
    assert not judge(plain + more + b"\r\n\r\n", 0)


@pytest.mark.parametrize(
    ("common", "own", "is_brief"),
    [
        ({"tools.encode.on": True}, {"/": {"tools.encode.on": False, "tools.dispatcher_trim.on": True}}, True),
        ({}, {"/": {"hooks.on_start_resource.guard": len}, "/docs": {"tools.gzip.on": False}}, True),
        ({"tools.sessions.on": True}, {"/": {}}, False),
        ({}, {"/": {}, "/status": {"tools.sessions.on": True}}, False),
        ({}, {"/": {"hooks.before_handler.mine": len}}, False),
    ],
)
def test_no_request_is_brief_with_a_tool_or_hook_of_a_user(
    common: dict[str, Any], own: dict[str, dict[str, Any]], is_brief: bool
) -> None:
    head = b"GET /health/live HTTP/1.1\r\nHost: a\r\n\r\n"
    assert Brief(files=True, common=common, own=own)(head, 0) is is_brief
