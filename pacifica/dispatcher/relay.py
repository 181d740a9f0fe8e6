"""The relay: a thread that publishes the outbox.

Jobs that this process accepted come through memory and are published at once, in rounds. Whatever
else is due (another process died, the broker was away, an ``eta`` has come) is swept from the
table at intervals. After a failure the memory is let go: the rows know all that it held.
"""

import logging
import math
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence

from . import failpoints
from .errors import BrokerUnavailable, DatabaseUnavailable
from .job import Outgoing, now
from .store.outbox import Outbox

logger = logging.getLogger(__name__)

MEMORY = 10_000
"""Jobs held in memory at most; those beyond it are swept from the table when they come due."""
LEASE = 30_000_000
"""Microseconds that a sweep keeps its jobs from other relays: longer than publishing them may take."""


class Relay:
    """Publishes jobs until it is stopped. ``publish`` raises ``BrokerUnavailable``, and may then have sent some.

    ``interval`` is the seconds between two sweeps, ``batch`` the jobs of one round.
    """

    def __init__(
        self, outbox: Outbox, publish: Callable[[Sequence[Outgoing]], None], *, interval: float, batch: int
    ) -> None:
        self._outbox = outbox
        self._publish = publish
        self._interval = interval
        self._batch = batch
        self._memory: deque[Outgoing] = deque()
        self._wake = threading.Event()
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None
        self._ahead = math.inf
        self.broker_state = "ok"

    def hand_over(self, job: Outgoing) -> None:
        """Publish this job soon; called after its row was committed."""
        if len(self._memory) < MEMORY:
            self._memory.append(job)
            self._wake.set()

    def start(self) -> None:
        """Start the thread; what earlier processes left behind is published first."""
        self._stopping.clear()
        self._thread = threading.Thread(target=self._run, name="relay", daemon=True)
        self._thread.start()

    def stop(self, timeout: float = 10.0) -> None:
        """Publish what is in memory, then end the thread; what it cannot publish stays in the outbox."""
        self._stopping.set()
        self._wake.set()
        if self._thread is not None:
            self._thread.join(timeout)

    def _run(self) -> None:
        next_sweep = time.monotonic()
        while not self._stopping.is_set():
            if time.monotonic() >= next_sweep:
                more = self._round(self._sweep)
                next_sweep = time.monotonic() + (0 if more else self._interval)
            self._wake.clear()
            while self._memory and time.monotonic() < next_sweep:  # However much comes, the sweeps have their turn.
                self._round(self._drain)
            if not self._memory and not self._stopping.is_set():
                self._wake.wait(max(0.0, next_sweep - time.monotonic()))
        while self._memory:
            self._round(self._drain)

    def _round(self, gather: Callable[[], list[Outgoing]]) -> bool:
        """Publish one batch; whether there may be another one right behind it."""
        batch: list[Outgoing] = []
        try:
            batch = gather()
            if batch:
                batch = self._send(batch)
                failpoints.reach("after-publish")
                self._outbox.mark_published(batch, at=now())
        except BrokerUnavailable as error:
            self._broker_is_away(error, batch)
            return False
        except DatabaseUnavailable as error:
            logger.warning("The relay goes on when the database does: %s", error)
            self._pause()
            return False
        if batch:
            self.broker_state = "ok"
        return len(batch) == self._batch

    def _send(self, batch: list[Outgoing]) -> list[Outgoing]:
        """Publish the batch, or, when something in it cannot be sent at all, one by one; returns what was sent."""
        try:
            self._publish(batch)
        except (BrokerUnavailable, DatabaseUnavailable):
            raise
        except Exception:
            if len(batch) > 1:
                return [sent for job in batch for sent in self._send([job])]
            logger.exception("Job %s cannot be sent; it stays in the outbox.", batch[0].uuid)
            return []
        return batch

    def _sweep(self) -> list[Outgoing]:
        ahead = time.time() - time.monotonic()
        if ahead < self._ahead - 1:  # The clock went back, or may have done so before this process was started.
            self._outbox.recall(at=now(), lease=LEASE)
        self._ahead = ahead
        return self._outbox.take(at=now(), lease=LEASE, limit=self._batch)

    def _drain(self) -> list[Outgoing]:
        return [self._memory.popleft() for _ in range(min(len(self._memory), self._batch))]

    def _broker_is_away(self, error: BrokerUnavailable, batch: Sequence[Outgoing]) -> None:
        if self.broker_state != str(error):
            logger.warning("%s Accepted jobs wait in the outbox.", error)
        self.broker_state = str(error)
        unsent = [*batch, *(self._memory.popleft() for _ in range(len(self._memory)))]
        try:
            self._outbox.release(unsent, at=now())
        except DatabaseUnavailable:
            logger.debug("the batch comes due by itself", exc_info=True)
        self._pause()

    def _pause(self) -> None:
        self._stopping.wait(self._interval)
