"""A probe job: a job that is dispatched to see whether a service works, and followed from stage to stage."""

import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

from .errors import ClientError
from .remote import RemoteJob
from .values import JobStatus

POLL = 0.02
"""Seconds between two requests for the job's status."""
Pause = Callable[[float], object]


@dataclass(frozen=True, slots=True)
class ProbeStage:
    """A stage of a probe job: ``committed``, ``sent``, ``started`` or ``done``.

    ``reached`` is false for the stage that the job did not reach in time; no other follows it. ``seconds`` is how
    long the stage took by the clocks of server and worker, or ``None`` if the record lacks one of its two times.
    """

    name: str
    reached: bool
    job: JobStatus
    seconds: float | None = None


class _Rule(NamedTuple):
    """How a job shows that it has reached a stage, and the job's two times that bound the stage."""

    name: str
    reached: Callable[[JobStatus], object]
    start: str
    end: str


_RULES = (
    _Rule("sent", lambda job: job.document.get("published") or job.started or job.final, "created", "published"),
    _Rule("started", lambda job: job.worker, "published", "started"),
    _Rule("done", lambda job: job.final, "started", "finished"),
)


def stages_after_commit(job: RemoteJob, status: JobStatus, timeout: float, pause: Pause) -> Iterator[ProbeStage]:
    """Each stage as it is reached, at most ``timeout`` seconds after the one before; else the job is cancelled."""
    for rule in _RULES:
        end = time.monotonic() + timeout
        while not rule.reached(status) and not status.final and time.monotonic() <= end:
            pause(POLL)
            with suppress(ClientError):
                status = job.status()
        reached = bool(rule.reached(status))
        yield ProbeStage(rule.name, reached, status, _seconds(status, rule) if reached else None)
        if not reached:
            with suppress(ClientError):
                job.cancel()
            return


def _seconds(status: JobStatus, rule: _Rule) -> float | None:
    """The length of the stage; 0 if the broker delivered the message before its confirmation was recorded."""
    start, end = status.document.get(rule.start), status.document.get(rule.end)
    if start is None or end is None:
        return None
    return max(0.0, (datetime.fromisoformat(end) - datetime.fromisoformat(start)).total_seconds())
