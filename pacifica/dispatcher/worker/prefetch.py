"""How many messages RabbitMQ sends a worker ahead: some for each pool process, and more while jobs are short.

A worker claims the jobs of all messages that it holds in one transaction. With eight messages, which is Celery's usual
number for two processes, it would take a transaction for a few jobs of a millisecond each: a worker with an empty task
runs six times as many jobs per second with as many messages as it runs jobs in a quarter of a second.
"""

import time
from typing import Any

from celery.concurrency.solo import TaskPool as SoloPool

from .job_writer import JobWriter

PERIOD = 0.25
"""Seconds between two looks; about the longest time that a message waits here while other workers are idle."""
NO_JOB_FOR = 60.0
"""Seconds for which a message of no job keeps the number as configured: the pool takes such messages, however long."""


class Prefetch:
    """Fits the number to the claims of the last period. ``fit`` is called each period, in the event loop's thread.

    The number stays as configured with a queue whose consumers have limits of their own (quorum queues, which also
    count how often a message returns), with Redis (where a message that returns is the last of its queue), and in a
    solo pool (whose jobs stop the event loop).
    """

    def __init__(self, consumer: Any, writer: JobWriter) -> None:
        self._consumer = consumer
        self._writer = writer
        self._more = 0
        self._claimed, self._looked = writer.claimed_messages, time.monotonic()
        self._fixed_until = 0.0

    def note_no_job(self) -> None:
        """The message of a task has come whose runs are no jobs."""
        self._fixed_until = time.monotonic() + NO_JOB_FOR

    def fit(self) -> None:
        """Set the number, and return messages to the broker if they would wait for long, as their jobs are long now."""
        claimed, usual = self._claims_per_period(), self._consumer.initial_prefetch_count
        if not (usual and self._may_change()):
            return
        buckets = [bucket for bucket in self._consumer.task_buckets.values() if bucket is not None and bucket.contents]
        fixed = bool(buckets) or time.monotonic() < self._fixed_until
        self._set(0 if fixed else max(claimed, self._more // 2))
        for bucket in buckets:  # These messages wait for the rate limit of their task.
            while len(bucket.contents) > usual:
                request, _ = bucket.contents.pop()
                request.give_back()
        most = usual + self._more
        waiting = self._writer.waiting_messages()
        if waiting > (2 * most if self._more else most):
            for request in self._writer.surrender(waiting - most):
                request.give_back()

    def _claims_per_period(self) -> int:
        """The jobs of messages that were claimed since the last look, for one period: the loop may have been late."""
        claimed, now = self._writer.claimed_messages, time.monotonic()
        periods = max(1.0, (now - self._looked) / PERIOD)
        lately = int((claimed - self._claimed) / periods)
        self._claimed, self._looked = claimed, now
        return lately

    def _may_change(self) -> bool:
        consumer = self._consumer
        solo = isinstance(consumer.pool, SoloPool)
        return consumer.connection.transport.driver_type == "amqp" and consumer.qos_global and not solo

    def _set(self, more: int) -> None:
        """Let the broker send so many more than configured; Celery's ``worker_eta_task_limit`` may bound it."""
        qos = self._consumer.qos
        if qos.max_prefetch is not None:
            more = min(more, self._more + max(0, qos.max_prefetch - qos.value))
        if more > self._more:
            qos.increment_eventually(more - self._more)
        elif more < self._more:
            qos.decrement_eventually(self._more - more)
        self._more = more
