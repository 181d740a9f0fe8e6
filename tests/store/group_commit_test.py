"""Several threads' items in one call: who carries them out, and what each is told."""

import threading
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from pacifica.dispatcher.core.errors import DatabaseUnavailable
from pacifica.dispatcher.store.group_commit import GroupCommit

from ..eventually import eventually


class Held:
    """A first call that lasts until it is let go, so that others come meanwhile."""

    def __init__(self, carry_out: Callable[[Sequence[str]], object] = lambda _: None) -> None:
        self.calls: list[list[str]] = []
        self.go = threading.Event()
        self._inner = carry_out

    def __call__(self, items: Sequence[str]) -> None:
        self.calls.append(list(items))
        if items[0] == "first":
            assert self.go.wait(20)
        self._inner(items)


def all_told(group: GroupCommit[str], held: Held, items: Sequence[str]) -> dict[str, BaseException | None]:
    """What each thread was told; all of them come while the first is at work."""
    told: dict[str, BaseException | None] = {}

    def ask(item: str) -> None:
        try:
            group(item)
        except BaseException as error:  # noqa: BLE001 - it is what is looked at
            told[item] = error
        else:
            told[item] = None

    threads = []
    for item in ("first", *items):
        threads.append(threading.Thread(target=ask, args=(item,), daemon=True))
        threads[-1].start()
        waiting = len(threads) - 1
        eventually(lambda n=waiting: bool(held.calls) and group.waiting == n)
    held.go.set()
    for thread in threads:
        thread.join(20)
    assert not group.busy
    assert group.waiting == 0
    return told


def test_items_that_wait_are_committed_together_in_order() -> None:
    group = GroupCommit(held := Held(), 64, 20)
    assert all_told(group, held, ["a", "b", "c"]) == dict.fromkeys(["first", "a", "b", "c"])
    assert held.calls == [["first"], ["a", "b", "c"]]


def test_a_commit_has_at_most_the_limit_of_items() -> None:
    group = GroupCommit(held := Held(), 2, 20)
    all_told(group, held, ["a", "b", "c", "d", "e"])
    assert held.calls == [["first"], ["a", "b"], ["c", "d"], ["e"]]


def test_an_item_that_fails_does_not_affect_the_others() -> None:
    def refuse(items: Sequence[str]) -> None:
        if "bad" in items:
            raise ValueError("bad")

    group = GroupCommit(held := Held(refuse), 64, 20)
    told = all_told(group, held, ["a", "bad", "c"])
    assert isinstance(told.pop("bad"), ValueError)
    assert told == dict.fromkeys(["first", "a", "c"])
    assert held.calls == [["first"], ["a", "bad", "c"], ["a"], ["bad"], ["c"]]


def test_an_unavailable_database_is_tried_once_for_all() -> None:
    def away(items: Sequence[str]) -> None:
        if "first" not in items:
            raise DatabaseUnavailable("It is away.")

    group = GroupCommit(held := Held(away), 64, 20)
    told = all_told(group, held, ["a", "b"])
    assert [str(told[item]) for item in ("a", "b")] == ["It is away."] * 2
    assert told["a"] is not told["b"]
    assert held.calls == [["first"], ["a", "b"]]


def test_the_items_of_an_interrupted_leader_are_committed_by_others() -> None:
    def interrupted(items: Sequence[str]) -> None:
        if items == ["a", "b", "c"]:
            raise KeyboardInterrupt

    group = GroupCommit(held := Held(interrupted), 64, 20)
    told = all_told(group, held, ["a", "b", "c"])
    assert isinstance(told.pop("a"), KeyboardInterrupt)
    assert told == dict.fromkeys(["first", "b", "c"])
    assert held.calls[-1] == ["b", "c"]


def test_a_caller_that_times_out_is_removed() -> None:
    group = GroupCommit(held := Held(), 64, 0.05)
    first = threading.Thread(target=group, args=("first",), daemon=True)
    first.start()
    eventually(lambda: bool(held.calls))
    with pytest.raises(DatabaseUnavailable, match="other writes wait"):
        group("late")
    held.go.set()
    first.join(20)
    group("next")
    assert held.calls == [["first"], ["next"]]


@pytest.mark.parametrize("leads", [False, True])
def test_an_interrupted_caller_does_not_block_the_others(leads: bool) -> None:
    class Interrupted(GroupCommit[str]):
        def _await(self, entry: Any) -> None:
            if entry.item != "interrupted":
                super()._await(entry)
                return
            eventually(lambda: self.waiting == 2)  # Another caller waits as well.
            if leads:
                held.go.set()
                eventually(lambda: entry.leads)
            raise KeyboardInterrupt

    group = Interrupted(held := Held(), 1, 20)
    told: list[str] = []

    def ask(item: str) -> None:
        try:
            group(item)
            told.append(item)
        except KeyboardInterrupt:
            told.append(f"{item} ended")
            held.go.set()

    threads = []
    for number, item in enumerate(("first", "interrupted", "behind")):
        threads.append(threading.Thread(target=ask, args=(item,), daemon=True))
        threads[-1].start()
        eventually(lambda n=number: bool(held.calls) and (group.waiting >= n or "interrupted ended" in told))
    for thread in threads:
        thread.join(20)
    assert sorted(told) == ["behind", "first", "interrupted ended"]
    assert held.calls == [["first"], ["behind"]]
    assert not group.busy
