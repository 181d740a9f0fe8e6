"""How many messages a worker's broker sends ahead: some for each pool process, and more while jobs are short.

A worker claims the jobs of all messages that it holds in one transaction. With eight messages, which is Celery's usual
number for two processes, it would take a transaction for a few jobs of a millisecond each: a worker with an empty task
runs six times as many jobs per second with as many messages as it runs jobs in a quarter of a second.
"""

import time
from typing import Any

from .job_writer import JobWriter

PERIOD = 0.25
"""Seconds between two looks; about the longest time that a message waits here while other workers are idle."""
PLAIN_FOR = 60.0
"""Seconds for which a plain message keeps the number as configured: the pool takes such messages, however long."""


class Prefetch:
    """Fits the number to the claims of the last period. ``fit`` is called each period, in the event loop's thread."""

    def __init__(self, consumer: Any, writer: JobWriter) -> None:
        self._consumer = consumer
        self._writer = writer
        self._more = 0
        self._claimed = writer.claimed_messages
        self._plain_until = 0.0

    def note_plain(self) -> None:
        """A plain message has come."""
        self._plain_until = time.monotonic() + PLAIN_FOR

    def fit(self) -> None:
        """Set the number, and return messages to the broker if they would wait for long, as their jobs are long now."""
        claimed = self._writer.claimed_messages - self._claimed
        self._claimed += claimed
        if not self._consumer.initial_prefetch_count:  # The configuration sets no limit.
            return
        # Messages that wait for their task's rate limit would be kept from other workers.
        limited = any(bucket.contents for bucket in self._consumer.task_buckets.values() if bucket is not None)
        fixed = limited or time.monotonic() < self._plain_until
        more = 0 if fixed else max(claimed, self._more // 2)
        qos = self._consumer.qos
        before = qos.value
        if more > self._more:
            qos.increment_eventually(more - self._more)
        elif more < self._more:
            qos.decrement_eventually(self._more - more)
        self._more += qos.value - before  # Celery's worker_eta_task_limit may bound it.
        most = self._consumer.initial_prefetch_count + self._more
        waiting = self._writer.waiting_messages()
        if waiting > 2 * most:
            for request in self._writer.surrender(waiting - most):
                request.give_back()
