"""The boot steps by which a worker's main process claims jobs, hands them to the pool, and reports their outcomes."""

import logging
import os
import queue
import signal
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from inspect import isgenerator
from typing import Any

from celery import bootsteps
from celery.concurrency.prefork import TaskPool
from celery.worker import state
from kombu.asynchronous import Hub
from kombu.common import ignore_errors

from ..core.job import now
from ..core.work import TasklessJob
from ..store.jobs import JobStore
from .begin_tokens import BeginTokens
from .claim import CLAIM_FIELD
from .hand_out import HandOut
from .job_writer import JobWriter
from .record_step import RecordStep

logger = logging.getLogger(__name__)

MOST_LANES = 64
"""The most pool processes whose messages may have several jobs: each needs three file descriptors."""
LAST_REPORTS = 5.0
"""Seconds in which a worker that ends stores its last reports."""
REST = 5.0
"""Seconds that a pool process has for the rest of a message, when the worker is connected to its broker again."""


class JobStep(bootsteps.StartStopStep):  # type: ignore[misc]
    """Make the parts that claim, hand out and report, before the pool forks."""

    requires = (RecordStep, "celery.worker.components:Pool")

    def __init__(self, worker: Any, **kwargs: Any) -> None:
        super().__init__(worker, **kwargs)
        container = worker.app.container
        processes = max(worker.max_concurrency or 0, worker.concurrency)
        spawns = issubclass(worker.pool_cls, TaskPool) and worker.pool_start_method != "fork"
        tokens = None if spawns else BeginTokens(min(processes, MOST_LANES))
        worker.hand_out = HandOut(worker, tokens)
        worker.hand_out.writer = container.writer = JobWriter(
            container.work_queue,
            container.queue_watch if container.row_queue else EventWatch(),
            worker.hand_out,
            worker=worker.hostname,
            holder=container.holder,
            queues=(lambda: consumed_queues(worker)) if container.row_queue else None,
            tasks=worker.app.tasks,
            defer=int(container.settings.dispatcher.republish_seconds * 1_000_000),
            on_taskless=lambda job: _note_taskless(worker, job),
        )
        on_stopped = worker.blueprint.on_stopped

        def store_last() -> None:
            container.writer.stop(LAST_REPORTS)
            worker.hand_out.give()
            on_stopped()

        worker.blueprint.on_stopped = store_last


class ClaimStep(bootsteps.StartStopStep):  # type: ignore[misc]
    """Claim jobs while the worker is connected to its broker; while it connects again, let running jobs end."""

    requires = ("celery.worker.consumer.tasks:Tasks",)

    def __init__(self, consumer: Any, **kwargs: Any) -> None:
        super().__init__(consumer, **kwargs)
        self._outage: OutageLoop | None = None

    def start(self, consumer: Any) -> None:
        self._end_outage()
        worker = consumer.controller
        worker.pool.flush = None  # Celery would drop sent messages with the connection; here their jobs are claimed.
        worker.hand_out.open(consumer.hub)
        worker.hand_out.writer.start()

    def stop(self, consumer: Any) -> None:
        self._end_outage()
        worker = consumer.controller
        worker.hand_out.close()
        ending = consumer.blueprint.state in {bootsteps.CLOSE, bootsteps.TERMINATE}
        if ending and consumer.task_consumer is not None:
            ignore_errors(consumer, consumer.task_consumer.cancel)  # Messages that return must not come again.
        worker.hand_out.writer.pause(for_good=ending)
        # Celery's pool writes to its processes in the first loop that it is registered with: that must be Celery's own.
        if consumer.hub is not None and consumer.pool_in_loop and not ending:
            self._outage = OutageLoop(worker.pool)

    terminate = shutdown = stop

    def _end_outage(self) -> None:
        outage, self._outage = self._outage, None
        if outage is not None:
            outage.end()


class OutageLoop:
    """A thread that runs an event loop for the pool alone, while the main thread waits for a broker.

    It is another loop than Celery's, which would read from the connection that the main thread opens.
    """

    def __init__(self, pool: Any) -> None:
        self._pool = pool
        self._loop = Hub()
        self._end_by: float | None = None
        self._thread = threading.Thread(target=self._run, name="outage-loop", daemon=True)
        self._thread.start()

    def end(self) -> None:
        """End the thread, once it has read the rest of each message of which it has read a part.

        A pool process that has not written the rest in time, such as one that was stopped, is killed: the next reader
        would take the rest for a message.
        """
        self._end_by = time.monotonic() + REST
        self._loop.call_soon(lambda: None)
        self._thread.join()

    def _run(self) -> None:
        self._pool.register_with_event_loop(self._loop)
        turns = self._loop.create_loop()
        while self._end_by is None or self._half_read():
            next(turns, None)
            if self._end_by is not None and time.monotonic() > self._end_by:
                self._kill_writers()
        self._loop.close()

    def _half_read(self) -> Sequence[int]:
        """The descriptors of the pool from which a part of a message was read."""
        return [fd for fd, (callback, _) in self._loop.readers.items() if isgenerator(callback)]

    def _kill_writers(self) -> None:
        """Kill the pool processes with half-written messages; the loop then sees their ends."""
        processes = self._pool._pool._fileno_to_outq  # noqa: SLF001 - nothing public names the process of a descriptor
        for fd in self._half_read():
            if fd in processes:
                logger.error("Pool process %d is killed: it has written a part of a message.", processes[fd].pid)
                os.kill(processes[fd].pid, signal.SIGKILL)
            else:
                self._loop.remove_reader(fd)


class EventWatch:
    """The watch of a worker whose jobs come as messages: only ``wake`` ends its sleep."""

    def __init__(self) -> None:
        # A signal handler may wake while its thread does so: this class of queue allows that, an Event does not.
        self._bell: queue.SimpleQueue[None] = queue.SimpleQueue()
        self._rung = False

    def wait(self, seconds: float) -> None:
        """Sleep until ``wake`` is called, or for that many seconds."""
        with suppress(queue.Empty):
            self._bell.get(timeout=seconds)
        self._rung = False

    def wake(self) -> None:
        """End the sleep, or the next one."""
        if not self._rung:
            self._rung = True
            self._bell.put(None)

    def close(self) -> None:
        """Do nothing: there is nothing to release."""


def claims_in_hand(worker: Any) -> set[tuple[str, str]]:
    """Job and token of all claims whose end this worker has yet to see.

    The event loop owns Celery's sets, and may change them while they are read, hence the loop.
    """
    own: set[tuple[str, str]] = worker.hand_out.in_hand() | worker.hand_out.writer.in_hand()
    while True:
        try:
            requests = (*state.reserved_requests, *state.active_requests)
        except RuntimeError:
            continue
        return own | {(request.id, request.request_dict.get(CLAIM_FIELD, "")) for request in requests}


def _note_taskless(worker: Any, job: TasklessJob) -> None:
    """Record in a job, once, that this worker lacks its task."""
    jobs: JobStore = worker.app.container.jobs
    jobs.lacks_task(job.uuid, task=job.task, worker=worker.hostname, retries=job.retries, at=now())


def consumed_queues(worker: Any) -> Sequence[str]:
    """The names of the queues that a worker serves; none while it is not connected to its broker."""
    consumer = worker.consumer and worker.consumer.task_consumer
    return [queue.name for queue in consumer.queues] if consumer else []
