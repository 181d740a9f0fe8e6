"""Upkeep: what somebody must look after while jobs come and go.

Each worker and each web process has a thread of it. All of them watch who is alive, and the elected one
looks after everything. Every move is guarded by the row, so that two at once do no harm.
"""

import logging
import math
import time
from collections.abc import Callable, Sequence
from typing import Protocol, TypeVar

from ..core.errors import BrokerUnavailable, DatabaseUnavailable
from ..core.job import now
from ..core.liveness import Liveness
from ..core.periodic_thread import PeriodicThread
from ..store.jobs import JobStore
from ..store.outbox import Kind, Outbox
from ..store.workers import WorkerStore
from .event_counting import EventCounting
from .leader_election import Election
from .pruner import Retention

logger = logging.getLogger(__name__)
Value = TypeVar("Value")

SURVEY = 3600.0
"""Seconds between two surveys of the jobs."""
BATCH = 500
"""Jobs and keys that one round looks after, of each kind."""
COUNTED = 100_000
"""Jobs of a kind that are counted, at most."""
FAR = 2**63 - 1


class Queues(Protocol):
    """What upkeep asks the broker."""

    def queue_of(self, task: str, queue: str | None) -> str | None:
        """The queue that jobs of this task are sent to, or those of them that name one; ``None``: it cannot be told."""

    def ready(self, name: str) -> int | None:
        """The messages of a queue that no worker has yet; ``None``: it cannot be told."""


class Upkeep:
    """Every ``interval`` seconds rescues lost jobs, ends expired ones, sends again what is lost, forgets, and purges.

    ``queues`` tells how many messages of a queue are ready, ``election`` whether this process is to do it.
    """

    def __init__(  # noqa: PLR0913 - each is a part that the process gives
        self,
        jobs: JobStore,
        outbox: Outbox,
        workers: WorkerStore,
        queues: Queues,
        *,
        retention: Retention,
        counting: EventCounting,
        election: Election,
        lease: float,
        interval: float,
        republish: float,
        keep_keys: float,
    ) -> None:
        self._jobs = jobs
        self._outbox = outbox
        self._workers = workers
        self._queues = queues
        self._retention = retention
        self._counting = counting
        self._election = election
        self._interval = interval
        self._republish = int(republish * 1_000_000)
        self._keep_keys = int(keep_keys * 1_000_000)
        self._liveness = Liveness(lease)
        self._next_count = 0.0
        self._next_survey = 0.0
        self._began = -math.inf
        self._thread = PeriodicThread("upkeep", self.turn, doing="doing the upkeep", interval=self._pause)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def stop(self) -> None:
        """End the thread, and leave the upkeep to another process at once."""
        self._thread.stop(self._interval + 5)
        self._election.resign()

    def turn(self) -> None:
        """Look after everything if that is this process's part; else watch, so as to know when it becomes that."""
        self._began = time.monotonic()
        if self._try(self._election.won):
            self.round()
        else:
            self._try(self._watch)

    def round(self) -> None:
        """Look after everything once; what cannot be done keeps nothing else from it."""
        begin = time.monotonic()
        for duty in (self._rescue, self._survey, self._end_expired, self._send_again, self._forget_keys):
            self._try(duty)
        self._try(lambda: self._counting.work(begin + 0.2 * self._interval))
        self._try(lambda: self._retention.work(begin + 0.8 * self._interval, self._thread.pause))

    def _pause(self) -> float:
        """The seconds until the next turn, which begins one interval after the last one.

        After a turn that took longer, the pause is a whole interval: other processes may have been held up, too,
        and their heartbeats must be written before this one looks a second time.
        """
        left = self._began + self._interval - time.monotonic()
        return left if left > 0 else self._interval

    @staticmethod
    def _try(duty: Callable[[], Value]) -> Value | None:
        try:
            return duty()
        except (DatabaseUnavailable, BrokerUnavailable) as error:
            logger.debug("upkeep goes on later: %s", error)
        except Exception:
            logger.exception("upkeep goes on later")
        return None

    def _survey(self) -> None:
        if time.monotonic() >= self._next_survey:
            self._next_survey = time.monotonic() + SURVEY
            self._jobs.analyze()

    def _end_expired(self) -> None:
        for uuid in self._jobs.expired(at=now(), limit=BATCH):
            self._jobs.revoke(uuid, reason="expired", at=now())

    def _forget_keys(self) -> None:
        self._jobs.forget_keys(now() - self._keep_keys, BATCH)

    def _watch(self) -> set[str]:
        """The dead workers; a process that is not the leader looks, too, so that a new leader knows them at once."""
        try:
            beats, holders = self._workers.beats(), self._workers.holders()
        except DatabaseUnavailable:
            self._liveness.forget()
            raise
        self._liveness.look({holder: beats.get(holder) for holder in {*beats, *holders}})
        if self._liveness.suspects:
            # No heartbeat moves while the database takes no writes, so it must take one before the second look.
            self._workers.forget([])
        return self._liveness.dead

    def _rescue(self) -> None:
        for holder in self._watch():
            held = self._workers.held(holder, limit=BATCH)
            for uuid, token in held:
                self._jobs.lose(uuid, token=token, reason="its worker died", at=now())
            if len(held) < BATCH:
                self._workers.forget([holder])

    def _send_again(self) -> None:
        """Put back into the outbox what waits although its queue does not hold its message: the broker lost it.

        Which messages it lost cannot be seen in a queue, only how many. A queue gives its messages in turn, so
        those of the jobs that were sent first are the likeliest.
        """
        if time.monotonic() < self._next_count:
            return
        self._next_count = time.monotonic() + self._republish / 4_000_000
        queues: dict[str, list[Kind]] = {}
        for kind in self._outbox.waiting():
            if (name := self._queues.queue_of(*kind)) is not None:
                queues.setdefault(name, []).append(kind)
        for name, kinds in queues.items():
            if lost := self._lost(name, kinds):
                logger.warning("%d messages of queue %s are sent again.", len(lost), name)
                self._outbox.send_again(lost, at=now())

    def _lost(self, name: str, kinds: Sequence[Kind]) -> list[str]:
        """The jobs of a queue that have waited too long and whose messages it cannot hold, at most ``BATCH``."""
        late = now() - self._republish
        count = self._outbox.count_sent
        overdue = sum(count(kind, since=0, until=late, limit=COUNTED) for kind in kinds)
        if not overdue or (ready := self._queues.ready(name)) is None:
            return []
        recent = sum(count(kind, since=late, until=FAR, limit=COUNTED) for kind in kinds)
        missing = min(BATCH, overdue - max(0, ready - recent))
        if missing <= 0:
            return []
        first = [sent for kind in kinds for sent in self._outbox.sent_first(kind, until=late, limit=missing)]
        return [uuid for _, uuid in sorted(first)[:missing]]
