"""Requests that are answered in a server's own loop, and those that are not."""

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from selectors import DefaultSelector
from typing import Any

import pytest

from pacifica.dispatcher.core.pausing import Host, here
from pacifica.dispatcher.store.group_commit import GroupCommit
from pacifica.dispatcher.web.brief import MAX_BODY, Brief
from pacifica.dispatcher.web.server import inline as inline_module
from pacifica.dispatcher.web.server.inline import Inline
from pacifica.dispatcher.web.server.outgoing import Budget, Outgoing

from ..eventually import eventually


class Loop:
    """A loop in the test's own thread."""

    def __init__(self) -> None:
        self._selector = DefaultSelector()
        self.kept: list[str] = []
        self.inline = Inline(self._selector, lambda: lambda: self.kept.append("given back"))

    def turn(self) -> bool:
        """One round; whether anything was to be heard."""
        found = self._selector.select(0)
        for key, _ in found:
            key.data(key.fileobj)
        self.inline.go_round()
        return bool(found)

    def until(self, fact: Callable[[], bool]) -> None:
        """Rounds until it is so."""
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
    """The host of what this thread carries out now."""
    assert here.host is not None
    return here.host


def test_one_that_pauses_is_left_for_the_others_and_goes_on_when_it_is_told(loop: Loop) -> None:
    seen: list[str] = []
    go_on: list[Callable[[], object]] = []
    named: ContextVar[str] = ContextVar("named", default="nobody")

    def first() -> None:
        named.set("first")
        seen.append("begun")
        host().pause(go_on.append)
        seen.append(f"{named.get()} ended")

    loop.inline.answer(first)
    loop.inline.answer(lambda: seen.append(f"{named.get()}'s turn"))
    loop.turn()
    assert seen == ["begun", "nobody's turn"]
    assert not loop.turn()
    assert (here.host, loop.kept) == (None, [])
    threading.Thread(target=go_on[0]).start()
    loop.until(lambda: len(seen) == 3)
    assert seen[2:] == ["first ended"]
    assert (here.host, loop.kept) == (None, ["given back"])


def test_one_that_is_told_before_it_pauses_goes_on_all_the_same(loop: Loop) -> None:
    seen: list[str] = []

    def at_once() -> None:
        host().pause(lambda go_on: go_on())
        seen.append("ended")

    loop.inline.answer(at_once)
    loop.until(lambda: seen == ["ended"])


def test_what_one_asks_for_while_it_is_answered_has_its_turn_in_the_next_round(loop: Loop) -> None:
    seen: list[int] = []

    def ask(number: int) -> None:
        seen.append(number)
        if number < 3:
            loop.inline.answer(lambda: ask(number + 1))

    loop.inline.answer(lambda: ask(1))
    for rounds in range(1, 4):
        loop.turn()
        assert len(seen) == rounds, "one client that asks on and on would have the loop to itself"


def test_what_another_thread_asks_for_wakes_the_loop(loop: Loop) -> None:
    seen: list[str] = []
    threading.Thread(target=loop.inline.answer, args=(lambda: seen.append("asked"),)).start()
    loop.until(lambda: seen == ["asked"])


def test_the_error_of_one_is_logged_and_what_ends_the_process_is_raised(
    loop: Loop, caplog: pytest.LogCaptureFixture
) -> None:
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
    assert here.host is None


def test_what_waits_is_done_elsewhere_while_the_loop_goes_on(loop: Loop) -> None:
    go, seen = threading.Event(), list[object]()
    named: ContextVar[str] = ContextVar("named", default="nobody")

    def wait() -> tuple[str, bool]:
        assert here.host is None
        return named.get(), go.wait(20)

    def ask() -> None:
        named.set("asked")
        seen.append(host().elsewhere(wait))
        with pytest.raises(ZeroDivisionError):
            host().elsewhere(lambda: 1 // 0)
        seen.append("told")

    loop.inline.answer(ask)
    loop.inline.answer(lambda: seen.append("next"))
    loop.turn()
    assert seen == ["next"]
    assert loop.inline.is_busy()
    go.set()
    loop.until(lambda: len(seen) == 3)
    assert seen[1:] == [("asked", True), "told"]
    assert not loop.inline.is_busy()


def test_after_one_that_took_long_the_loop_answers_none_for_a_while(
    loop: Loop, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert loop.inline.has_time()
    monkeypatch.setattr(inline_module, "LONG", 0.02)
    began, seen = time.monotonic(), list[float]()

    def be_long() -> None:
        eventually(lambda: time.monotonic() > began + 0.03)
        seen.append(time.monotonic())

    for _ in range(2):
        loop.inline.answer(be_long)
    loop.turn()
    assert len(seen) == 1, "the round is over"
    assert not loop.inline.has_time()
    eventually(loop.inline.has_time)
    assert time.monotonic() - began > inline_module.WARY * 0.02
    loop.until(lambda: len(seen) == 2)


def test_all_of_a_round_are_carried_out_at_once_beside_the_loop(loop: Loop) -> None:
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


def test_what_cannot_be_carried_out_is_raised_where_it_was_asked_for_and_what_is_late_too(loop: Loop) -> None:
    def refuse(items: list[str]) -> None:
        if "bad" in items:
            raise ValueError("bad")

    told: dict[str, str] = {}

    def ask(group: GroupCommit[str], item: str) -> None:
        try:
            group(item)
        except Exception as error:  # noqa: BLE001 - whatever it is
            told[item] = str(error)
        else:
            told[item] = ""

    for item in ("good", "bad"):
        loop.inline.answer(lambda item=item: ask(GroupCommit(refuse, 64, 20), item))
    loop.inline.answer(lambda: ask(GroupCommit(refuse, 64, -1), "late"))
    loop.turn()
    loop.until(lambda: len(told) == 3)
    assert "other writes wait" in told.pop("late")
    assert told == {"good": "", "bad": "bad"}


def test_threads_and_the_loop_share_what_is_carried_out(loop: Loop) -> None:
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


def test_an_answer_that_its_client_does_not_take_and_nobody_keeps_holds_up_no_other(loop: Loop) -> None:
    near, far = socket.socketpair()
    near.settimeout(0)
    far.settimeout(20)
    answer, seen = bytes(4_000_000), list[str]()

    def send() -> None:
        Outgoing(near).send(answer, Budget(1000), 20)
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
    """Without anything of a user's."""
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
def test_only_what_is_surely_brief_is(line: bytes, file: bool, server: bool) -> None:
    head = line + b" HTTP/1.1\r\nHost: a\r\n\r\n"
    assert (brief(files=True)(head, 0), brief(files=False)(head, 0)) == (file, server)


@pytest.mark.parametrize("more", [b"Prefer: wait=5", b"prefer : wait=5", b"IDEMPOTENCY-KEY:k"])
def test_what_may_wait_or_has_much_to_say_is_not_brief(more: bytes) -> None:
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
def test_with_a_tool_or_a_hook_of_the_users_nothing_is_brief(
    common: dict[str, Any], own: dict[str, dict[str, Any]], is_brief: bool
) -> None:
    head = b"GET /health/live HTTP/1.1\r\nHost: a\r\n\r\n"
    assert Brief(files=True, common=common, own=own)(head, 0) is is_brief
