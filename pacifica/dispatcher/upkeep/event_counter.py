"""The leader's duty to count the events of jobs, for metrics, and the jobs that ended, for the dashboard."""

import time
from collections.abc import Callable

from ..core.job import now
from ..store.event_counts import EventCountStore

PAGE = 5000
"""Event ids that one query covers."""
MOST_ROWS = 300
"""About the most rows of the history that one transaction writes: SQLite lets no other process write meanwhile."""
SETTLED_AFTER = 2.0
"""Seconds after which every transaction that had been assigned an event id is committed or rolled back."""


class EventCounter:
    """Adds new events to the stored counts and the history; each counts once, even while there are two leaders."""

    def __init__(self, events: EventCountStore, clock: Callable[[], float] = time.monotonic) -> None:
        self._events = events
        self._clock = clock
        self._mark: tuple[int, float] | None = None

    def work(self, until: float) -> None:
        """Count until that moment of the clock; what is left then is for the next call.

        The counts and the history of a page are one transaction. A page that another process has counted ends the call.
        """
        settled = self._settled()
        counted = self._events.load()
        page = PAGE
        while counted.upto < settled and self._clock() < until:
            upto = min(settled, counted.upto + page)
            minutes = self._events.ended(counted.upto, upto, at=now())
            if len(minutes) > MOST_ROWS and page > 1:
                page //= 2
                continue
            new = counted.plus(self._events.count(counted.upto, upto), upto)
            if not self._events.replace(counted, new, minutes):
                break
            counted, page = new, min(PAGE, 2 * page)
        while self._events.forget_minutes(at=now()) and self._clock() < until:
            pass

    def _settled(self) -> int:
        """The id up to which all events are visible; 0 if that is not known yet.

        Where events become visible out of order, it is an id that was the highest some time ago.
        """
        last = self._events.last()
        if self._events.ordered:
            return last
        moment = self._clock()
        if self._mark is None:
            self._mark = last, moment
        settled, marked = self._mark
        if moment < marked + SETTLED_AFTER:
            return 0
        self._mark = last, moment
        return settled
