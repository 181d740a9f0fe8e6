"""Jobs whose worker is dead: they are put back, for another worker."""

from ..core.errors import DatabaseUnavailable
from ..core.job import now
from ..core.liveness import Liveness
from ..store.work_queue import WorkQueue
from ..store.workers import WorkerStore

BATCH = 500
"""The most jobs of one dead worker that one call puts back."""


class LostJobs:
    """Observes the workers' heartbeats, which stop for ``lease`` seconds when a worker dies."""

    def __init__(self, workers: WorkerStore, queue: WorkQueue, *, lease: float) -> None:
        self._workers = workers
        self._queue = queue
        self._liveness = Liveness(lease)

    def observe(self) -> set[str]:
        """Look once and return the dead workers; raises ``DatabaseUnavailable``.

        A process that is not the leader observes, too, so that it knows the dead workers when it becomes the leader.
        """
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

    def put_back(self) -> None:
        """Look once, and put back the jobs of the dead workers."""
        for holder in self.observe():
            held = self._workers.held(holder, limit=BATCH)
            self._queue.lose(held, reason="its worker died", at=now())
            if len(held) < BATCH:
                self._workers.forget([holder])
