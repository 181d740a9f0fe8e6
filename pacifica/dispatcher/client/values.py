"""What the service tells, as frozen values; ``document`` is each as it came, with whatever a newer service adds."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Required, Self, TypedDict, TypeVar

from ..core import strict_json
from ..core.errors import Fault
from ..core.job import JobError, State
from .errors import BadAnswer

Document = Mapping[str, Any]
Value = TypeVar("Value")
TYPE_PREFIX = "urn:pacifica-dispatcher:problem:"


class Options(TypedDict, total=False):
    """When, where and how urgently a job is to run; times are ISO 8601 with an offset, or seconds from now.

    A ``datetime`` that has an offset, and a ``timedelta``, are as good.
    """

    queue: str
    priority: int
    countdown: float | timedelta
    eta: str | datetime
    expires: str | float | datetime | timedelta
    max_attempts: int
    labels: Mapping[str, str]


class BatchItem(TypedDict, total=False):
    """One job of a batch."""

    task: Required[str]
    args: Sequence[Any]
    kwargs: Mapping[str, Any]
    options: Options


class Filters(TypedDict, total=False):
    """What a search looks for: all of it must hold.

    ``state`` may be several; ``label`` is ``NAME:VALUE``, ``NAME``, several of them, or a mapping in which ``None``
    stands for any value; ``since`` and ``until`` are ISO 8601 with an offset, or seconds before now; a
    ``datetime`` that has an offset, and a ``timedelta``, are as good.
    """

    task: str | None
    state: str | Sequence[str]
    label: str | Sequence[str] | Mapping[str, str | None]
    queue: str | None
    caller: str | None
    since: str | float | datetime | timedelta | None
    until: str | float | datetime | timedelta | None


@dataclass(frozen=True, slots=True)
class Problem:
    """Why something was refused (RFC 9457): ``code`` is the end of ``type``, ``errors`` name the single faults."""

    status: int
    type: str
    detail: str
    errors: Sequence[Fault]
    document: Document = field(repr=False)

    @property
    def code(self) -> str:
        """What to compare with, such as ``unknown-task``."""
        return self.type.rpartition(":")[2]

    @classmethod
    def of(cls, document: Document, status: int = 0) -> Self:
        """Of a problem document; whatever it leaves out is taken from the status."""
        faults = document.get("errors")
        return cls(
            status=int(document.get("status", status)),
            type=str(document.get("type", "about:blank")),
            detail=str(document.get("detail") or document.get("title") or f"The service answered {status}."),
            errors=tuple(
                Fault(str(fault.get("where", "")), str(fault.get("message", "")))
                for fault in (faults if isinstance(faults, list) else ())
                if isinstance(fault, dict)
            ),
            document=document,
        )

    @classmethod
    def bad_item(cls, detail: str) -> Self:
        """Of an item of a batch that cannot be sent at all, as the service would tell it."""
        told = {"title": "Bad Request", "status": 400, "detail": detail, "message": detail}
        return cls.of({"type": f"{TYPE_PREFIX}bad-request", **told})


@dataclass(frozen=True, slots=True)
class JobStatus:
    """A job as it stood when the service was asked; a time that is ``None`` has not come."""

    uuid: str
    task: str
    state: State
    result: Any
    error: JobError | None
    args: Sequence[Any]
    kwargs: Mapping[str, Any]
    attempt: int
    labels: Mapping[str, str]
    progress: Mapping[str, Any] | None
    worker: str | None
    replay_of: str | None
    created: datetime
    started: datetime | None
    finished: datetime | None
    document: Document = field(repr=False)

    @property
    def final(self) -> bool:
        """Whether the job has ended."""
        return self.state.final

    @property
    def seconds(self) -> float | None:
        """How long it ran, once it has ended."""
        if self.started is None or self.finished is None:
            return None
        return (self.finished - self.started).total_seconds()

    @classmethod
    def of(cls, document: Document) -> Self:
        """Of the JSON of a job."""
        error = document["error"]
        return cls(
            uuid=document["uuid"],
            task=document["task"],
            state=State(document["state"]),
            result=document["result"],
            error=None if error is None else JobError(error["type"], error["message"], error.get("traceback", "")),
            args=document["args"],
            kwargs=document["kwargs"],
            attempt=document["attempt"],
            labels=document["labels"],
            progress=document["progress"],
            worker=document["worker"],
            replay_of=document["replay_of"],
            created=datetime.fromisoformat(document["created"]),
            started=_moment(document["started"]),
            finished=_moment(document["finished"]),
            document=document,
        )


@dataclass(frozen=True, slots=True)
class JobEvent:
    """One entry of a job's history; ``id`` counts up through the histories of all jobs."""

    id: int
    job: str
    at: datetime
    kind: str
    data: Mapping[str, Any]
    document: Document = field(repr=False)

    @classmethod
    def of(cls, document: Document) -> Self:
        """Of the JSON of an event."""
        return cls(
            id=document["id"],
            job=document["job"],
            at=datetime.fromisoformat(document["at"]),
            kind=document["kind"],
            data=document.get("data", {}),
            document=document,
        )


@dataclass(frozen=True, slots=True)
class TaskInfo:
    """A task that can be dispatched, with the JSON Schemas (2020-12) of its arguments and its result."""

    name: str
    doc: str
    arguments: Document
    result: Document
    document: Document = field(repr=False)

    @classmethod
    def of(cls, document: Document) -> Self:
        """Of the JSON of a task."""
        return cls(document["name"], document["doc"], document["arguments"], document["result"], document)


@dataclass(frozen=True, slots=True)
class Readiness:
    """Whether the service accepts jobs, and its own word for how it is: ``ok``, ``degraded``, ``unavailable``."""

    ready: bool
    status: str
    document: Document = field(repr=False)


def read(make: Callable[[Document], Value], told: str | bytes | Document) -> Value:
    """The value of a document, or of its JSON; raises ``BadAnswer`` for one that is of another kind."""
    try:
        return make(strict_json.loads(told) if isinstance(told, (str, bytes)) else told)
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        raise BadAnswer(f"The service does not answer as a dispatcher does: {told!r:.200}.") from error


def _moment(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)
