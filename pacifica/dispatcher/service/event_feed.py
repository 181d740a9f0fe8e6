"""The event feed: one thread of this process polls the history, and notifies the requests that wait for an event.

It polls only while a request waits: after each write to an SQLite file; on a server often at first, then less and less
often, so that the delay of a notification is a small share of the time waited.
"""

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, InvalidStateError
from contextlib import contextmanager, suppress
from typing import Protocol

from ..core.errors import DatabaseUnavailable, TooManyWaiting
from ..core.job import FINAL
from ..core.waiter import BLOCKING, Waiter
from ..store.events import EventStore

logger = logging.getLogger(__name__)

SHORTEST_PAUSE, LONGEST_PAUSE = 0.001, 0.1
"""Seconds between two polls."""
QUIET_SHARE = 20
"""The pause between two polls is the time since the last event divided by this number."""
GRACE = 1.0
"""Seconds for which a missing id holds back the events with higher ids."""
LIMIT = 1000
"""How many events one poll reads."""
RELOOK, RELOOKS = 1.0, 200
"""The least time between two reads of the record by one waiter that is not notified, and the most reads per second."""


class ChangeWatch(Protocol):
    """Notices writes to the record."""

    def wait(self, seconds: float) -> object:
        """Return after a write, after ``wake``, or after that many seconds; for one thread."""

    def wake(self) -> None:
        """End the wait, or the next one."""

    def close(self) -> None:
        """Release what the watch holds; called by the thread that waits."""


class Subscription:
    """The place of one waiter, which is notified of the end of one ``job``.

    A ``stream`` is notified of each event of its job, or of all jobs.
    """

    def __init__(self, waiter: Waiter, job: str | None, *, stream: bool = False) -> None:
        self.job = job
        self.stream = stream
        self._waiter = waiter
        self._notified: Future[None] = Future()

    def notify(self) -> None:
        """End the current wait, or the next one; callable from any thread."""
        with suppress(InvalidStateError):  # It is notified already.
            self._notified.set_result(None)

    def wait(self, seconds: float) -> None:
        """Wait until notified, at most for ``seconds``; then look in the record whether the event matters."""
        with suppress(TimeoutError):
            self._waiter.wait(self._notified, seconds)
        self._notified = Future()


class EventFeed:
    """Follows the history for at most ``places`` waiters.

    ``on_change`` is called with the number of waiters and the number of streams whenever one of them changes. With the
    watch that ``watch`` opens for the first waiter, the feed polls after each write.
    """

    def __init__(
        self,
        history: EventStore,
        places: int,
        waiter: Waiter = BLOCKING,
        watch: Callable[[], ChangeWatch] | None = None,
    ) -> None:
        self.places = places
        self._waiter = waiter
        self._open_watch = watch
        self._watch: ChangeWatch | None = None
        self.stopped = False
        self.on_change: Callable[[int, int], object] = lambda _waits, _streams: None
        self._history = history
        self._changed = threading.Condition()
        self._subscriptions: set[Subscription] = set()
        self._streams = 0
        self._thread: threading.Thread | None = None
        self._position = 0
        self._highest = 0
        self._settled = 0
        self._marks: deque[tuple[int, float]] = deque()
        self._last_event = 0.0

    @property
    def position(self) -> int:
        """The id up to which the history is complete: no event with a lower id will appear."""
        return self._position

    @property
    def taken(self) -> int:
        """The number of places that are taken."""
        return len(self._subscriptions)

    @property
    def relook(self) -> float:
        """Seconds after which a waiter reads the record even if it was not notified: longer if there are many."""
        return max(RELOOK, self.taken / RELOOKS)

    @contextmanager
    def subscribe(self, job: str | None = None, *, stream: bool = False) -> Iterator[Subscription]:
        """Subscribe to the end of a job; or for a ``stream`` to every event from now on, of one job or of all jobs.

        Raises ``TooManyWaiting`` and ``DatabaseUnavailable``.
        """
        one = Subscription(self._waiter, job, stream=stream)
        # Read without the lock, which a request of an event loop must not hold while it waits.
        last = self._highest if self._subscriptions else self._history.last()
        with self._changed:
            if self.taken >= self.places or self.stopped:
                raise TooManyWaiting(self.places)
            if not self._subscriptions:
                self._position = self._highest = self._settled = last
                self._marks.clear()
            self._last_event = time.monotonic()
            self._start()
            self._subscriptions.add(one)
            self._streams += stream
            self._report()
        try:
            yield one
        finally:
            with self._changed:
                self._subscriptions.discard(one)
                self._streams -= stream
                self._report()

    def stop(self) -> None:
        """End every wait and stream, and refuse new ones."""
        with self._changed:
            self.stopped = True
            self._changed.notify_all()
            for one in self._subscriptions:
                one.notify()
        if self._watch is not None:
            self._watch.wake()
        if self._thread is not None:
            self._thread.join(5)

    def poll(self) -> None:
        """Read the next events once, and notify those who wait for them; raises ``DatabaseUnavailable``."""
        found = self._history.peek(self._position, LIMIT)
        if not found:
            return
        events = [event for event, *_ in found]
        gap = not self._history.ordered and events[-1] != self._position + len(events)
        last = self._history.last() if gap else events[-1]  # Without the lock, as the database may be slow.
        with self._changed:
            before = self._position, self._highest
            self._advance(events, last)
            self._highest = events[-1]
            if before != (self._position, self._highest):
                self._last_event = time.monotonic()
            ended = {job for _, job, _, kind in found if kind in FINAL}
            changed = {job for _, job, *_ in found} | ({None} if self._position > before[0] else set())
            notified = [one for one in self._subscriptions if one.job in (changed if one.stream else ended)]
        for one in notified:  # Without the lock, for which an event loop would have to wait.
            one.notify()

    def _report(self) -> None:
        self.on_change(self.taken - self._streams, self._streams)

    def _start(self) -> None:
        if self._thread is None:
            if self._open_watch is not None and self._watch is None:
                self._watch = self._open_watch()
            thread = threading.Thread(target=self._run, name="feed", daemon=True)
            thread.start()
            self._thread = thread
        self._changed.notify_all()

    def _run(self) -> None:
        while not self.stopped:
            try:
                if self._pause():
                    self.poll()
            except DatabaseUnavailable as error:
                logger.debug("The event feed cannot poll: %s", error)
            except Exception:
                # Without this thread no request would be notified any more.
                logger.exception("Unhandled exception in the event feed")
                time.sleep(RELOOK)
        self._history.close()
        if self._watch is not None:
            self._watch.close()

    def _pause(self) -> bool:
        """Wait until the next poll is due and there is a subscription; false once the feed is stopped."""
        if self._watch is not None:
            self._watch.wait(LONGEST_PAUSE)
            with self._changed:
                self._changed.wait_for(lambda: self._subscriptions or self.stopped)
            return not self.stopped
        with self._changed:
            quiet = time.monotonic() - self._last_event
            self._changed.wait(min(LONGEST_PAUSE, max(SHORTEST_PAUSE, quiet / QUIET_SHARE)))
            self._changed.wait_for(lambda: self._subscriptions or self.stopped)
            return not self.stopped

    def _advance(self, events: list[int], last: int) -> None:
        """Move the position to the last of these events before which no event can still appear.

        A database server assigns an id before the commit, and a rolled-back transaction leaves a permanent gap.
        """
        for event in events:
            if event > self._position + 1 and not self._history.ordered and not self._is_settled(event - 1, last):
                return
            self._position = max(event, self._position)

    def _is_settled(self, event: int, last: int) -> bool:
        """Whether any missing ids up to this one have been missing for ``GRACE``.

        The time counts from when a higher id was first seen, because ids are assigned in order. No event is therefore
        held back for longer than ``GRACE``, however many gaps there are.
        """
        moment = time.monotonic()
        while self._marks and moment - self._marks[0][1] > GRACE:
            self._settled = self._marks.popleft()[0]
        if event <= self._settled:
            return True
        if not self._marks or last > self._marks[-1][0]:
            self._marks.append((last, moment))
        return False
