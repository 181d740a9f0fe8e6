"""Group commit: items that several threads or requests of a loop submit at the same time share one commit."""

import os
import queue
import threading
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import Generic, TypeVar

from ..core.errors import DatabaseUnavailable
from ..core.waiter import BLOCKING, Waiter

Item = TypeVar("Item")
_Entry = tuple[Item, "Future[None]"]


class GroupCommit(Generic[Item]):
    """Calls ``commit`` with the items of all callers that came while the previous call was running, at most ``limit``.

    A thread that comes alone commits its own item. All others are committed by one helper thread, which also commits
    the items of a loop's requests, so that the loop can run other requests.

    If ``commit`` fails for several items, each is tried alone, as one of them may be the cause. If it raises
    ``DatabaseUnavailable``, none is tried again, and all callers raise it. If the committing thread is interrupted, the
    items of the others are tried again. A caller that has waited for ``timeout`` seconds raises
    ``DatabaseUnavailable``; ``waiter`` determines how it waits.
    """

    def __init__(
        self, commit: Callable[[Sequence[Item]], object], limit: int, timeout: float, waiter: Waiter = BLOCKING
    ) -> None:
        self._commit = commit
        self._limit = limit
        self._timeout = timeout
        self._waiter = waiter
        self._forget_parent()
        if hasattr(os, "register_at_fork"):  # Windows has no fork.
            os.register_at_fork(after_in_child=self._forget_parent)

    def _forget_parent(self) -> None:
        """After a fork: the child has none of the parent's threads."""
        self._lock = threading.Lock()
        self._busy = False
        self._waiting: deque[_Entry[Item]] = deque()
        self._rounds: queue.SimpleQueue[Callable[[], object]] | None = None

    @property
    def busy(self) -> bool:
        """Whether a thread commits."""
        return self._busy

    @property
    def waiting(self) -> int:
        """The number of items that no thread commits yet."""
        return len(self._waiting)

    def __call__(self, item: Item) -> None:
        """Return when the item is committed; raises the exception that ``commit`` raises for it."""
        future: Future[None] = Future()
        try:
            self.submit(item, future)
            self._waiter.wait(future, self._timeout)
        except TimeoutError:
            if future.cancel():
                raise _timed_out() from None
            self._waiter.wait(future)
        except BaseException:  # Such as a task's time limit, which may come at any moment.
            future.cancel()
            raise

    def submit(self, item: Item, future: "Future[None]") -> None:
        """Commit the item soon; the future is then done. An item whose future is cancelled before is dropped."""
        with self._lock:
            self._waiting.append((item, future))
            leads, self._busy = not self._busy, True
        if leads:
            if self._waiter.on_loop():
                self._waiter.after_round(self._hand_over)
            else:
                self._commit_round()

    def _hand_over(self) -> None:
        """Have the helper thread commit; it is a daemon, as it waits for work as long as the process lives."""
        if self._rounds is None:
            rounds: queue.SimpleQueue[Callable[[], object]] = queue.SimpleQueue()
            try:
                threading.Thread(target=_work, args=(rounds,), name="group-commit", daemon=True).start()
            except RuntimeError:  # The system allows no further thread now; the items must not wait for one.
                self._commit_round()
                return
            self._rounds = rounds
        self._rounds.put(self._commit_round)

    def _commit_round(self) -> None:
        """Commit the items that wait now; the helper thread commits those that come meanwhile."""
        with self._lock:
            taken = [self._waiting.popleft() for _ in range(min(len(self._waiting), self._limit))]
        entries = [entry for entry in taken if entry[1].running() or entry[1].set_running_or_notify_cancel()]
        try:
            self._commit_all(entries)
        finally:
            with self._lock:
                # If this thread was interrupted, the items of the others wait for the next round.
                self._waiting.extendleft(reversed([entry for entry in entries[1:] if not entry[1].done()]))
                self._busy = bool(self._waiting)
            if self._busy:
                self._hand_over()

    def _commit_all(self, entries: "Sequence[_Entry[Item]]") -> None:
        if not entries:
            return
        try:
            self._commit([item for item, _ in entries])
        except DatabaseUnavailable as error:
            for _, future in entries:
                future.set_exception(error if len(entries) == 1 else _copy(error))
        except Exception as error:  # noqa: BLE001 - the caller that submitted the item raises it
            if len(entries) == 1:
                entries[0][1].set_exception(error)
                return
            for entry in entries:
                self._commit_all([entry])
        else:
            for _, future in entries:
                future.set_result(None)


def _work(rounds: "queue.SimpleQueue[Callable[[], object]]") -> None:
    while True:
        rounds.get()()


def _copy(error: DatabaseUnavailable) -> DatabaseUnavailable:
    """The same error, for another thread to raise."""
    copy = DatabaseUnavailable(str(error))
    copy.__cause__ = error
    return copy


def _timed_out() -> DatabaseUnavailable:
    return DatabaseUnavailable(
        "The database cannot do that now (it is locked or slow: other writes wait before this one)."
    )
