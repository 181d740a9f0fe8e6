"""The value that a store passes to its ``on_event`` once a change of a job is committed."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from ..core.job import Job, JobError, OutboxEntry, State

SENT = "SENT"
"""The broker has confirmed the job's message. The history has no such event: the row has the time."""
CANCEL = "CANCEL"
"""The worker of a running job was asked to stop it."""
LOST = "LOST"
"""A job was put back, as its worker was gone."""
DROPPED = "DROPPED"
"""A claim was refused, as the job does not wait to be run."""
LATE = "LATE"
"""A report was refused, as the claim is not the current one."""
PROGRESS = "PROGRESS"
"""A running job has reported its progress."""
REFUSED = "REFUSED"
"""The broker did not accept the job's message."""


class JobEvent(NamedTuple):
    """A committed change of a job, or a refused one; ``kind`` is the new state, or one of this module's constants.

    Times are in microseconds. A field is ``None`` when the statement of the change does not know it. ``reported``:
    the attempt itself reported this, with its ``token``; ``ready`` is that of its ``Claim``.
    """

    kind: str
    job: str
    at: int
    token: str | None = None
    reported: bool = False
    task: str | None = None
    queue: str | None = None
    caller: str | None = None
    headers: Mapping[str, Any] | None = None
    attempt: int | None = None
    worker: str | None = None
    ready: int | None = None
    reason: str | None = None
    error: JobError | None = None


OnEvent = Callable[[JobEvent], object]


def ignore(_: JobEvent) -> None:
    """The default ``on_event``."""


def dispatched(job: Job) -> JobEvent:
    """The row of a new job is committed."""
    return JobEvent(State.PENDING.value, job.uuid, job.created, task=job.task, caller=job.caller, headers=job.headers)


def sent(entry: OutboxEntry, at: int) -> JobEvent:
    """The broker has confirmed the message of an outbox entry."""
    return JobEvent(SENT, entry.uuid, at, task=entry.task, queue=entry.queue, headers=entry.headers)
