"""Upkeep: the periodic duties of the elected process.

Each worker and each web process runs an upkeep thread, and all of them observe the workers' heartbeats. Every
transition is guarded by the job's row, so two processes that do a duty at the same moment do no harm.
"""

import logging
import math
import time
from collections.abc import Callable
from typing import TypeVar

from ..core.errors import BrokerUnavailable, DatabaseUnavailable
from ..core.job import now
from ..core.periodic_thread import PeriodicThread
from ..store.jobs import JobStore
from .event_counter import EventCounter
from .leader_election import Election
from .lost_jobs import LostJobs
from .lost_messages import LostMessages
from .pruner import Pruner

logger = logging.getLogger(__name__)
Value = TypeVar("Value")

ANALYZE_INTERVAL = 3600.0
"""Seconds after which the statistics of the query planner are refreshed."""
BATCH = 500
"""The most expired jobs, and the most keys, that one transaction ends or deletes."""
SHARE = 0.2
"""The share of the interval in which a round repeats such transactions, while there is more to do."""


class Upkeep:
    """Every ``interval`` seconds, does all duties if this process is the leader; ``keep_keys`` is in seconds."""

    def __init__(  # noqa: PLR0913 - each is a part that the process gives
        self,
        jobs: JobStore,
        *,
        election: Election,
        lost_jobs: LostJobs,
        lost_messages: LostMessages,
        event_counter: EventCounter,
        pruner: Pruner,
        interval: float,
        keep_keys: float,
    ) -> None:
        self._jobs = jobs
        self._election = election
        self._lost_jobs = lost_jobs
        self._lost_messages = lost_messages
        self._event_counter = event_counter
        self._pruner = pruner
        self._interval = interval
        self._keep_keys = int(keep_keys * 1_000_000)
        self._next_analyze = 0.0
        self._began = -math.inf
        self._thread = PeriodicThread("upkeep", self.turn, doing="doing the upkeep", interval=self._pause)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """End the thread, and let another process become the leader at once."""
        self._thread.stop(self._interval + 5)
        self._election.resign()

    def turn(self) -> None:
        """Do all duties if this process is the leader, else only observe the workers."""
        self._began = time.monotonic()
        if self._attempt(self._election.won):
            self.round()
        else:
            self._attempt(self._lost_jobs.observe)

    def round(self) -> None:
        """Do each duty once; a failure of one does not prevent the others."""
        begin = time.monotonic()
        self._attempt(self._lost_jobs.put_back)
        self._attempt(self._analyze)
        self._attempt(self._end_expired)
        self._attempt(self._lost_messages.publish_again)
        self._attempt(self._forget_keys)
        self._attempt(lambda: self._event_counter.work(time.monotonic() + 0.2 * self._interval))
        self._attempt(lambda: self._pruner.work(begin + 0.8 * self._interval, self._thread.pause))

    def _pause(self) -> float:
        """The seconds until the next turn, which begins one interval after the last one.

        After a turn that took longer, the pause is a whole interval: other processes may have been delayed, too, and
        must be able to write their heartbeats before this one looks a second time.
        """
        left = self._began + self._interval - time.monotonic()
        return left if left > 0 else self._interval

    @staticmethod
    def _attempt(duty: Callable[[], Value]) -> Value | None:
        try:
            return duty()
        except (DatabaseUnavailable, BrokerUnavailable) as error:
            logger.debug("Failed while doing the upkeep: %s", error)
        except Exception:
            logger.exception("Unhandled exception while doing the upkeep")
        return None

    def _analyze(self) -> None:
        if time.monotonic() >= self._next_analyze:
            self._next_analyze = time.monotonic() + ANALYZE_INTERVAL
            self._jobs.analyze()

    def _end_expired(self) -> None:
        self._repeat(lambda: self._jobs.revoke_expired(at=now(), limit=BATCH))

    def _forget_keys(self) -> None:
        self._repeat(lambda: self._jobs.forget_keys(now() - self._keep_keys, BATCH))

    def _repeat(self, batch: Callable[[], int]) -> None:
        """Repeat a batch while it is full; what is left is for the next round. In the pauses, others write."""
        begin = time.monotonic()
        end = begin + SHARE * self._interval
        while batch() == BATCH and (moment := time.monotonic()) < end and not self._thread.pause(moment - begin):
            begin = time.monotonic()
