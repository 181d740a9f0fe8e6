"""The boot steps that a Celery worker runs beside its pool: the record, the heartbeat, the relay and the upkeep."""

import logging
import os
import signal
import threading
from contextlib import suppress
from typing import Any

from billiard import active_children
from celery import bootsteps, signals
from celery.concurrency.base import BasePool

from ..store.workers import Serving
from .heartbeat import Heartbeat
from .job_steps import LAST_REPORTS, JobStep, claims_in_hand, consumed_queues
from .shutdown_limit import Limit, ShutdownLimit

logger = logging.getLogger(__name__)

KILL_AFTER = 5.0
"""Seconds from the signal that ends a pool's processes to SIGKILL."""


class HeartbeatStep(bootsteps.StartStopStep):  # type: ignore[misc]
    """Keep the worker's heartbeat, relay and upkeep running, and sign off after the pool has ended."""

    requires = (JobStep, "celery.worker.components:Pool")

    def __init__(self, worker: Any, **kwargs: Any) -> None:
        super().__init__(worker, **kwargs)
        container = worker.app.container
        self._heartbeat = Heartbeat(
            container.workers,
            container.work_queue,
            container.holder,
            worker.hostname,
            seconds=container.settings.dispatcher.lease_seconds,
            running=lambda: claims_in_hand(worker),
            stop_job=lambda uuid: _stop_soon(worker, uuid),
            serving=lambda: Serving(worker.pool.num_processes, consumed_queues(worker)),
        )
        self._writer = container.writer
        on_stopped = worker.blueprint.on_stopped

        def sign_off() -> None:
            on_stopped()
            container.relay.stop()
            container.upkeep.stop()
            self._heartbeat.stop()

        worker.blueprint.on_stopped = sign_off
        wait = worker.wait_for_soft_shutdown

        def begin_cold_shutdown() -> None:
            self._begin_shutdown("Cold")
            wait()

        worker.wait_for_soft_shutdown = begin_cold_shutdown  # Celery sends its signal when all jobs have ended.
        # A cold shutdown may first wait for jobs at their soft limit, if the configuration says so.
        patience = KILL_AFTER + float(worker.app.conf.worker_soft_shutdown_timeout or 0)
        warm = Limit(container.settings.dispatcher.stop_seconds, lambda: self._end_now(worker))
        self._limit = ShutdownLimit({"Warm": warm, "Cold": Limit(patience, self._kill)})
        signals.worker_shutting_down.connect(self._begin_shutdown)
        # Celery takes it in handlers of signals, and one of these may interrupt another.
        signals.worker_shutting_down.lock = threading.RLock()

    def start(self, worker: Any) -> None:
        self._limit.start()
        self._heartbeat.start()
        if not worker.app.container.row_queue:
            worker.app.container.relay.start()
        worker.app.container.upkeep.start()

    def _begin_shutdown(self, how: str, **_: Any) -> None:
        """After SIGTERM, running jobs have ``stop_seconds`` to finish; a second SIGTERM changes nothing.

        After SIGQUIT they are put back at once, also those that do not end. The event loop may then stand still for
        Celery's soft shutdown, and hands out no job.
        """
        if how == "Cold":
            self._writer.claim_no_more()
        self._limit.begin(how)

    def _end_now(self, worker: Any) -> None:
        """End the worker and put its running jobs back, by Celery's cold shutdown where the pool supports it.

        The relay ends first: another process must publish the jobs that are put back.
        """
        worker.app.container.relay.stop(timeout=KILL_AFTER)
        if _can_stop_jobs(worker.pool):
            os.kill(os.getpid(), signal.SIGQUIT)
            threading.Event().wait(KILL_AFTER)
        self._kill()

    def _kill(self) -> None:
        """End this process and its children with SIGKILL, after their jobs were put back."""
        logger.warning("Ending with jobs that cannot be stopped; another worker will run them again.")
        for child in active_children():
            with suppress(ProcessLookupError):
                os.kill(child.pid, signal.SIGKILL)
        try:
            self._writer.stop(LAST_REPORTS)
            self._heartbeat.stop()
        finally:
            os._exit(1)


def _can_stop_jobs(pool: Any) -> bool:
    """Whether this kind of pool can stop a job; in others, Celery's cold shutdown raises inside the task function."""
    return getattr(pool.terminate_job, "__func__", None) is not BasePool.terminate_job


def _stop_soon(worker: Any, uuid: str) -> None:
    """Stop a job from the worker's own event loop, the only thread that may use the broker connection."""
    worker.consumer.call_soon(_stop, worker, uuid)


def _stop(worker: Any, uuid: str) -> None:
    try:
        worker.hand_out.stop_job(uuid)
    except NotImplementedError:
        logger.warning("Job %s cannot be stopped in this kind of pool; it will run to its end.", uuid)
