"""The boot steps that a Celery worker runs beside its pool: the record, the heartbeat, the relay and the upkeep."""

import logging
import os
import signal
import threading
from collections.abc import Collection
from typing import Any

from billiard import active_children, pool
from celery import bootsteps, signals
from celery.concurrency.base import BasePool
from celery.worker import state

from ..config.ini import PlaceFault
from ..core import parent_watch
from ..core.errors import ConfigError
from ..core.name_limits import MAX_WORKER
from . import soft_limit
from .claim import CLAIM_FIELD
from .heartbeat import Heartbeat

logger = logging.getLogger(__name__)

LAST_READ = 5.0
"""Seconds that a pool process waits at its end for the main process to read its last message; billiard waits 30.

A main process that is ending reads no more messages. It can miss only an acknowledgement: the outcome is in the record.
"""
KILL_AFTER = 5.0
"""Seconds from the signal that ends a pool's processes to SIGKILL."""


class RecordStep(bootsteps.StartStopStep):  # type: ignore[misc]
    """Check the worker's name and every task, and wait for the database, before the first message is received."""

    def __init__(self, worker: Any, **kwargs: Any) -> None:
        super().__init__(worker, **kwargs)
        parent_watch.start(os.environ)
        container = worker.app.container
        _check_name(worker.hostname)
        pool.GUARANTEE_MESSAGE_CONSUMPTION_RETRY_LIMIT = int(
            LAST_READ / pool.GUARANTEE_MESSAGE_CONSUMPTION_RETRY_INTERVAL
        )
        soft_limit.install()
        worker.app.log_tasks()  # A fault is reported before a database is made or awaited.
        container.prepare()
        # Forked children share what exists before the fork.
        _ = container.python_service, container.holder, container.tracing
        container.database.close()


def _check_name(name: str) -> None:
    if not name.isprintable():  # Such as bytes of the command line that are not UTF-8; PostgreSQL stores no such text.
        message = "it has characters that cannot be printed. Start the worker with another -n."
        raise ConfigError([PlaceFault("", "", f"the worker's name {name[:40]!a}", message)])
    if len(name) > MAX_WORKER:
        message = (
            f"it has {len(name)} characters; at most {MAX_WORKER} are allowed. Start the worker with a shorter -n."
        )
        raise ConfigError([PlaceFault("", "", f"the worker's name {name[:40]}…", message)])


class HeartbeatStep(bootsteps.StartStopStep):  # type: ignore[misc]
    """Keep the worker's heartbeat, relay and upkeep running, and sign off after the pool has ended."""

    requires = (RecordStep, "celery.worker.components:Pool")

    def __init__(self, worker: Any, **kwargs: Any) -> None:
        super().__init__(worker, **kwargs)
        container = worker.app.container
        self._heartbeat = Heartbeat(
            container.workers,
            container.jobs,
            container.holder,
            worker.hostname,
            seconds=container.settings.dispatcher.lease_seconds,
            running=_claims_in_hand,
            stop_job=lambda uuid: _stop_soon(worker, uuid),
        )
        on_stopped = worker.blueprint.on_stopped

        def sign_off() -> None:
            on_stopped()
            container.relay.stop()
            container.upkeep.stop()
            self._heartbeat.stop()

        worker.blueprint.on_stopped = sign_off
        self._deadline = threading.Timer(container.settings.dispatcher.stop_seconds, self._end_now, (worker,))
        self._deadline.daemon = True
        # A cold shutdown may first wait for jobs at their soft limit, if the configuration says so.
        patience = KILL_AFTER + float(worker.app.conf.worker_soft_shutdown_timeout or 0)
        self._last = threading.Timer(patience, self._kill)
        self._last.daemon = True
        self._killing = threading.Lock()
        signals.worker_shutting_down.connect(self._limit_shutdown)

    def start(self, worker: Any) -> None:
        self._heartbeat.start()
        worker.app.container.relay.start()
        worker.app.container.upkeep.start()

    def _limit_shutdown(self, how: str, **_: Any) -> None:
        """After SIGTERM, running jobs have ``stop_seconds`` to finish; a second SIGTERM changes nothing.

        After SIGQUIT they are put back at once, also those that do not end.
        """
        timer = self._deadline if how == "Warm" else self._last
        if timer.ident is None:
            timer.start()

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
        self._killing.acquire()  # For good.
        logger.warning("Ending with jobs that cannot be stopped; another worker will run them again.")
        for child in active_children():
            os.kill(child.pid, signal.SIGKILL)
        self._heartbeat.stop()
        os._exit(1)


def _can_stop_jobs(pool: Any) -> bool:
    """Whether this kind of pool can stop a job; in others, Celery's cold shutdown raises inside the task function."""
    return getattr(pool.terminate_job, "__func__", None) is not BasePool.terminate_job


def _claims_in_hand() -> Collection[str]:
    """The claim tokens of all messages that this worker holds.

    Another thread owns the sets and may change them while they are read, hence the loop.
    """
    while True:
        try:
            requests = (*state.reserved_requests, *state.active_requests)
            return {request.request_dict.get(CLAIM_FIELD, "") for request in requests}
        except RuntimeError:
            continue


def _stop_soon(worker: Any, uuid: str) -> None:
    """Stop a job from the worker's own event loop, the only thread that may use the broker connection."""
    worker.consumer.call_soon(_stop, worker, uuid)


def _stop(worker: Any, uuid: str) -> None:
    for request in [request for request in state.active_requests if request.id == uuid]:
        try:
            request.terminate(worker.pool, signal="TERM")
        except NotImplementedError:
            logger.warning("Job %s cannot be stopped in this kind of pool; it will run to its end.", uuid)
