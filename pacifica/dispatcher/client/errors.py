"""The errors that the client raises.

ClientError
├── BadAddress    the service's URL is not valid
├── BadToken      the token contains characters that cannot be sent
├── BadValue      a given value cannot be sent, such as an argument that is not JSON
├── NotReachable  the service does not answer, or answers that it is unavailable
├── BadAnswer     the answer did not come from a dispatcher
├── Refused       the service refused the request; its problem document gives the reason
├── TimedOut      the given time is over; also a ``TimeoutError``
└── NoResult      the job has ended without a result
    ├── JobFailed   its task failed, with a type and a message
    └── JobRevoked  it was cancelled, or it expired
"""

from collections.abc import Sequence
from typing import Literal

from ..core.faults import Fault
from ..core.job import State
from ..core.picklable_error import PicklableError
from .values import JobStatus, Problem

FailureKind = Literal["timed-out", "unknown-host", "refused", "tls", "broken", "unavailable"]


class ClientError(PicklableError):
    """The root; ``str()`` of any instance is a sentence for a person."""


class BadAddress(ClientError, ValueError):
    """The service's URL is not valid."""


class BadToken(ClientError, ValueError):
    """The token contains characters that cannot be sent. The message does not repeat it, as it is a secret."""


class BadValue(ClientError, ValueError):
    """A given value cannot be sent; no request was made."""


class NotReachable(ClientError):
    """The service does not answer, or it answers that it is unavailable.

    ``kind`` is the reason. For ``unavailable``, ``problem`` is the answer of the service, if it sent one, and
    ``retry_after`` the number of seconds for which it asked not to be tried again.
    """

    def __init__(
        self, message: str, kind: FailureKind, problem: Problem | None = None, retry_after: float = 0.0
    ) -> None:
        super().__init__(message)
        self.kind = kind
        self.problem = problem
        self.retry_after = retry_after


class BadAnswer(ClientError):
    """The answer is not one that a dispatcher gives, such as an error page of a proxy."""


class Refused(ClientError):
    """The service refused the request."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.detail)
        self.problem = problem

    @property
    def status(self) -> int:
        return self.problem.status

    @property
    def code(self) -> str:
        """The last part of the problem's type, such as ``unknown-task``."""
        return self.problem.code

    @property
    def errors(self) -> Sequence[Fault]:
        """The individual faults of the request, if the service lists them."""
        return self.problem.errors


class TimedOut(ClientError, TimeoutError):
    """The given time is over; the job goes on. ``job`` is its last known status, if there is one."""

    def __init__(self, message: str, job: JobStatus | None = None) -> None:
        super().__init__(message)
        self.job = job


class NoResult(ClientError):
    """The job has ended without a result; ``type`` and ``message`` are those of its error."""

    def __init__(self, job: JobStatus) -> None:
        self.job = job
        self.type = job.error.type if job.error else job.state.value
        self.message = job.error.message if job.error else ""
        place = f" at {job.error.at}" if job.error and job.error.at else ""
        reason = f": {self.type}: {self.message}" if job.error else ""
        super().__init__(f"Job {job.uuid} ({job.task}) {self._ended}{place}{reason}".rstrip(".") + ".")

    _ended = "ended without a result"

    @staticmethod
    def of(job: JobStatus) -> "NoResult":
        """The error for a job that has ended, and not as SUCCESS."""
        return JobRevoked(job) if job.state is State.REVOKED else JobFailed(job)


class JobFailed(NoResult):
    """The task raised an exception; ``type`` is its class, ``message`` its text."""

    _ended = "failed"


class JobRevoked(NoResult):
    """The job was cancelled, or it expired before a worker started it."""

    _ended = "was revoked"
