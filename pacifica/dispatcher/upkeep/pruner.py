"""Retention: how long jobs are kept after their end, and the purge of those that were kept for long enough."""

import logging
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence

from ..config.settings import RetentionSettings
from ..core.job import State, now
from ..store.database import Database
from ..store.purge import FIRST_TOMBSTONE, Bounds, Ended, PurgeStore, forget_tombstones

logger = logging.getLogger(__name__)

LONGEST_REST = 600.0
"""The longest time between two purges by the service, and between two looks at all tombstones, in seconds."""
SHARE = 3
"""Whoever purges waits after a batch at least so many times as long as it took, however slow the database is."""
LONG = 0.2
"""Others wait for a batch: after one that took so many seconds the next has half as many jobs."""
FIRST_BATCH = 10
"""Jobs of the first batch at most, as nobody knows yet how large they are."""
LOOKED_AT = 1000
"""Tombstones that are looked at, and jobs that are counted, at a time."""
FORGETTING = 0.1
"""Seconds of a round in which tombstones are looked at, and a little more."""


class Retention:
    """Purges the jobs of one database batch by batch, with a pause after each in which others write."""

    def __init__(self, database: Database, settings: RetentionSettings) -> None:
        self._database = database
        self._store = PurgeStore(database)
        self._settings = settings
        self._under_way: Iterator[Counter[State]] | None = None
        self._purged: Counter[State] = Counter()
        self._took = 0.0
        self._batch = min(FIRST_BATCH, settings.purge_batch)
        self._next = 0.0
        self._forgotten = FIRST_TOMBSTONE
        self._next_forgetting = 0.0

    @property
    def pause(self) -> float:
        """How long to wait now, after the latest batch, in seconds."""
        return max(self._settings.purge_pause, SHARE * self._took)

    def bounds(self, at: int) -> Bounds:
        """What the settings ask to be purged: for each state the moment before which a job has ended."""
        return {state: at - int(age * 1_000_000) for state, age in self._settings.ages.items()}

    def purge(self, before: Bounds, tasks: Sequence[str] = ()) -> Iterator[Counter[State]]:
        """Purge a batch at each step, and tell how many jobs of each state it was; of these tasks, or of all."""
        remember = self._settings.tombstone_seconds > 0
        for page in self._pages(before, tasks, self._settings.purge_batch):
            first = 0
            while first < max(1, len(page)):  # A page of which nothing is purged is a step, too.
                batch = page[first : first + self._batch]
                first += self._batch
                begin = time.monotonic()
                purged = self._store.purge(batch, at=now(), remember=remember)
                self._learn(time.monotonic() - begin, len(batch))
                yield purged

    def count(self, before: Bounds, tasks: Sequence[str] = ()) -> Iterator[Counter[State]]:
        """The same without purging: how many it would be, page by page."""
        for page in self._pages(before, tasks, LOOKED_AT):
            yield Counter(job.state for job in page)

    def work(self, until: float, wait: Callable[[float], bool]) -> None:
        """Purge what the settings ask for until that moment of the monotonic clock, and go on there the next time.

        ``wait`` pauses for so many seconds, and is true when there is to be no next batch. Once all was looked
        at, it rests for a hundredth of the shortest age, and not longer than ``LONGEST_REST``.
        """
        self._forget()
        if self._under_way is None:
            if time.monotonic() < self._next or not (before := self.bounds(now())):
                return
            self._under_way, self._purged = self.purge(before), Counter()
        under_way, self._under_way = self._under_way, None  # One that fails is not gone on with.
        for count in under_way:
            self._purged += count
            if wait(self.pause) or time.monotonic() >= until:
                self._under_way = under_way
                return
        self._next = time.monotonic() + min(LONGEST_REST, min(self._settings.ages.values()) / 100)
        if self._purged:
            told = ", ".join(f"{number} {state}" for state, number in sorted(self._purged.items()))
            logger.info("Purged %d jobs (%s).", self._purged.total(), told)

    def _learn(self, took: float, size: int) -> None:
        """How large the next batch is, after one of this size: others wait for the time that it takes."""
        self._took = took
        if took > LONG:
            self._batch = max(1, size // 2)
        elif size == self._batch and took < LONG / 2:
            self._batch = min(self._settings.purge_batch, size + max(1, size // 4))

    def _forget(self) -> None:
        """Forget the next of the tombstones that are old enough; once all were seen, rest as after a purge."""
        begun = time.monotonic()
        if begun < self._next_forgetting:
            return
        before = now() - int(self._settings.tombstone_seconds * 1_000_000)
        while True:
            self._forgotten = forget_tombstones(self._database, before, self._forgotten, LOOKED_AT)
            if self._forgotten == FIRST_TOMBSTONE:
                self._next_forgetting = begun + min(LONGEST_REST, self._settings.tombstone_seconds / 100)
                return
            if time.monotonic() >= begun + FORGETTING:
                return

    def _pages(self, before: Bounds, tasks: Sequence[str], size: int) -> Iterator[Sequence[Ended]]:
        if not tasks:
            yield from self._store.pages(before, size)
        for task in tasks:
            yield from self._store.pages(before, size, task)
