"""Group commit: items that several threads submit at the same time share one commit."""

import os
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

from ..core.errors import DatabaseUnavailable
from ..core.pausing import Host, this_thread

Item = TypeVar("Item")


class GroupCommit(Generic[Item]):
    """Calls ``commit`` with the items of all callers that came while the previous call was running.

    The first caller becomes the leader and commits the items of all callers that wait, at most ``limit``; then the
    next one that waits becomes the leader. A single caller therefore waits for no other, and no thread leads twice in a
    row. For a request of a loop (``pausing.Host``) a helper thread leads, so that the loop can handle other requests.

    If ``commit`` fails for several items, each is tried alone, as one of them may be the cause. If it raises
    ``DatabaseUnavailable``, none is tried again, and all callers raise it. If the leader's thread is interrupted, the
    items of the others are tried again. A caller that has waited for ``timeout`` seconds raises
    ``DatabaseUnavailable``.
    """

    def __init__(self, commit: Callable[[Sequence[Item]], object], limit: int, timeout: float) -> None:
        self._commit = commit
        self._limit = limit
        self._timeout = timeout
        self._forget_parent()
        if hasattr(os, "register_at_fork"):  # Windows has no fork.
            os.register_at_fork(after_in_child=self._forget_parent)

    def _forget_parent(self) -> None:
        """After a fork: the child has none of the parent's threads."""
        self._lock = threading.Lock()
        self._busy = False
        self._waiting: deque[_Entry[Item]] = deque()

    @property
    def busy(self) -> bool:
        """Whether a caller leads."""
        return self._busy

    @property
    def waiting(self) -> int:
        """The number of callers that wait for a leader."""
        return len(self._waiting)

    def __call__(self, item: Item) -> None:
        """Return when the item is committed; raises the exception that ``commit`` raises for it."""
        host = this_thread.host
        entry = _Entry(item, host)
        try:
            if host is not None:
                host.pause(lambda go_on: self._submit(entry, go_on))
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
        """Add the entry to those that wait; returns whether it leads."""
        with self._lock:
            self._waiting.append(entry)
            entry.leads, self._busy = not self._busy, True
            return entry.leads

    def _submit(self, entry: "_Entry[Item]", go_on: Callable[[], object]) -> None:
        entry.go_on = go_on
        if self._join(entry):
            self._make_leader(entry)

    def _make_leader(self, entry: "_Entry[Item]") -> None:
        """Make this entry the leader; for a loop request, the helper thread leads."""
        entry.leads = True
        if entry.host is None:
            entry.turn.release()
        else:
            entry.host.run_after_round(self._lead)

    def _await(self, entry: "_Entry[Item]") -> None:
        """Wait until another thread has committed the entry or has made it the leader."""
        if entry.turn.acquire(timeout=self._timeout):
            return
        with self._lock:
            late = entry in self._waiting and not entry.leads
            if late:
                self._waiting.remove(entry)
        if late:
            raise _timed_out()
        entry.turn.acquire()

    def _withdraw(self, entry: "_Entry[Item]") -> None:
        """Remove the entry, unless a leader has taken it: then it is committed all the same."""
        with self._lock:
            if entry not in self._waiting:
                return
            self._waiting.remove(entry)
            if entry.leads and entry.host is None:
                self._pass_on_leadership()

    def _lead(self) -> None:
        with self._lock:
            entries = [self._waiting.popleft() for _ in range(min(len(self._waiting), self._limit))]
        try:
            self._commit_all(self._in_time(entries))
        finally:
            with self._lock:
                # If this thread was interrupted, the items of the others wait for the next leader.
                self._waiting.extendleft(reversed([entry for entry in entries[1:] if not entry.done]))
                self._pass_on_leadership()
            for entry in entries:
                if entry.done:
                    entry.release()

    def _in_time(self, entries: "Sequence[_Entry[Item]]") -> "Sequence[_Entry[Item]]":
        """The entries that have not timed out; only loop requests can have, as a thread ends its wait itself."""
        begin = time.monotonic() - self._timeout
        late = [entry for entry in entries if entry.host is not None and entry.since < begin]
        for entry in late:
            entry.end(_timed_out())
        return [entry for entry in entries if not entry.done] if late else entries

    def _pass_on_leadership(self) -> None:
        """Make the first entry that waits the leader; the caller holds the lock."""
        following = self._waiting[0] if self._waiting else None
        self._busy = following is not None
        if following is not None:
            self._make_leader(following)

    def _commit_all(self, entries: "Sequence[_Entry[Item]]") -> None:
        if not entries:
            return
        try:
            self._commit([entry.item for entry in entries])
        except DatabaseUnavailable as error:
            for entry in entries:
                entry.end(error if len(entries) == 1 else _copy(error))
        except Exception as error:  # noqa: BLE001 - the thread that submitted the item raises it
            if len(entries) == 1:
                entries[0].end(error)
                return
            for entry in entries:
                self._commit_all([entry])
        else:
            for entry in entries:
                entry.end(None)


class _Entry(Generic[Item]):
    """A submitted item; its ``turn`` is released when it is done or leads; for a loop request, ``go_on`` is called."""

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

    def release(self) -> None:
        """Let the caller continue."""
        if self.host is None:
            self.turn.release()
        else:
            self.go_on()


def _copy(error: DatabaseUnavailable) -> DatabaseUnavailable:
    """The same error, for another thread to raise."""
    copy = DatabaseUnavailable(str(error))
    copy.__cause__ = error
    return copy


def _timed_out() -> DatabaseUnavailable:
    return DatabaseUnavailable(
        "The database cannot do that now (it is locked or slow: other writes wait before this one)."
    )
