"""The messages between a worker and the record in a turn: reports of attempts, and claims of the next jobs.

Times are microseconds since 1970 in UTC; ``args``, ``kwargs``, ``result`` and ``headers`` are JSON texts, as stored.
"""

from collections.abc import Container, Mapping, Sequence
from typing import Any, NamedTuple

from .job import Job, JobError


class WantedJobs(NamedTuple):
    """The jobs that a worker would run next: at most ``limit`` of these queues.

    A job of another task than ``tasks``, if they are given, is due again after ``defer`` microseconds.
    """

    queues: Sequence[str]
    limit: int
    tasks: Container[str] | None = None
    defer: int = 60_000_000


class TasklessJob(NamedTuple):
    """A due job whose task the worker does not have; it was not claimed."""

    uuid: str
    task: str
    retries: int


class MessageClaim(NamedTuple):
    """A delivered message of a broker: its job, and the count of retries in the message.

    ``new`` is the job that the message brings, for a message whose job may have no row; ``redelivered`` says that the
    broker has delivered it before, to a worker that did not acknowledge it.
    """

    uuid: str
    retries: int
    new: Job | None = None
    redelivered: bool = False


class ClaimedJob(NamedTuple):
    """A job that a worker has claimed; ``queue`` and ``priority`` are its target."""

    uuid: str
    task: str
    args: str
    kwargs: str
    token: str
    attempt: int
    retries: int
    created: int
    eta: int | None
    expires: int | None
    queue: str | None
    priority: int
    headers: str | None


class Ended(NamedTuple):
    """An attempt has ended in the final ``state``; the history keeps ``data``.

    ``as_text`` is the reason why ``result`` is only the text of the task's result.
    """

    uuid: str
    token: str
    state: str
    result: str | None
    error: JobError | None
    at: int
    data: Mapping[str, Any]
    as_text: str = ""


class RetriedReport(NamedTuple):
    """An attempt asks to be run again at ``eta``; ``columns`` are new values of others of ``CHANGED_BY_RETRY``."""

    uuid: str
    token: str
    at: int
    eta: int
    retries: int
    args: str
    kwargs: str
    error: JobError
    columns: Mapping[str, Any]


class LostReport(NamedTuple):
    """An attempt was lost: the job is to be run again, or fails if no attempts are left."""

    uuid: str
    token: str
    at: int
    reason: str


class Returned(NamedTuple):
    """A worker gives back a job that it has not begun; ``due`` is ``None`` if the job's message comes again."""

    uuid: str
    token: str
    at: int
    due: int | None


Report = Ended | RetriedReport | LostReport | Returned


class Turn(NamedTuple):
    """The answer to a worker's turn, in the order of its reports and messages.

    ``outcomes`` has for each report the kind of its event, such as the new state; ``None`` if the report came too late.
    ``claims`` has for each message the claimed job; ``None`` if the job is not waiting for it. ``taskless`` are due
    jobs whose task this worker does not have.
    """

    outcomes: Sequence[str | None]
    rows: Sequence[ClaimedJob]
    claims: Sequence[ClaimedJob | None]
    taskless: Sequence[TasklessJob] = ()
