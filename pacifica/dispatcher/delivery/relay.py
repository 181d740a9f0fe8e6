"""The relay: a thread that publishes the outbox.

Jobs that this process accepted reach it through memory, and it publishes them at once, in rounds. It sweeps the table
at intervals for all other jobs that are due: those of a process that died, those that met an unavailable broker, and
those whose ``eta`` has come. After a failure it empties its memory, as the rows hold the same jobs.
"""

import logging
import math
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence

from ..core import failpoints
from ..core.errors import BrokerUnavailable, DatabaseUnavailable, MessageRefused
from ..core.job import OutboxEntry, now
from ..logs.formatters import FIELDS
from ..service.new_job import HAND_OVER
from ..store.outbox import Outbox

logger = logging.getLogger(__name__)

MEMORY = 10_000
"""The most jobs held in memory; a sweep finds the others when they are due."""
MEMORY_AGE = HAND_OVER - 1_000_000
"""Microseconds after which a job in memory is left to the sweeps: another relay may soon publish it as well."""
LEASE = 30_000_000
"""Microseconds for which a sweep keeps its jobs from other relays: longer than publishing them can take."""
SHORTEST_DEFERMENT, LONGEST_DEFERMENT = 5_000_000, 3_600_000_000
"""Bounds, in microseconds, of the time for which a job that the broker refused is left alone: half of its age."""
MARK_AFTER = 0.05
"""Seconds until the rows of sent jobs are marked, which a worker's claim within this time makes unnecessary.

It is much shorter than the time for which other relays leave the job alone, so none sends it again.
"""
PACE = 0.002
"""The least seconds between the starts of two rounds: jobs in quick succession share one, a lone job does not wait."""
SILENCE = 5.0
"""Seconds without anything to send after which the relay checks that the broker answers."""


class Relay:
    """Publishes jobs until it is stopped.

    ``publish`` raises ``BrokerUnavailable``, or ``MessageRefused`` if one of the messages is wrong; others may have
    been sent. ``greet`` returns when the broker has answered, or raises ``BrokerUnavailable``.

    ``interval`` is the number of seconds between two sweeps, and ``batch`` the most jobs in a round. ``on_publish`` is
    called with an outcome and a number of messages. ``confirmed`` is the time of the broker's last answer, on the
    monotonic clock, and ``broker_state`` is "ok" or the reason why messages wait.
    """

    def __init__(
        self,
        outbox: Outbox,
        publish: Callable[[Sequence[OutboxEntry]], None],
        greet: Callable[[], None],
        *,
        interval: float,
        batch: int,
    ) -> None:
        self._outbox = outbox
        self._publish = publish
        self._greet = greet
        self._interval = interval
        self._batch = batch
        self._memory: deque[OutboxEntry] = deque()
        self._unmarked: list[OutboxEntry] = []
        self._mark_at = math.inf
        self._round_began = -math.inf
        self._greeted = -math.inf
        self._unavailable = False
        self._clock_offset = math.inf
        self._wake = threading.Event()
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None
        self.broker_state = "ok"
        self.confirmed: float | None = None
        self.on_publish: Callable[[str, int], object] = lambda _outcome, _messages: None

    def hand_over(self, job: OutboxEntry) -> None:
        """Publish this job soon; its row must be committed."""
        if len(self._memory) < MEMORY:
            self._memory.append(job)
            self._wake.set()

    def start(self) -> None:
        """Start the thread; it first publishes the jobs that earlier processes left in the outbox."""
        self._stopping.clear()
        self._thread = threading.Thread(target=self._run, name="relay", daemon=True)
        self._thread.start()

    def stop(self, timeout: float = 10.0) -> None:
        """Publish the jobs in memory, then end the thread; a job that cannot be published stays in the outbox."""
        self._stopping.set()
        self._wake.set()
        if self._thread is not None:
            self._thread.join(timeout)

    def _run(self) -> None:
        next_sweep = time.monotonic()
        while not self._stopping.is_set():
            if time.monotonic() >= next_sweep:
                more = self._try(self._sweep)
                next_sweep = time.monotonic() + (0 if more else self._interval)
            self._wake.clear()
            while self._memory and time.monotonic() < next_sweep:  # Sweeps have their turn under any load.
                self._keep_pace()
                self._try(self._drain)
            if not self._memory and not self._stopping.is_set():
                self._wake.wait(max(0.0, min(next_sweep, self._mark_at) - time.monotonic()))
            if time.monotonic() >= self._mark_at:
                self._try(self._mark)
        while self._memory:
            self._try(self._drain)
        self._try(self._mark)

    def _keep_pace(self) -> None:
        """Wait until ``PACE`` after the last round began, unless there are enough jobs for a full round."""
        pause = self._round_began + PACE - time.monotonic()
        if pause > 0 and len(self._memory) < self._batch:
            self._stopping.wait(pause)
        self._round_began = time.monotonic()

    def _try(self, step: Callable[[], bool]) -> bool:
        """Take one step, and return whether the next one should follow at once; an error only makes the relay pause."""
        try:
            return step()
        except DatabaseUnavailable as error:
            logger.warning("The relay pauses: %s", error)
        except Exception:
            # Without this thread nothing would be published any more, and no one would notice.
            logger.exception("Unhandled exception while publishing the outbox")
        self._pause()
        return False

    def _sweep(self) -> bool:
        """Publish jobs that are due in the table."""
        offset = time.time() - time.monotonic()
        if offset < self._clock_offset - 1:  # The clock went back, or may have done so before this process began.
            self._outbox.recall(at=now(), lease=LEASE)
        self._clock_offset = offset
        return self._publish_round(self._outbox.take(at=now(), lease=LEASE, limit=self._batch))

    def _drain(self) -> bool:
        """Publish jobs from memory."""
        taken = [self._memory.popleft() for _ in range(min(len(self._memory), self._batch))]
        oldest = now() - MEMORY_AGE
        return self._publish_round([job for job in taken if job.created > oldest])

    def _publish_round(self, jobs: list[OutboxEntry]) -> bool:
        """Publish the jobs, and return whether more may wait; without jobs, check that the broker answers."""
        try:
            if not jobs:
                self._greet_after_silence()
            elif sent := self._send(jobs):
                self._on_sent(sent)
        except BrokerUnavailable as error:
            self._on_unavailable(error, jobs)
            return False
        return len(jobs) == self._batch

    def _send(self, jobs: list[OutboxEntry], *, again: bool = True) -> list[OutboxEntry]:
        """Publish the jobs, and return those that were sent; after a refusal, each half by itself.

        A message that was refused by itself is sent once more, as this declares a queue that no longer exists.
        """
        try:
            self._publish(jobs)
        except (BrokerUnavailable, DatabaseUnavailable):
            raise
        except Exception as error:  # noqa: BLE001 - any error is logged, and must not hold other jobs back
            half = len(jobs) // 2
            if half:
                return self._send(jobs[:half]) + self._send(jobs[half:])
            if again and isinstance(error, MessageRefused):
                return self._send(jobs, again=False)
            self._defer(jobs[0], error)
            return []
        return jobs

    def _defer(self, job: OutboxEntry, error: Exception) -> None:
        """Leave a job alone that cannot be sent, the longer the older it is."""
        refused = isinstance(error, MessageRefused)
        reason = str(error) if refused else f"Its message cannot be made ({type(error).__name__})."
        logger.log(
            logging.WARNING if refused else logging.ERROR,
            "Job %s stays in the outbox. %s",
            job.uuid,
            reason,
            exc_info=None if refused else error,
            extra={FIELDS: {"job": job.uuid, "task": job.task}},
        )
        self.broker_state = reason
        self.on_publish("refused", 1)
        pause = min(max(SHORTEST_DEFERMENT, (now() - job.created) // 2), LONGEST_DEFERMENT)
        self._outbox.defer(job, at=now(), until=now() + pause, reason=reason)

    def _on_sent(self, sent: list[OutboxEntry]) -> None:
        self.confirmed = self._greeted = time.monotonic()
        self.on_publish("sent", len(sent))
        failpoints.reach("after-publish")
        self.broker_state, self._unavailable = "ok", False
        self._mark_at = min(self._mark_at, self.confirmed + MARK_AFTER)
        self._unmarked += sent
        if len(self._unmarked) >= self._batch or self.confirmed >= self._mark_at:
            self._mark()

    def _mark(self) -> bool:
        """Mark the sent jobs in the record."""
        sent, self._unmarked, self._mark_at = self._unmarked, [], math.inf
        self._outbox.mark_published(sent, at=now())
        return False

    def _greet_after_silence(self) -> None:
        """Notice that the broker became unavailable, or available, while there is nothing to send."""
        if time.monotonic() < self._greeted + SILENCE:
            return
        self._greeted = time.monotonic()
        self._greet()
        self.confirmed = time.monotonic()
        if self._unavailable:
            self.broker_state, self._unavailable = "ok", False

    def _on_unavailable(self, error: BrokerUnavailable, jobs: Sequence[OutboxEntry]) -> None:
        """Give these jobs and those in memory back to the outbox, then pause."""
        if self.broker_state != str(error):
            logger.warning("%s Accepted jobs wait in the outbox.", error)
        self.broker_state, self._unavailable = str(error), True
        if not jobs:
            return
        self.on_publish("unavailable", len(jobs))
        unsent = [*jobs, *(self._memory.popleft() for _ in range(len(self._memory)))]
        try:
            self._mark()
            self._outbox.release(unsent, at=now())
        except DatabaseUnavailable:
            logger.debug("The jobs come due without being released.", exc_info=True)
        self._pause()

    def _pause(self) -> None:
        self._stopping.wait(self._interval)
