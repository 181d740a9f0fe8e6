"""A worker's heartbeat: the thread that shows it alive, stops cancelled jobs, and puts lost ones back.

It runs in the worker's main process, beside any kind of pool. A task that blocks its child process, or holds that
process's interpreter lock for long, therefore does not make the worker look dead.
"""

import logging
import time
from collections.abc import Callable, Collection

from ..core.errors import DatabaseUnavailable
from ..core.job import ClaimKey, now
from ..core.periodic_thread import PeriodicThread
from ..store.committed_event import LOST
from ..store.work_queue import WorkQueue
from ..store.workers import Serving, WorkerStore

logger = logging.getLogger(__name__)

CHECK_EVERY = 2.0
"""Seconds between two checks for lost and cancelled jobs, at most; a check only reads, and a beat is rarer."""
MOST_HELD = 10_000
"""The most jobs of one worker that a check compares with the messages that it holds."""


class Heartbeat:
    """Moves the heartbeat of ``holder`` three times in its lease of ``seconds``, until it is stopped.

    ``running`` returns job and token of all claims that this worker holds; ``stop_job`` stops the job of a UUID;
    ``serving`` returns how many jobs the worker can run at once, and from which queues.
    """

    def __init__(  # noqa: PLR0913 - each is a part that the worker gives
        self,
        workers: WorkerStore,
        queue: WorkQueue,
        holder: str,
        name: str,
        *,
        seconds: float,
        running: Callable[[], Collection[tuple[str, str]]],
        stop_job: Callable[[str], None],
        serving: Callable[[], Serving] = Serving,
    ) -> None:
        self._workers = workers
        self._queue = queue
        self._holder = holder
        self._name = name
        self._beat_every = seconds / 3
        self._beaten = 0.0
        self._running = running
        self._stop_job = stop_job
        self._serving = serving
        self._missing: set[ClaimKey] = set()
        interval = min(CHECK_EVERY, self._beat_every)
        # Without this thread, a living worker would be declared dead again and again.
        self._thread = PeriodicThread("heartbeat", self._check, doing="keeping the heartbeat", interval=interval)

    def start(self) -> None:
        """Register the worker, then beat in a thread; raises ``DatabaseUnavailable``."""
        self._beat()
        self._thread.start()

    def stop(self) -> None:
        """End the thread, put back the jobs that the worker still holds, and sign off; no job may be running."""
        self._thread.stop(CHECK_EVERY + 5)
        try:
            held = self._workers.held(self._holder, limit=MOST_HELD)
            lost = self._queue.lose(held, reason="its worker was stopped", at=now())
            self._workers.forget([self._holder])
            if back := lost.count(LOST):
                logger.warning("%s put back; the next worker runs %s again.", *_jobs(back))
        except DatabaseUnavailable as error:
            logger.warning("This worker cannot sign off, and will be declared dead: %s", error)

    def _check(self) -> None:
        if time.monotonic() >= self._beaten + self._beat_every:
            self._beat()
        self._put_back_lost()
        for uuid in self._workers.to_cancel(self._holder):
            self._stop_job(uuid)

    def _beat(self) -> None:
        self._workers.beat(self._holder, self._name, at=now(), serving=self._serving())
        self._beaten = time.monotonic()

    def _put_back_lost(self) -> None:
        """Put back the jobs that this worker has claimed and no longer holds, if two checks in a row find the claim.

        A child leaves such a job when it dies, or when it gives up reporting to an unavailable database. One check
        is not enough: a job that is claimed between its two reads looks the same.
        """
        running = set(self._running())
        missing = {held for held in self._workers.held(self._holder, limit=MOST_HELD) if held not in running}
        lost = sorted(missing & self._missing)
        self._queue.lose(lost, reason="its process ended without a report", at=now())
        self._missing = missing


def _jobs(number: int) -> tuple[str, str]:
    return ("1 running job was", "it") if number == 1 else (f"{number} running jobs were", "them")
