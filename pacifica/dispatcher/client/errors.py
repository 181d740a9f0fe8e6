"""What can go wrong for somebody who talks to a dispatcher.

ClientError
├── BadAddress    the URL of the service is none
├── BadToken      the token cannot be sent
├── BadValue      what was given cannot be sent, such as an argument that is not JSON
├── NotReachable  nobody answers there, or only that the service cannot work now
├── BadAnswer     what answers there is not a dispatcher
├── Refused       the service says no; its problem document tells why
├── TimedOut      the time that was given is over; a ``TimeoutError``, too
└── NoResult      the job has ended without a result
    ├── JobFailed   its task failed, with a type and a message
    └── JobRevoked  it was cancelled, or it expired
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ..core.errors import Fault
from ..core.job import State

if TYPE_CHECKING:
    from .values import JobStatus, Problem


class ClientError(Exception):
    """The root; ``str()`` of any instance is a sentence for a person."""


class BadAddress(ClientError, ValueError):
    """The URL of the service is none."""


class BadToken(ClientError, ValueError):
    """The token cannot be sent; it is a secret, and so not told."""


class BadValue(ClientError, ValueError):
    """What was given cannot be sent; nothing was."""


class NotReachable(ClientError):
    """Nobody answers; ``problem`` is there when somebody did, and said that it cannot be done now.

    ``retry_after`` is for how many seconds the service asked to be left alone.
    """

    def __init__(self, told: str, problem: "Problem | None" = None, retry_after: float = 0.0) -> None:
        super().__init__(told)
        self.problem = problem
        self.retry_after = retry_after


class BadAnswer(ClientError):
    """What came is not what a dispatcher answers, such as the page of a proxy."""


class Refused(ClientError):
    """The service says no."""

    def __init__(self, problem: "Problem") -> None:
        super().__init__(problem.detail)
        self.problem = problem

    @property
    def status(self) -> int:
        """The HTTP status."""
        return self.problem.status

    @property
    def code(self) -> str:
        """The end of the problem's type, such as ``unknown-task``."""
        return self.problem.code

    @property
    def errors(self) -> Sequence[Fault]:
        """Each thing that is wrong with the request, when the service names them."""
        return self.problem.errors


class TimedOut(ClientError, TimeoutError):
    """The time that was given is over; the job goes on. ``job`` is how it stood last, if that is known."""

    def __init__(self, told: str, job: "JobStatus | None" = None) -> None:
        super().__init__(told)
        self.job = job


class NoResult(ClientError):
    """The job has ended without a result; ``type`` and ``message`` say why, as far as its task did."""

    def __init__(self, job: "JobStatus") -> None:
        self.job = job
        self.type = job.error.type if job.error else job.state.value
        self.message = job.error.message if job.error else ""
        told = f": {self.type}: {self.message}" if job.error else ""
        super().__init__(f"Job {job.uuid} ({job.task}) {self._ended}{told}".rstrip(".") + ".")

    _ended = "ended without a result"

    @staticmethod
    def of(job: "JobStatus") -> "NoResult":
        """The error of a job that has not succeeded."""
        return JobRevoked(job) if job.state is State.REVOKED else JobFailed(job)


class JobFailed(NoResult):
    """The task raised an exception; ``type`` is its class, ``message`` its text."""

    _ended = "failed"


class JobRevoked(NoResult):
    """The job was cancelled, or it expired before a worker was free."""

    _ended = "was revoked"
