"""Group commit: which thread commits the items of several threads, and the outcome for each of them."""

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import Any

import pytest

from pacifica.dispatcher.core.errors import DatabaseUnavailable
from pacifica.dispatcher.core.waiter import Waiter
from pacifica.dispatcher.store.group_commit import GroupCommit

from ..eventually import eventually


class BlockedCommit:
    """A commit whose first call blocks until ``go`` is set, so that other callers wait."""

    def __init__(self, commit: Callable[[Sequence[str]], object] = lambda _: None) -> None:
        self.calls: list[list[str]] = []
        self.go = threading.Event()
        self._inner = commit

    def __call__(self, items: Sequence[str]) -> None:
        self.calls.append(list(items))
        if items[0] == "first":
            assert self.go.wait(20)
        self._inner(items)


def outcomes_of(
    group: GroupCommit[str], commit: BlockedCommit, items: Sequence[str]
) -> dict[str, BaseException | None]:
    """The outcome of each thread; all of them call while the first commit is running."""
    outcomes: dict[str, BaseException | None] = {}

    def submit(item: str) -> None:
        try:
            group(item)
        except BaseException as error:  # noqa: BLE001 - the test looks at it
            outcomes[item] = error
        else:
            outcomes[item] = None

    threads = []
    for item in ("first", *items):
        threads.append(threading.Thread(target=submit, args=(item,), daemon=True))
        threads[-1].start()
        waiting = len(threads) - 1
        eventually(lambda n=waiting: bool(commit.calls) and group.waiting == n)
    commit.go.set()
    for thread in threads:
        thread.join(20)
    eventually(lambda: not group.busy)
    assert group.waiting == 0
    return outcomes


def test_items_that_wait_are_committed_together_in_order() -> None:
    group = GroupCommit(commit := BlockedCommit(), 64, 20)
    assert outcomes_of(group, commit, ["a", "b", "c"]) == dict.fromkeys(["first", "a", "b", "c"])
    assert commit.calls == [["first"], ["a", "b", "c"]]


def test_a_commit_has_at_most_the_limit_of_items() -> None:
    group = GroupCommit(commit := BlockedCommit(), 2, 20)
    outcomes_of(group, commit, ["a", "b", "c", "d", "e"])
    assert commit.calls == [["first"], ["a", "b"], ["c", "d"], ["e"]]


def test_an_item_that_fails_does_not_affect_the_others() -> None:
    def refuse(items: Sequence[str]) -> None:
        if "bad" in items:
            raise ValueError("bad")

    group = GroupCommit(commit := BlockedCommit(refuse), 64, 20)
    outcomes = outcomes_of(group, commit, ["a", "bad", "c"])
    assert isinstance(outcomes.pop("bad"), ValueError)
    assert outcomes == dict.fromkeys(["first", "a", "c"])
    assert commit.calls == [["first"], ["a", "bad", "c"], ["a"], ["bad"], ["c"]]


def test_an_unavailable_database_is_tried_once_for_all() -> None:
    def away(items: Sequence[str]) -> None:
        if "first" not in items:
            raise DatabaseUnavailable("It is away.")

    group = GroupCommit(commit := BlockedCommit(away), 64, 20)
    outcomes = outcomes_of(group, commit, ["a", "b"])
    assert [str(outcomes[item]) for item in ("a", "b")] == ["It is away."] * 2
    assert outcomes["a"] is not outcomes["b"]
    assert commit.calls == [["first"], ["a", "b"]]


def test_the_items_of_an_interrupted_thread_are_committed_by_another() -> None:
    group: GroupCommit[str]
    calls: list[list[str]] = []

    def interrupted(items: Sequence[str]) -> None:
        calls.append(list(items))
        if items[0] == "first":
            for item in ("a", "b"):
                group.submit(item, futures[item])
            raise KeyboardInterrupt

    group = GroupCommit(interrupted, 64, 20)
    futures: dict[str, Future[None]] = {"a": Future(), "b": Future()}
    with pytest.raises(KeyboardInterrupt):
        group("first")
    assert [future.result(20) for future in futures.values()] == [None, None]
    assert calls == [["first"], ["a", "b"]]


def test_a_caller_that_times_out_is_removed() -> None:
    group = GroupCommit(commit := BlockedCommit(), 64, 0.05)
    first = threading.Thread(target=group, args=("first",), daemon=True)
    first.start()
    eventually(lambda: bool(commit.calls))
    with pytest.raises(DatabaseUnavailable, match="other writes wait"):
        group("late")
    commit.go.set()
    first.join(20)
    group("next")
    assert commit.calls == [["first"], ["next"]]


class Interrupting(Waiter):
    """Interrupts the caller named ``interrupted`` as soon as another caller waits as well."""

    def wait(self, future: Future[Any], seconds: float | None = None) -> Any:
        if threading.current_thread().name == "interrupted":
            eventually(lambda: self.group.waiting == 2)
            raise KeyboardInterrupt
        return super().wait(future, seconds)

    group: GroupCommit[str]


def test_an_interrupted_caller_does_not_block_the_others() -> None:
    waiter = Interrupting()
    waiter.group = group = GroupCommit(commit := BlockedCommit(), 1, 20, waiter)
    endings: list[str] = []

    def submit(item: str) -> None:
        try:
            group(item)
            endings.append(item)
        except KeyboardInterrupt:
            endings.append(f"{item} ended")
            commit.go.set()

    threads = []
    for number, item in enumerate(("first", "interrupted", "after")):
        threads.append(threading.Thread(target=submit, args=(item,), name=item, daemon=True))
        threads[-1].start()
        eventually(lambda n=number: bool(commit.calls) and (group.waiting >= n or "interrupted ended" in endings))
    for thread in threads:
        thread.join(20)
    assert sorted(endings) == ["after", "first", "interrupted ended"]
    assert commit.calls == [["first"], ["after"]]
    eventually(lambda: not group.busy)


class InLoop(Waiter):
    """That of an event loop whose rounds have no other requests."""

    def on_loop(self) -> bool:
        return True


def test_items_are_committed_if_no_helper_thread_can_start(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    calls: list[list[str]] = []
    group = GroupCommit[str](lambda items: calls.append(list(items)), 64, 20, InLoop())
    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", fail)
        group("first")
    group("second")
    assert calls == [["first"], ["second"]]
