"""A worker's lease: the thread that shows it alive, stops what is cancelled, and gives back what it lost.

It runs in the worker's main process, beside whatever pool runs the jobs, so that a body that never
lets go of a child process, or of the interpreter for long, does not look like death.
"""

import logging
import time
from collections.abc import Callable, Collection

from ..core.errors import DatabaseUnavailable
from ..core.job import ClaimKey, now
from ..core.periodic_thread import PeriodicThread
from ..store.jobs import JobStore
from ..store.workers import WorkerStore

logger = logging.getLogger(__name__)

LOOK = 2.0
"""Seconds between two looks at what is held and what is to be cancelled; reads only, a beat is rarer."""
HELD = 10_000
"""Jobs of one worker that are compared with what it runs, at most."""


class Lease:
    """Renews the lease of ``holder``, which lasts ``seconds``, until it is stopped.

    ``running`` gives the claim tokens of what this worker has in hand, ``stop_job`` stops the job of a UUID.
    """

    def __init__(  # noqa: PLR0913 - each is a part that the worker gives
        self,
        workers: WorkerStore,
        jobs: JobStore,
        holder: str,
        name: str,
        *,
        seconds: float,
        running: Callable[[], Collection[str]],
        stop_job: Callable[[str], None],
    ) -> None:
        self._workers = workers
        self._jobs = jobs
        self._holder = holder
        self._name = name
        self._beat_every = seconds / 3
        self._beaten = 0.0
        self._running = running
        self._stop_job = stop_job
        self._missing: set[ClaimKey] = set()
        interval = min(LOOK, self._beat_every)
        # Without this thread a worker that lives would be declared dead.
        self._thread = PeriodicThread("lease", self._look, doing="renewing the lease", interval=interval)

    def start(self) -> None:
        """Register the worker, then renew its lease in a thread; raises ``DatabaseUnavailable``."""
        self._workers.beat(self._holder, self._name, at=now())
        self._beaten = time.monotonic()
        self._thread.start()

    def stop(self) -> None:
        """End the thread, put back what is still held, and sign off; the worker runs nothing any more."""
        self._thread.stop(LOOK + 5)
        try:
            for uuid, token in self._workers.held(self._holder, limit=HELD):
                self._jobs.lose(uuid, token=token, reason="its worker was stopped", at=now())
            self._workers.forget([self._holder])
        except DatabaseUnavailable as error:
            logger.warning("This worker cannot sign off, and will be found dead: %s", error)

    def _look(self) -> None:
        if time.monotonic() >= self._beaten + self._beat_every:
            self._workers.beat(self._holder, self._name, at=now())
            self._beaten = time.monotonic()
        self._reconcile()
        for uuid in self._workers.to_cancel(self._holder):
            self._stop_job(uuid)

    def _reconcile(self) -> None:
        """Put back what the record says is running here and is not, in two looks at the same claim.

        A child that died, or that gave up reporting to a database that was away, leaves such a job. What is
        claimed between the first look's two questions is in hand at the second look.
        """
        running = set(self._running())
        missing = {held for held in self._workers.held(self._holder, limit=HELD) if held.token not in running}
        for uuid, token in missing & self._missing:
            self._jobs.lose(uuid, token=token, reason="its process ended without a report", at=now())
        self._missing = missing
