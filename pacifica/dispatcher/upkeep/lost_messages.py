"""Jobs that wait for a worker although the broker has lost their message: they are published again."""

import logging
import time
from collections.abc import Sequence
from typing import Protocol

from ..core.job import now
from ..store.outbox import Kind, Outbox

logger = logging.getLogger(__name__)

BATCH = 5000
"""The most jobs of one queue that are published again at a time."""
COUNTED = 100_000
"""The most jobs of a kind that are counted."""
END_OF_TIME = 2**63 - 1
RELAY_LEASE = 30_000_000
"""Microseconds; a job that a relay has taken is due at most so far in the future."""
LONGEST_DEFERMENT = 3_600_000_000
"""Microseconds; a job that the broker refused, or whose task is missing or has a rate limit, is put off by no more."""


class Queues(Protocol):
    """The queues of the broker."""

    def queue_of(self, task: str, queue: str | None) -> str | None:
        """The queue for jobs of this task, or for those that name a ``queue``; ``None`` if it is not known."""

    def ready(self, name: str) -> int | None:
        """The number of messages in a queue that no worker has received; ``None`` if it is not known."""


class LostMessages:
    """Compares, every ``republish / 4`` seconds, the jobs that wait for longer than ``republish`` with the queues.

    A queue shows only how many messages it holds, not which. It delivers them in order, so the messages that were
    sent first are the likeliest to be lost.

    At the same time it makes jobs due that wait only because a clock was set back, or runs ahead.
    """

    def __init__(self, outbox: Outbox, queues: Queues, *, republish: float) -> None:
        self._outbox = outbox
        self._queues = queues
        self._republish = republish
        self._next = 0.0

    def publish_again(self) -> None:
        """Put the jobs whose message is lost back into the outbox."""
        if time.monotonic() < self._next:
            return
        self._next = time.monotonic() + self._republish / 4
        self._outbox.recall(at=now(), lease=RELAY_LEASE, longest=LONGEST_DEFERMENT)
        queues: dict[str, list[Kind]] = {}
        for kind in self._outbox.waiting():
            if (name := self._queues.queue_of(*kind)) is not None:
                queues.setdefault(name, []).append(kind)
        for name, kinds in queues.items():
            if lost := self._lost(name, kinds):
                logger.warning(
                    "More jobs wait for queue %s than it holds messages: %d are published again.", name, len(lost)
                )
                self._outbox.send_again(lost, at=now())

    def _lost(self, name: str, kinds: Sequence[Kind]) -> list[str]:
        late = now() - int(self._republish * 1_000_000)
        overdue = sum(self._outbox.count_sent(kind, since=0, until=late, limit=COUNTED) for kind in kinds)
        if not overdue or (ready := self._queues.ready(name)) is None:
            return []
        recent = sum(self._outbox.count_sent(kind, since=late, until=END_OF_TIME, limit=COUNTED) for kind in kinds)
        missing = min(BATCH, overdue - max(0, ready - recent))
        if missing <= 0:
            return []
        first = [sent for kind in kinds for sent in self._outbox.sent_first(kind, until=late, limit=missing)]
        return [uuid for _, uuid in sorted(first)[:missing]]
