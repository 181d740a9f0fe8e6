"""What a Celery worker starts beside its pool: the record, a lease, a relay and the upkeep."""

import logging
import os
import secrets
import signal
import threading
from collections.abc import Callable, Collection, Sized
from typing import Any

from billiard import active_children, pool
from celery import bootsteps, signals
from celery.concurrency.base import BasePool
from celery.worker import state, strategy
from celery.worker.request import Request
from kombu.serialization import dumps

from .heartbeat import Lease
from .result_backend import CLAIM_KEY

logger = logging.getLogger(__name__)

LAST_READ = 5.0
"""Seconds that a pool's child waits, before it ends, for its parent to read its last message; billiard has 30.

A parent that ends reads no more. What it may miss is an acknowledgement: the record knows what became of the job.
"""
LAST_WORD = 5.0
"""Seconds that the processes of a pool have to end after they were told to, before they are killed."""
EX_FAILURE = 1
HEADERS = "application_headers"
"""AMQP's name, among a message's properties, of the headers that Celery's request has beside them."""

NO_WORKFLOW = {"callbacks": None, "errbacks": None, "chain": None, "chord": None}
JSON, _, USUAL_BODY = dumps(((), {}, NO_WORKFLOW), "json")
"""The body of most messages: a job's arguments are in its row, so only one that is part of a workflow says more."""
USUAL_BODIES = (USUAL_BODY, USUAL_BODY.encode())
"""As py-amqp gives it, which decodes it, and as the others do."""


class JobRequest(Request):  # type: ignore[misc]
    """A message that was delivered, with a token of its own, by which its attempt claims the job.

    The worker's main process knows it, too: what it says of a child that cannot report any more counts for
    that attempt alone. A child is given the body as it was read here, and the headers once.
    """

    def __init__(self, message: Any, **options: Any) -> None:
        super().__init__(message, **options)
        self._body, self._content_type, self._content_encoding = self._payload, None, None
        request = self._request_dict
        request[CLAIM_KEY] = secrets.token_hex(16)
        request["properties"] = {key: request["properties"][key] for key in request["properties"] if key != HEADERS}


def quietly(task: Any, app: Any, consumer: Any) -> Any:
    """Celery's way of taking a task's message, which says nothing of it: a job's claim is told.

    What most bodies say is known without decoding them.
    """
    take = strategy.default(task, app, consumer, info=_unsaid)

    def take_read(message: Any, *rest: Any) -> Any:
        if message.content_type == JSON and message.body in USUAL_BODIES:
            message._decoded_cache = [[], {}, NO_WORKFLOW]
        return take(message, *rest)

    return take_read


def _unsaid(*_: Any, **__: Any) -> None:
    """A line that is not made costs less than one that a filter leaves out."""


class RecordStep(bootsteps.StartStopStep):  # type: ignore[misc]
    """Wait for the database and check every task's signature, before the first message is taken."""

    def __init__(self, worker: Any, **kwargs: Any) -> None:
        super().__init__(worker, **kwargs)
        app = worker.app
        pool.GUARANTEE_MESSAGE_CONSUMPTION_RETRY_LIMIT = int(
            LAST_READ / pool.GUARANTEE_MESSAGE_CONSUMPTION_RETRY_INTERVAL
        )
        app.container.prepare()
        _ = (
            app.container.python_service,
            app.container.holder,
            app.container.tracing,
        )  # What children of a fork are to share is made before it.
        app.container.database.close()


class SparingStep(bootsteps.StartStopStep):  # type: ignore[misc]
    """Have the event loop leave the pipes to the children alone while there is nothing to write to them.

    Celery has it forget at each turn what it has forgotten already, at two system calls for a child.
    """

    requires = ("celery.worker.components:Pool",)

    def register_with_event_loop(self, worker: Any, hub: Any) -> None:
        """At the loop's first turn, when the pool, whose turn comes after this, has registered itself."""
        hub.call_soon(self._spare, worker, hub)

    @staticmethod
    def _spare(worker: Any, hub: Any) -> None:
        processes: Any = getattr(worker.pool, "_pool", None)
        prepare: Any = getattr(processes, "on_poll_start", None)
        if prepare in hub.on_tick:
            hub.on_tick.remove(prepare)
            hub.on_tick.add(_sparing(prepare, processes.outbound_buffer))


def _sparing(prepare: Callable[[], None], waiting: Sized) -> Callable[[], None]:
    """``prepare`` at each turn of the loop at which jobs are ``waiting``, and once after it."""
    forgotten = False

    def on_tick() -> None:
        nonlocal forgotten
        if waiting or not forgotten:
            prepare()
            forgotten = not waiting

    return on_tick


class LeaseStep(bootsteps.StartStopStep):  # type: ignore[misc]
    """Show the worker alive while it runs, publish what is due, and sign off when the pool has ended."""

    requires = (RecordStep, "celery.worker.components:Pool")

    def __init__(self, worker: Any, **kwargs: Any) -> None:
        super().__init__(worker, **kwargs)
        app = worker.app
        self._lease = Lease(
            app.container.workers,
            app.container.jobs,
            app.container.holder,
            worker.hostname,
            seconds=app.container.settings.dispatcher.lease_seconds,
            running=_in_hand,
            stop_job=lambda uuid: _stop_soon(worker, uuid),
        )
        stopped = worker.blueprint.on_stopped

        def sign_off() -> None:
            stopped()
            app.container.relay.stop()
            app.container.upkeep.stop()
            self._lease.stop()

        worker.blueprint.on_stopped = sign_off
        self._end = threading.Timer(app.container.settings.dispatcher.stop_seconds, self._end_now, (worker,))
        self._end.daemon = True
        signals.worker_shutting_down.connect(self._limit_warm_shutdown)

    def start(self, worker: Any) -> None:
        """Start the threads."""
        self._lease.start()
        worker.app.container.relay.start()
        worker.app.container.upkeep.start()

    def _limit_warm_shutdown(self, how: str, **_: Any) -> None:
        """After SIGTERM running jobs may finish for so long; a second SIGTERM changes nothing."""
        if how == "Warm" and not self._end.is_alive():
            self._end.start()

    def _end_now(self, worker: Any) -> None:
        """End with jobs in hand and put them back: by Celery's cold shutdown, or without it where that cannot end.

        The relay ends first, so that what is put back waits in the outbox for a worker or web server that stays.
        """
        worker.app.container.relay.stop(timeout=LAST_WORD)
        if _stops_jobs(worker.pool):
            os.kill(os.getpid(), signal.SIGQUIT)
            threading.Event().wait(LAST_WORD)
        logger.warning("Jobs that cannot be stopped are left behind; they are run again elsewhere.")
        for child in active_children():
            os.kill(child.pid, signal.SIGKILL)
        self._lease.stop()
        os._exit(EX_FAILURE)


def _stops_jobs(pool: Any) -> bool:
    """Whether this kind of pool can end a job; where it cannot, Celery's cold shutdown raises in the job's body."""
    return getattr(pool.terminate_job, "__func__", None) is not BasePool.terminate_job


def _in_hand() -> Collection[str]:
    """The claim tokens of all messages that this worker has.

    The sets belong to another thread and may change while they are read.
    """
    while True:
        try:
            requests = (*state.reserved_requests, *state.active_requests)
            return {request.request_dict.get(CLAIM_KEY, "") for request in requests}
        except RuntimeError:
            continue


def _stop_soon(worker: Any, uuid: str) -> None:
    """Terminate a job from the worker's own loop, which alone may speak to the broker."""
    worker.consumer.call_soon(_stop, worker, uuid)


def _stop(worker: Any, uuid: str) -> None:
    for request in [request for request in state.active_requests if request.id == uuid]:
        try:
            request.terminate(worker.pool, signal="TERM")
        except NotImplementedError:
            logger.warning("Job %s cannot be stopped in this kind of pool; it runs to its end.", uuid)
