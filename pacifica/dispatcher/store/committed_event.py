"""The value that a store passes to its ``on_event`` after the commit of a change, and the kinds of such events."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from ..core.job import JobError

SENT = "SENT"
"""The broker has confirmed the job's message. The history has no such event: the row has the time."""
CANCEL = "CANCEL"
"""The worker of a running job was asked to stop it."""
LOST = "LOST"
"""A job was put back because its worker was gone."""
RETURNED = "RETURNED"
"""A worker has given back a job that it had claimed and not begun."""
DROPPED = "DROPPED"
"""A claim was refused because the job was not waiting."""
LATE = "LATE"
"""A report was refused because its claim is not the current one."""
PROGRESS = "PROGRESS"
"""A running job has reported its progress."""
REPLACED = "REPLACED"
"""A running job's task has replaced itself by another one, which takes over the job."""
REFUSED = "REFUSED"
"""The broker did not accept the job's message."""
RESULT_AS_TEXT = "RESULT_AS_TEXT"
"""The result of an adopted task was no JSON, or too large, and only its text was stored."""
LACKS_TASK = "LACKS_TASK"
"""A worker received the job's message, and has no task of this name."""
REFUSED_MESSAGE = "REFUSED_MESSAGE"
"""A worker refused a message of no job. It is counted only: no history has such an event."""


class CommittedEvent(NamedTuple):
    """A committed change of a job, or a refused one; ``kind`` is the new state, or one of this module's constants.

    Times are in microseconds. A field is ``None`` if the statement of the change does not read it. ``reported``: the
    attempt reported the change, with its ``token``. ``ready`` is the earliest time at
    which it could have started: the creation of the job or its ``eta``.
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


OnEvent = Callable[[CommittedEvent], object]
