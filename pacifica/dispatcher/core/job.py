"""A job: its states, the transitions between them, and its frozen value.

A job is PENDING from the commit of its row until a worker claims it.

    PENDING ──claim──▶ STARTED ──▶ SUCCESS | FAILURE
       │                 │ ▲
       │               retry claim
       │                 ▼ │
       └──cancel──▶ REVOKED ◀── RETRY

SUCCESS, FAILURE and REVOKED are final: no transition leads out of them. A STARTED job whose worker died is claimed
again as the next attempt, so STARTED may follow STARTED.
"""

import os
import re
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any, NamedTuple

from .errors import BadId


class State(StrEnum):
    """The state of a job; the names are Celery's."""

    PENDING = "PENDING"
    STARTED = "STARTED"
    RETRY = "RETRY"
    SUCCESS = "SUCCESS"
    FAILURE = "FAILURE"
    REVOKED = "REVOKED"

    @property
    def final(self) -> bool:
        """Whether the job has ended; a final state never changes."""
        return self in FINAL


FINAL = frozenset({State.SUCCESS, State.FAILURE, State.REVOKED})
WAITING = frozenset({State.PENDING, State.RETRY})


@dataclass(frozen=True, slots=True)
class JobError:
    """The exception of a failed attempt: its class, its text and the formatted traceback.

    ``arguments`` are the exception's arguments as JSON values, from which Celery can raise it again. ``at`` is the line
    of the task's code where it was raised, such as ``lab.py:54``; empty if no line is known.
    """

    type: str
    message: str
    traceback: str = ""
    module: str = "builtins"
    arguments: Sequence[Any] = ()
    at: str = ""

    def summary(self) -> dict[str, str]:
        """The part that the history of the job keeps."""
        return {"type": self.type, "message": self.message} | ({"at": self.at} if self.at else {})


class EncodedArguments(NamedTuple):
    """The arguments of a job as stored in its row: the JSON text of a list and of an object."""

    args: str
    kwargs: str


@dataclass(frozen=True, slots=True)
class Job:
    """One dispatched run of a task: its row at the time when it was read.

    Times are microseconds since 1970 in UTC; ``None`` means that it has not happened. ``retries`` counts how often the
    task asked to run again, ``attempt`` how often a worker started it. ``holder`` is the id under which a worker has
    claimed it; ``cancel`` means that its cancellation was requested. ``headers`` are Celery's (callbacks, chain,
    group …), for a job that is part of a workflow. ``caller`` dispatched it ("" for an anonymous caller) and chose its
    ``labels``. ``traceparent`` is the W3C trace context of the dispatch, and ``progress`` the last progress that its
    task reported. ``target_queue`` and ``target_priority`` are the queue and the priority by Celery's routing.
    ``encoded`` is the text of the arguments, if it is already known; it is not a column.
    """

    uuid: str
    task: str
    args: Sequence[Any]
    kwargs: Mapping[str, Any]
    state: State
    created: int
    attempt: int = 0
    retries: int = 0
    max_attempts: int = 1
    queue: str | None = None
    priority: int | None = None
    eta: int | None = None
    expires: int | None = None
    due: int | None = None
    published: int | None = None
    started: int | None = None
    finished: int | None = None
    worker: str | None = None
    holder: str | None = None
    cancel: bool = False
    replay_of: str | None = None
    result: Any = None
    error: JobError | None = None
    headers: Mapping[str, Any] | None = None
    caller: str = ""
    labels: Mapping[str, str] | None = None
    traceparent: str | None = None
    progress: Mapping[str, Any] | None = None
    version: int = 0
    target_queue: str | None = None
    target_priority: int = 0
    encoded: EncodedArguments | None = field(default=None, repr=False, compare=False)

    @property
    def final(self) -> bool:
        """Whether the job has ended."""
        return self.state.final


@dataclass(frozen=True, slots=True)
class Event:
    """One entry in a job's history: ``kind`` is its new state, or names another event.

    ``id`` grows over the histories of all jobs.
    """

    id: int
    job: str
    at: int
    kind: str
    data: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Claim:
    """A worker's exclusive right to run one attempt of a job: only a report with its ``token`` counts.

    ``eta`` and ``expires`` are ``None`` for a job without them.
    """

    job: str
    token: str
    attempt: int
    args: Sequence[Any]
    kwargs: Mapping[str, Any]
    eta: int | None = None
    expires: int | None = None


class ClaimKey(NamedTuple):
    """The columns of a job's row that identify a claim."""

    job: str
    token: str


@dataclass(frozen=True, slots=True)
class OutboxEntry:
    """A job in the outbox: the contents of its message, and the version of the row that they come from."""

    uuid: str
    task: str
    version: int = 0
    retries: int = 0
    queue: str | None = None
    priority: int | None = None
    expires: int | None = None
    headers: Mapping[str, Any] | None = None
    created: int = 0


RETRIES_BEFORE = "retries_before"
"""The header with the retries of a job before its task was replaced by another one, which counts its own from 0."""
_UUID = re.compile(r"[0-9a-f]{32}|[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.ASCII | re.IGNORECASE)
_EPOCH = datetime(1970, 1, 1)  # noqa: DTZ001 - naive, but in UTC


def now() -> int:
    """The current time as stored in rows: microseconds since 1970 in UTC."""
    return time.time_ns() // 1000


def iso(micros: int | None) -> str | None:
    """The time of a row in ISO 8601 to the microsecond, with ``Z``."""
    if micros is None:
        return None
    return (_EPOCH + timedelta(microseconds=micros)).isoformat(timespec="microseconds") + "Z"


def micros(moment: datetime) -> int:
    """A datetime as stored in rows; a naive one is taken as UTC."""
    aware = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return (aware - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)


def parse_uuid(text: str) -> str:
    """The canonical form (lower case, with hyphens) of a UUID that a client wrote.

    Raises ``BadId`` for any other text, including the forms that only ``uuid.UUID`` accepts (braces, ``urn:uuid:``,
    hyphens anywhere, underscores, a sign).
    """
    if not _UUID.fullmatch(text):
        raise BadId(text)
    low = text.lower()
    return low if "-" in low else _canonical(low)


def _canonical(digits: str) -> str:
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"


class _Clock:
    """The wall clock in steps of 1/4096 of a millisecond; it never repeats a value or goes back."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._last = 0

    def tick(self) -> int:
        with self._lock:
            self._last = max((time.time_ns() << 12) // 1_000_000, self._last + 1)
            return self._last


_clock = _Clock()


def new_uuid() -> str:
    """A UUID of version 7 (RFC 9562, section 6.2, method 3): it sorts by time, and strictly within a process."""
    ticks = _clock.tick()
    tail = int.from_bytes(os.urandom(8), "big") & 0x3FFF_FFFF_FFFF_FFFF
    number = (ticks >> 12) << 80 | 0x7 << 76 | (ticks & 0xFFF) << 64 | 0b10 << 62 | tail
    return _canonical(f"{number:032x}")
