"""How a worker's main process consumes messages: a message that it cannot use is refused, and never ends the worker.

Celery's setting ``worker_consumer`` names the class.
"""

import logging
from collections.abc import Callable
from functools import partial
from typing import Any

from billiard.pool import Pool as BilliardPool
from celery.exceptions import WorkerLostError
from celery.worker import loops
from celery.worker.consumer import Consumer
from kombu.message import Message

from ..core.errors import DatabaseUnavailable
from ..core.job import now
from ..delivery.existing_queues import accept_existing
from .job_request import JobRequest
from .message_check import fault_of
from .prefetch import PERIOD, Prefetch

logger = logging.getLogger(__name__)

LONGEST_SHOWN = 200
"""The most characters of a refused message's headers in the log."""
POOL_CHECK = 0.25
"""Seconds between two looks for pool processes that have ended.

Celery looks when a process closes its files, a moment before the kernel lets it know that the process has ended, and
then only every five seconds: a worker with ``--max-tasks-per-child`` stood still meanwhile.
"""


class JobConsumer(Consumer):  # type: ignore[misc]
    """Celery's consumer, which checks each message before Celery reads it, and survives what it cannot foresee."""

    pool_in_loop = False
    """Whether Celery's event loop has begun, with the pool."""

    def __init__(self, on_task_request: Callable[[Any], object], *arguments: Any, **options: Any) -> None:
        super().__init__(self._on_request, *arguments, **options)
        self._to_pool = on_task_request
        self._prefetch = Prefetch(self, self.app.container.writer)

    def _on_request(self, request: Any) -> None:
        """Claim the job of a received message; the pool takes that of a task of Celery itself, which is no job."""
        if isinstance(request, JobRequest):
            self.app.container.writer.claim(request)
        else:
            self._prefetch.note_no_job()
            self._to_pool(request)

    def connect(self) -> Any:
        """Connect to the broker; a queue that exists with other arguments is used as it is."""
        connection = super().connect()
        accept_existing(connection, self.app.amqp.queues.consume_from.values())
        return connection

    def register_with_event_loop(self, hub: Any) -> None:
        """Note that the event loop begins; the pool is registered just before."""
        super().register_with_event_loop(hub)
        self.pool_in_loop = True

    def cancel_active_requests(self) -> None:
        """Stop all running jobs, as on a cold shutdown; several may share a message of the pool."""
        super().cancel_active_requests()
        self.controller.hand_out.stop_shared()

    def loop(self, *arguments: Any) -> None:
        """Run Celery's event loop; an unforeseen error, such as an unreadable item in Redis, makes it reconnect."""
        run = loops.asynloop if self.hub else loops.synloop
        self.pool.did_start_ok = self._did_start
        self._prefetch = Prefetch(self, self.app.container.writer)  # Each connection begins with Celery's number.
        checks = (
            (
                self.hub.call_repeatedly(POOL_CHECK, self.pool.maintain_pool),
                self.hub.call_repeatedly(PERIOD, self._prefetch.fit),
            )
            if self.hub
            else ()
        )
        try:
            run(*arguments)
        except Exception as error:
            # For kombu a KeyError is an error of Redis's connection, as a lost file descriptor raises it. If the key
            # is a text, an item of a Redis list lacks it.
            unreadable = isinstance(error, KeyError) and isinstance(error.args[0], str)
            if isinstance(error, (*self.connection_errors, WorkerLostError)) and not unreadable:
                raise
            logger.exception("Unhandled exception while reading from the broker; the worker connects again")
            if not isinstance(error, self.channel_errors):
                self.count_refused()
            raise self.connection_errors[0](f"The connection is opened again after {type(error).__name__}.") from error
        finally:
            for check in checks:
                check.cancel()

    def _did_start(self) -> bool:
        """Whether the pool is usable at the start: a child that was killed is replaced, as at any later time.

        Celery ends the worker if this is false, as it must if children end by themselves, such as in a signal handler.
        """
        children = getattr(self.pool, "_pool", None)
        if not isinstance(children, BilliardPool):
            return True
        exited = children._join_exited_workers()  # noqa: SLF001 - did_start_ok() itself does not return how they ended
        return all(code < 0 for code in exited)

    def create_task_handler(self, *arguments: Any, **options: Any) -> Callable[[Message], None]:
        """Return the callback for a delivered message."""
        handle = super().create_task_handler(*arguments, **options)

        def receive(message: Message) -> None:
            if (fault := fault_of(message)) is not None:
                self.refuse(message, fault)
                return
            try:
                handle(message)
            except (*self.connection_errors, *self.channel_errors):
                raise
            except Exception as error:
                logger.exception("Unhandled exception while receiving a message")
                self.refuse(message, f"it cannot be received ({type(error).__name__})")

        return receive

    def refuse(self, message: Any, fault: str) -> None:
        """Drop a message with a line in the log, and count it."""
        given = getattr(message, "headers", None)
        if isinstance(given, dict):  # With the ids first, as the text is cut.
            given = {name: given[name] for name in ("id", "task") if name in given} | given
        headers = repr(given)
        shown = headers if len(headers) <= LONGEST_SHOWN else f"{headers[:LONGEST_SHOWN]}…"
        queue = getattr(message, "delivery_info", None) or {}
        where = queue.get("routing_key") if isinstance(queue, dict) else None
        logger.error("A message of queue %s is refused: %s. Its headers: %s", where, fault, shown)
        if isinstance(message, Message) and not message.acknowledged:
            message.reject_log_error(logger, (*self.connection_errors, *self.channel_errors))
        self.count_refused()

    def count_refused(self) -> None:
        """Add one to the metric of refused messages, without waiting for the database."""

        def count() -> None:
            try:
                self.app.container.event_counts.add_refused_message()
            except DatabaseUnavailable as error:
                logger.warning("A refused message is not counted: %s", error)

        self.app.container.writer.do(count)

    def on_decode_error(self, message: Any, exc: Exception) -> None:
        """Refuse a message whose body or headers kombu cannot read."""
        self.refuse(message, f"it cannot be decoded ({type(exc).__name__})")

    def on_unknown_message(self, body: Any, message: Message) -> None:  # noqa: ARG002 - Celery's signature
        """Refuse a message of no protocol."""
        self.refuse(message, "it is not a message of Celery")

    def on_invalid_task(self, body: Any, message: Message, exc: Exception) -> None:  # noqa: ARG002 - the same
        """Refuse a message that Celery finds wrong."""
        self.refuse(message, str(exc))

    def on_unknown_task(self, body: Any, message: Message, exc: Exception) -> None:  # noqa: ARG002 - the same
        """Drop the message, which is published again later, and have the writer's thread record why in the job."""
        message.reject_log_error(logger, self.connection_errors)
        self.app.container.writer.do(partial(self._record_unknown_task, message))

    def _record_unknown_task(self, message: Message) -> None:
        uuid, task = message.headers["id"], message.headers["task"]
        try:
            job = self.app.container.jobs.get(uuid)
            if job is None:
                self.refuse(message, f"this worker has no task {task}, and there is no job {uuid}")
                return
            retries = message.headers.get("retries") or 0
            self.app.container.jobs.lacks_task(uuid, task=task, worker=self.hostname, retries=retries, at=now())
        except DatabaseUnavailable as error:
            logger.warning("Task %s of job %s is not known here, which cannot be recorded: %s", task, uuid, error)
