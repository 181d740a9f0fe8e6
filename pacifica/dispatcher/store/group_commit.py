"""Carrying out at once what several threads ask for at the same time: one commit for all of them."""

import os
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

from ..core.errors import DatabaseUnavailable
from ..core.pausing import Host, here

Item = TypeVar("Item")


class Together(Generic[Item]):
    """``carry_out`` is called with the items of all who came while it was at work for others before.

    The first thread that comes does it, for all that wait, at most ``most``; then the next one that waits goes on. So
    whoever comes alone waits for nobody, and no thread works for others twice. A loop (``pausing.Host``) goes on with
    other requests: a thread beside it does it for those of a round. When ``carry_out`` fails for several, each is tried
    alone, as it may be the fault of one; but not when the database is away, which all are told. Where a thread is told
    to end in the middle, what others asked for is tried again.

    ``patience`` is the seconds after which who waits for its turn gives up, with ``DatabaseUnavailable``.
    """

    def __init__(self, carry_out: Callable[[Sequence[Item]], object], most: int, patience: float) -> None:
        self._carry_out = carry_out
        self._most = most
        self._patience = patience
        self.forget_parent()
        if hasattr(os, "register_at_fork"):  # Windows has no fork.
            os.register_at_fork(after_in_child=self.forget_parent)

    def forget_parent(self) -> None:
        """After a fork: none of the parent's threads is here."""
        self._lock = threading.Lock()
        self._busy = False
        self._waiting: deque[_Entry[Item]] = deque()

    def __call__(self, item: Item) -> None:
        """Return when the item was carried out; raises what ``carry_out`` raises for it."""
        host = here.host
        entry = _Entry(item, host)
        try:
            if host is not None:
                host.pause(lambda go_on: self._leave_to_others(entry, go_on))
            else:
                if not self._join(entry):
                    self._await(entry)
                if not entry.done:
                    self._lead()
        except BaseException:  # Such as a task's time limit, which may come at any moment.
            self._withdraw(entry)
            raise
        if entry.error is not None:
            raise entry.error

    def _join(self, entry: "_Entry[Item]") -> bool:
        """Have it wait with the others; returns whether it leads."""
        with self._lock:
            self._waiting.append(entry)
            entry.leads, self._busy = not self._busy, True
            return entry.leads

    def _leave_to_others(self, entry: "_Entry[Item]", go_on: Callable[[], object]) -> None:
        entry.go_on = go_on
        if self._join(entry):
            self._have_led(entry)

    def _have_led(self, entry: "_Entry[Item]") -> None:
        """Have it lead, or its host's other thread for it."""
        entry.leads = True
        if entry.host is None:
            entry.turn.release()
        else:
            entry.host.aside(self._lead)

    def _await(self, entry: "_Entry[Item]") -> None:
        """Until another thread has carried it out, or says that this one is to lead."""
        if entry.turn.acquire(timeout=self._patience):
            return
        with self._lock:
            late = entry in self._waiting and not entry.leads
            if late:
                self._waiting.remove(entry)
        if late:
            raise _too_late()
        entry.turn.acquire()

    def _withdraw(self, entry: "_Entry[Item]") -> None:
        """Nobody waits for it any more; what another thread has in hand is carried out all the same."""
        with self._lock:
            if entry not in self._waiting:
                return
            self._waiting.remove(entry)
            if entry.leads and entry.host is None:
                self._hand_on()

    def _lead(self) -> None:
        with self._lock:
            entries = [self._waiting.popleft() for _ in range(min(len(self._waiting), self._most))]
        try:
            self._carry_out_all(self._in_time(entries))
        finally:
            with self._lock:
                # Where this thread was told to end, the others' items are left to the others.
                self._waiting.extendleft(reversed([entry for entry in entries[1:] if not entry.done]))
                self._hand_on()
            for entry in entries:
                if entry.done:
                    entry.let_go()

    def _in_time(self, entries: "Sequence[_Entry[Item]]") -> "Sequence[_Entry[Item]]":
        """Those that have not waited for too long; a thread sees to that itself."""
        begin = time.monotonic() - self._patience
        late = [entry for entry in entries if entry.host is not None and entry.since < begin]
        for entry in late:
            entry.end(_too_late())
        return [entry for entry in entries if not entry.done] if late else entries

    def _hand_on(self) -> None:
        """Have the next one lead, if there is one; the lock is held."""
        following = self._waiting[0] if self._waiting else None
        self._busy = following is not None
        if following is not None:
            self._have_led(following)

    def _carry_out_all(self, entries: "Sequence[_Entry[Item]]") -> None:
        if not entries:
            return
        try:
            self._carry_out([entry.item for entry in entries])
        except DatabaseUnavailable as error:
            for entry in entries:
                entry.end(error if len(entries) == 1 else _same(error))
        except Exception as error:  # noqa: BLE001 - whatever it is, the thread that asked raises it
            if len(entries) == 1:
                entries[0].end(error)
                return
            for entry in entries:
                self._carry_out_all([entry])
        else:
            for entry in entries:
                entry.end(None)


class _Entry(Generic[Item]):
    """What one asks for; its ``turn`` comes when it is done, or when its thread is to lead; a loop is to ``go_on``."""

    __slots__ = ("done", "error", "go_on", "host", "item", "leads", "since", "turn")

    def __init__(self, item: Item, host: Host | None) -> None:
        self.item = item
        self.host = host
        self.go_on: Callable[[], object] = lambda: None
        self.since = time.monotonic()
        self.turn = threading.Lock()
        self.turn.acquire()
        self.done = self.leads = False
        self.error: BaseException | None = None

    def end(self, error: Exception | None) -> None:
        self.done, self.error = True, error

    def let_go(self) -> None:
        """It is done."""
        if self.host is None:
            self.turn.release()
        else:
            self.go_on()


def _same(error: DatabaseUnavailable) -> DatabaseUnavailable:
    """The error once more, for another thread to raise."""
    same = DatabaseUnavailable(str(error))
    same.__cause__ = error
    return same


def _too_late() -> DatabaseUnavailable:
    return DatabaseUnavailable("The database cannot do that now (it is locked or slow: others wait before this one).")
