"""The purge of jobs that ended long enough ago, and of tombstones that are old enough."""

import logging
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence

from ..config.settings import RetentionSettings
from ..core.job import State, now
from ..store.database import Database
from ..store.purge import FIRST_TOMBSTONE, Bounds, PurgeCandidate, PurgeStore, forget_tombstones

logger = logging.getLogger(__name__)

LONGEST_REST = 600.0
"""The longest time between two purges by the service, or between two walks through the tombstones, in seconds."""
PAUSE_FACTOR = 3
"""The pause after a batch is at least this many times its duration, so that a slow database serves other writers."""
LONG_BATCH = 0.2
"""Other writers wait for a batch: after one that took longer than this, in seconds, the next one has half the jobs."""
FIRST_BATCH = 10
"""The most jobs of the first batch, as their size is not known yet."""
LOOKED_AT = 1000
"""The number of tombstones, or of jobs to be counted, that one query reads."""
FORGETTING = 0.1
"""Seconds of a round after which no further tombstones are read."""


class Pruner:
    """Purges the jobs of one database in batches, with a pause after each batch in which other processes write."""

    def __init__(self, database: Database, settings: RetentionSettings) -> None:
        self._database = database
        self._store = PurgeStore(database)
        self._settings = settings
        self._batch = min(FIRST_BATCH, settings.purge_batch)
        self._last_duration = 0.0
        self._unfinished: Iterator[Counter[State]] | None = None
        self._purged: Counter[State] = Counter()
        self._next_purge = 0.0
        self._next_tombstone = FIRST_TOMBSTONE
        self._next_forgetting = 0.0

    @property
    def pause(self) -> float:
        """The pause that is due after the last batch, in seconds."""
        return max(self._settings.purge_pause, PAUSE_FACTOR * self._last_duration)

    def bounds(self, at: int) -> Bounds:
        """For each state that the settings limit, the time before which a job must have ended to be purged."""
        return {state: at - int(age * 1_000_000) for state, age in self._settings.ages.items()}

    def purge(self, before: Bounds, tasks: Sequence[str] = ()) -> Iterator[Counter[State]]:
        """Purge one batch at each step and return its jobs by state; of these tasks, or of all tasks."""
        remember = self._settings.tombstone_seconds > 0
        for page in self._pages(before, tasks, self._settings.purge_batch):
            first = 0
            while first < max(1, len(page)):  # A page of which nothing is purged is a step, too.
                batch = page[first : first + self._batch]
                first += self._batch
                begin = time.monotonic()
                purged = self._store.purge(batch, at=now(), remember=remember)
                self._adapt(time.monotonic() - begin, len(batch))
                yield purged

    def count(self, before: Bounds, tasks: Sequence[str] = ()) -> Iterator[Counter[State]]:
        """Count the jobs that ``purge`` would delete, without deleting them; one page at each step."""
        for page in self._pages(before, tasks, LOOKED_AT):
            yield Counter(job.state for job in page)

    def work(self, until: float, wait: Callable[[float], bool]) -> None:
        """Purge by the settings until that moment of the monotonic clock; the next call continues there.

        ``wait`` pauses for that many seconds, and returns true if no other batch is to follow. After the last job,
        nothing is purged for a hundredth of the shortest age, or for ``LONGEST_REST`` if that is shorter.
        """
        self._forget_tombstones()
        if self._unfinished is None:
            if time.monotonic() < self._next_purge or not (before := self.bounds(now())):
                return
            self._unfinished, self._purged = self.purge(before), Counter()
        purge, self._unfinished = self._unfinished, None  # A purge that fails is not continued.
        for count in purge:
            self._purged += count
            if wait(self.pause) or time.monotonic() >= until:
                self._unfinished = purge
                return
        self._next_purge = time.monotonic() + min(LONGEST_REST, min(self._settings.ages.values()) / 100)
        if self._purged:
            by_state = ", ".join(f"{number} {state}" for state, number in sorted(self._purged.items()))
            logger.info("Purged %d jobs (%s).", self._purged.total(), by_state)

    def _adapt(self, duration: float, size: int) -> None:
        """Choose the size of the next batch after one of this duration and size."""
        self._last_duration = duration
        if duration > LONG_BATCH:
            self._batch = max(1, size // 2)
        elif size == self._batch and duration < LONG_BATCH / 2:
            self._batch = min(self._settings.purge_batch, size + max(1, size // 4))

    def _forget_tombstones(self) -> None:
        """Delete the next tombstones that are old enough; after the last one, rest as after a purge."""
        begin = time.monotonic()
        if begin < self._next_forgetting:
            return
        before = now() - int(self._settings.tombstone_seconds * 1_000_000)
        while True:
            self._next_tombstone = forget_tombstones(self._database, before, self._next_tombstone, LOOKED_AT)
            if self._next_tombstone == FIRST_TOMBSTONE:
                self._next_forgetting = begin + min(LONGEST_REST, self._settings.tombstone_seconds / 100)
                return
            if time.monotonic() >= begin + FORGETTING:
                return

    def _pages(self, before: Bounds, tasks: Sequence[str], size: int) -> Iterator[Sequence[PurgeCandidate]]:
        if not tasks:
            yield from self._store.pages(before, size)
        for task in tasks:
            yield from self._store.pages(before, size, task)
