"""Talk to a dispatcher from Python: ``DispatcherClient().dispatch("add", 2, 2).result()`` is 4.

It needs requests alone, and neither Celery nor CherryPy nor PeeWee is imported.
"""

from ..core.errors import Fault
from ..core.job import State
from .client import DispatcherClient
from .errors import (
    BadAddress,
    BadAnswer,
    BadToken,
    BadValue,
    ClientError,
    JobFailed,
    JobRevoked,
    NoResult,
    NotReachable,
    Refused,
    TimedOut,
)
from .remote import RemoteJob
from .retries import Retries
from .values import BatchItem, JobEvent, JobStatus, Options, Problem, Readiness, TaskInfo

__all__ = [
    "BadAddress",
    "BadAnswer",
    "BadToken",
    "BadValue",
    "BatchItem",
    "ClientError",
    "DispatcherClient",
    "Fault",
    "JobEvent",
    "JobFailed",
    "JobRevoked",
    "JobStatus",
    "NoResult",
    "NotReachable",
    "Options",
    "Problem",
    "Readiness",
    "Refused",
    "RemoteJob",
    "Retries",
    "State",
    "TaskInfo",
    "TimedOut",
]
