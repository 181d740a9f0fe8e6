"""The Python client: ``DispatcherClient().dispatch("add", 2, 2).result()`` returns 4.

It imports requests and urllib3, but neither Celery nor CherryPy nor PeeWee.
"""

from urllib3 import Retry

from ..core.faults import Fault
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
from .probe import ProbeStage
from .remote import RemoteJob
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
    "ProbeStage",
    "Problem",
    "Readiness",
    "Refused",
    "RemoteJob",
    "Retry",
    "State",
    "TaskInfo",
    "TimedOut",
]
