"""The feed: whoever waits for something to happen is told when the record says that it has.

One thread in each web process looks at the history while somebody waits, and rests while nobody does. It
looks often at first and then ever more rarely, so that a wait ends late by a small part of its own length.
"""

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from ..core.errors import DatabaseUnavailable, TooManyWaiting
from ..store.events import HistoryStore

logger = logging.getLogger(__name__)

SHORTEST, LONGEST = 0.001, 0.1
"""Seconds between two looks."""
PART = 20
"""The pause between two looks is this part of the time in which nothing has happened."""
GRACE = 1.0
"""Seconds for which an event that is not there yet holds back those with a higher id."""
LIMIT = 1000
"""Events of one look."""


class Subscription:
    """What one waiter is told through."""

    def __init__(self, job: str | None, *, stream: bool = False) -> None:
        self.job = job
        self.stream = stream
        self._told = threading.Event()

    def tell(self) -> None:
        """Something has happened."""
        self._told.set()

    def wait(self, seconds: float) -> bool:
        """Whether something has happened since the last time; it may be nothing that matters."""
        told = self._told.wait(seconds)
        self._told.clear()
        return told


class EventFeed:
    """Follows the history for at most ``places`` waiters; ``on_change`` is told how many wait, and how many stream."""

    def __init__(self, history: HistoryStore, places: int) -> None:
        self.places = places
        self.stopped = False
        self.on_change: Callable[[int, int], object] = lambda _waits, _streams: None
        self._history = history
        self._lock = threading.Condition()
        self._watches: set[Subscription] = set()
        self._thread: threading.Thread | None = None
        self._position = 0
        self._highest = 0
        self._over = 0
        self._marks: deque[tuple[int, float]] = deque()
        self._moved = 0.0

    @property
    def position(self) -> int:
        """The event up to which the history is complete: none will show up before it any more."""
        return self._position

    @contextmanager
    def watch(self, job: str | None = None, *, stream: bool = False) -> Iterator[Subscription]:
        """Be told of what happens from now on, to one job or to any.

        Raises ``TooManyWaiting``, and ``DatabaseUnavailable``.
        """
        one = Subscription(job, stream=stream)
        with self._lock:
            if len(self._watches) >= self.places or self.stopped:
                raise TooManyWaiting(self.places)
            if not self._watches:
                self._position = self._highest = self._over = self._history.last()
                self._marks.clear()
            self._watches.add(one)
            self._changed()
            self._moved = time.monotonic()
            self._start()
        try:
            yield one
        finally:
            with self._lock:
                self._watches.discard(one)
                self._changed()

    def stop(self) -> None:
        """Let everybody go on, and nobody wait any more."""
        with self._lock:
            self.stopped = True
            self._lock.notify_all()
            for one in self._watches:
                one.tell()
        if self._thread is not None:
            self._thread.join(5)

    def _changed(self) -> None:
        streams = sum(one.stream for one in self._watches)
        self.on_change(len(self._watches) - streams, streams)

    def _start(self) -> None:
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="feed", daemon=True)
            self._thread.start()
        self._lock.notify_all()

    def _run(self) -> None:
        while self._rest():
            try:
                self._look()
            except DatabaseUnavailable as error:
                logger.debug("the feed goes on later: %s", error)
        self._history.close()

    def _rest(self) -> bool:
        """Pause before the next look, for as long as nobody waits; whether there is to be one."""
        with self._lock:
            quiet = time.monotonic() - self._moved
            self._lock.wait(min(LONGEST, max(SHORTEST, quiet / PART)))
            self._lock.wait_for(lambda: self._watches or self.stopped)
            return not self.stopped

    def _look(self) -> None:
        found = self._history.peek(self._position, LIMIT)
        if not found:
            return
        events = [event for event, _, _ in found]
        with self._lock:
            before, highest = self._position, self._highest
            self._advance(events)
            self._highest = events[-1]
            if (before, highest) != (self._position, self._highest):
                self._moved = time.monotonic()
            jobs = {job for _, job, _ in found}
            for one in self._watches:
                if one.job in jobs or (one.job is None and self._position > before):
                    one.tell()

    def _advance(self, events: list[int]) -> None:
        """Move the position behind these events, but not past one that may still show up.

        A server gives out ids before their transactions are committed; one that is rolled back leaves a gap for ever.
        """
        for event in events:
            if event > self._position + 1 and not self._history.ordered and not self._is_over(event - 1):
                return
            self._position = max(event, self._position)

    def _is_over(self, event: int) -> bool:
        """Whether what is missing up to this event has had its time.

        That goes by when a higher id was first seen, as ids are given in turn: however many gaps there are, none
        holds back anything for longer than ``GRACE``.
        """
        moment = time.monotonic()
        while self._marks and moment - self._marks[0][1] > GRACE:
            self._over = self._marks.popleft()[0]
        if event <= self._over:
            return True
        last = self._history.last()
        if not self._marks or last > self._marks[-1][0]:
            self._marks.append((last, moment))
        return False
