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

from ..core import failpoints
from ..core.errors import BrokerUnavailable, DatabaseUnavailable, MessageRefused
from ..core.job import OutboxEntry, now
from ..logs.formatters import FIELDS
from ..service.verbs import HAND_OVER
from ..store.outbox import Outbox

logger = logging.getLogger(__name__)

MEMORY = 10_000
"""Jobs held in memory at most; those beyond it are swept from the table when they come due."""
KEPT = HAND_OVER - 1_000_000
"""The age, in microseconds, at which the memory lets a job go: any relay may sweep it up soon, and send it twice."""
LEASE = 30_000_000
"""Microseconds that a sweep keeps its jobs from other relays: longer than publishing them may take."""
SHORTEST_DEFERMENT, LONGEST_DEFERMENT = 5_000_000, 3_600_000_000
"""Microseconds that a job which the broker refuses is left alone; in between, half of its age."""
NOTED_AFTER = 0.05
"""Seconds until the record is told of what was sent: a worker that claims a job within them has said so already.

Much shorter than any relay leaves a job alone, so that nobody sends it again meanwhile.
"""
PACE = 0.002
"""Seconds between two rounds, at least: what comes faster goes together; what comes after a pause does not wait."""
SILENCE = 5.0
"""Seconds without anything to send after which the broker is asked whether it is there."""


class Relay:
    """Publishes jobs until it is stopped.

    ``publish`` raises ``BrokerUnavailable``, and ``MessageRefused`` for what is wrong with one of the messages; it
    may then have sent others. ``greet`` asks the broker for an answer, and raises ``BrokerUnavailable``.

    ``interval`` is the seconds between two sweeps, ``batch`` the jobs of one round. ``on_publish`` is told what
    became of how many messages, and ``confirmed`` is when the broker answered last, by the monotonic clock.
    """

    def __init__(
        self,
        outbox: Outbox,
        publish: Callable[[Sequence[OutboxEntry]], None],
        greet: Callable[[], None] = lambda: None,
        *,
        interval: float,
        batch: int,
    ) -> None:
        self._outbox = outbox
        self._publish = publish
        self._greet = greet
        self._asked = -math.inf
        self._away = False
        self._interval = interval
        self._batch = batch
        self._memory: deque[OutboxEntry] = deque()
        self._unnoted: list[OutboxEntry] = []
        self._noting = math.inf
        self._paced = -math.inf
        self._wake = threading.Event()
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None
        self._ahead = math.inf
        self.broker_state = "ok"
        self.confirmed: float | None = None
        self.on_publish: Callable[[str, int], object] = lambda _outcome, _messages: None

    def hand_over(self, job: OutboxEntry) -> None:
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
                self._keep_pace()
                self._round(self._drain)
            if not self._memory and not self._stopping.is_set():
                self._wake.wait(max(0.0, min(next_sweep, self._noting) - time.monotonic()))
            if time.monotonic() >= self._noting:
                self._round(self._note)
        while self._memory:
            self._round(self._drain)
        self._round(self._note)

    def _keep_pace(self) -> None:
        """Wait until the last round is a moment ago, unless there is enough for a whole one."""
        pause = self._paced + PACE - time.monotonic()
        if pause > 0 and len(self._memory) < self._batch:
            self._stopping.wait(pause)
        self._paced = time.monotonic()

    def _round(self, step: Callable[[], bool]) -> bool:
        """Go one step; whether there may be more to do right behind it."""
        try:
            return step()
        except DatabaseUnavailable as error:
            logger.warning("The relay goes on when the database does: %s", error)
            self._pause()
            return False
        except Exception:
            # Without this thread nothing would be sent any more, and nobody would know.
            logger.exception("The relay goes on, after an error that nobody has thought of.")
            self._pause()
            return False

    def _publish_these(self, batch: list[OutboxEntry]) -> bool:
        """Publish one batch; whether there may be another one right behind it."""
        try:
            if not batch:
                self._ask_broker()
            elif sent := self._send(batch):
                self.confirmed = time.monotonic()
                self.on_publish("sent", len(sent))
                failpoints.reach("after-publish")
                self.broker_state, self._away, self._asked = "ok", False, self.confirmed
                self._noting = min(self._noting, self.confirmed + NOTED_AFTER)
                self._unnoted += sent
                if len(self._unnoted) >= self._batch or self.confirmed >= self._noting:
                    self._note()
        except BrokerUnavailable as error:
            self._broker_is_away(error, batch)
            return False
        return len(batch) == self._batch

    def _note(self) -> bool:
        """Tell the record what was sent."""
        sent, self._unnoted, self._noting = self._unnoted, [], math.inf
        self._outbox.mark_published(sent, at=now())
        return False

    def _ask_broker(self) -> None:
        """Where nothing is sent, nobody would learn that the broker has gone, or is back."""
        if time.monotonic() < self._asked + SILENCE:
            return
        self._asked = time.monotonic()
        self._greet()
        self.confirmed = time.monotonic()
        if self._away:
            self.broker_state, self._away = "ok", False

    def _send(self, batch: list[OutboxEntry], *, again: bool = True) -> list[OutboxEntry]:
        """Publish the batch, in halves when something in it cannot be sent; returns what was sent.

        A message that was refused alone is sent once more, as a queue that is gone is then declared again.
        """
        try:
            self._publish(batch)
        except (BrokerUnavailable, DatabaseUnavailable):
            raise
        except Exception as error:  # noqa: BLE001 - whatever it is, it keeps no other job back, and is logged
            half = len(batch) // 2
            if half:
                return self._send(batch[:half]) + self._send(batch[half:])
            if again and isinstance(error, MessageRefused):
                return self._send(batch, again=False)
            self._defer(batch[0], error)
            return []
        return batch

    def _defer(self, job: OutboxEntry, error: Exception) -> None:
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

    def _sweep(self) -> bool:
        ahead = time.time() - time.monotonic()
        if ahead < self._ahead - 1:  # The clock went back, or may have done so before this process was started.
            self._outbox.recall(at=now(), lease=LEASE)
        self._ahead = ahead
        return self._publish_these(self._outbox.take(at=now(), lease=LEASE, limit=self._batch))

    def _drain(self) -> bool:
        taken = [self._memory.popleft() for _ in range(min(len(self._memory), self._batch))]
        oldest = now() - KEPT
        return self._publish_these([job for job in taken if job.created > oldest])

    def _broker_is_away(self, error: BrokerUnavailable, batch: Sequence[OutboxEntry]) -> None:
        if self.broker_state != str(error):
            logger.warning("%s Accepted jobs wait in the outbox.", error)
        self.broker_state, self._away = str(error), True
        if not batch:
            return
        self.on_publish("unavailable", len(batch))
        unsent = [*batch, *(self._memory.popleft() for _ in range(len(self._memory)))]
        try:
            self._note()
            self._outbox.release(unsent, at=now())
        except DatabaseUnavailable:
            logger.debug("the batch comes due by itself", exc_info=True)
        self._pause()

    def _pause(self) -> None:
        self._stopping.wait(self._interval)
