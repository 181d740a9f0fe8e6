"""The service's answers as frozen values; ``document`` is the whole JSON, with members that a newer service adds."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from types import UnionType
from typing import Any, Required, Self, TypedDict

from ..core import strict_json
from ..core.faults import Fault
from ..core.job import JobError, State

Document = Mapping[str, Any]
Kind = type | UnionType
TEXT_OR_NULL, MAP_OR_NULL = str | None, dict | None
JOB: Mapping[str, Kind] = {
    **dict.fromkeys(("uuid", "task", "state", "created"), str),
    **dict.fromkeys(("worker", "replay_of", "started", "finished"), TEXT_OR_NULL),
    **dict.fromkeys(("error", "progress"), MAP_OR_NULL),
    **dict.fromkeys(("kwargs", "labels"), dict),
    "args": list,
    "attempt": int,
}
"""The types of a job's members."""
MORE_OF_JOB: Mapping[str, Kind] = {
    **dict.fromkeys(("caller", "queue", "traceparent", "eta", "expires", "published"), TEXT_OR_NULL),
    **dict.fromkeys(("retries", "max_attempts"), int),
    "priority": int | None,
}
"""The types of members that only ``document`` has, for those that it has."""
EVENT: Mapping[str, Kind] = {"id": int, "job": str, "at": str, "kind": str}
TASK: Mapping[str, Kind] = {"name": str, "doc": str, "arguments": dict, "result": dict}
TYPE_PREFIX = "urn:pacifica-dispatcher:problem:"


class Options(TypedDict, total=False):
    """When, where and how urgently a job runs.

    Times are ISO 8601 with an offset, seconds from now, a ``datetime`` with an offset, or a ``timedelta``.
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
    """The conditions of a search; a job must meet all of them.

    ``state`` may be one or several. ``label`` is ``NAME:VALUE``, ``NAME``, several of these, or a mapping in which
    ``None`` stands for any value. ``error`` is a text in the type or the message of a failed job's error. ``since``
    and ``until`` are ISO 8601 with an offset, seconds before now, a ``datetime`` with an offset, or a ``timedelta``.
    """

    task: str | None
    state: str | Sequence[str]
    label: str | Sequence[str] | Mapping[str, str | None]
    queue: str | None
    caller: str | None
    error: str | None
    since: str | float | datetime | timedelta | None
    until: str | float | datetime | timedelta | None


@dataclass(frozen=True, slots=True)
class Problem:
    """The reason why a request or an item was refused (RFC 9457); ``errors`` lists the individual faults."""

    status: int
    type: str
    detail: str
    errors: Sequence[Fault]
    document: Document = field(repr=False)

    @property
    def code(self) -> str:
        """The last part of ``type``, such as ``unknown-task``."""
        return self.type.rpartition(":")[2]

    @classmethod
    def of(cls, document: Document, status: int = 0) -> Self:
        """The problem of a document; missing members are derived from the status."""
        faults = document.get("errors")
        checked({"status": status, **document}, {"status": int})
        return cls(
            status=document.get("status", status),
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
    def in_answer(cls, body: bytes, status: int) -> Self | None:
        """The problem of an answer; ``None`` if its body is not a problem document."""
        try:
            document = strict_json.loads(body)
        except ValueError:
            return None
        try:
            return cls.of(checked(document, {"status": int}), status)
        except TypeError:
            return None

    @classmethod
    def bad_item(cls, detail: str) -> Self:
        """The problem of a batch item that cannot be sent, with the same members as one of the service."""
        members = {"title": "Bad Request", "status": 400, "detail": detail, "message": detail}
        return cls.of({"type": f"{TYPE_PREFIX}bad-request", **members})


@dataclass(frozen=True, slots=True)
class JobStatus:
    """The status of a job at the time of the answer; a time that is ``None`` has not come yet."""

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
        return self.state.final

    @property
    def seconds(self) -> float | None:
        """How long the job ran; ``None`` before it has ended."""
        if self.started is None or self.finished is None:
            return None
        return (self.finished - self.started).total_seconds()

    @classmethod
    def of(cls, document: Document) -> Self:
        checked(document, JOB)
        checked(document, {name: kind for name, kind in MORE_OF_JOB.items() if name in document})
        for name in ("eta", "expires", "published"):
            _moment(document.get(name))
        error = document["error"] and checked(document["error"], {"type": str, "message": str})
        return cls(
            uuid=document["uuid"],
            task=document["task"],
            state=State(document["state"]),
            result=document["result"],
            error=_job_error(error) if error else None,
            args=document["args"],
            kwargs=document["kwargs"],
            attempt=document["attempt"],
            labels=document["labels"],
            progress=document["progress"],
            worker=document["worker"],
            replay_of=document["replay_of"],
            created=_time(document["created"]),
            started=_moment(document["started"]),
            finished=_moment(document["finished"]),
            document=document,
        )


@dataclass(frozen=True, slots=True)
class JobEvent:
    """One entry of a job's history; ``id`` increases over the events of all jobs."""

    id: int
    job: str
    at: datetime
    kind: str
    data: Mapping[str, Any]
    document: Document = field(repr=False)

    @classmethod
    def of(cls, document: Document) -> Self:
        checked({"data": {}, **document}, {**EVENT, "data": dict})
        return cls(
            id=document["id"],
            job=document["job"],
            at=_time(document["at"]),
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
        checked(document, TASK)
        return cls(document["name"], document["doc"], document["arguments"], document["result"], document)


@dataclass(frozen=True, slots=True)
class Readiness:
    """Whether the service accepts jobs, and its own verdict: ``ok``, ``degraded`` or ``unavailable``."""

    ready: bool
    status: str
    document: Document = field(repr=False)


def checked(document: Any, kinds: Mapping[str, Kind]) -> Document:
    """The document; raises ``TypeError`` if it is not an object with members of these types."""
    if not isinstance(document, dict):
        raise TypeError("the answer is not an object")
    for name, kind in kinds.items():
        value = document.get(name, ...)
        if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
            raise TypeError(f"the member {name} is missing or has another type")
    return document


def _job_error(error: Document) -> JobError:
    return JobError(error["type"], error["message"], str(error.get("traceback", "")), at=str(error.get("at") or ""))


def _moment(text: str | None) -> datetime | None:
    return None if text is None else _time(text)


def _time(text: str) -> datetime:
    found = datetime.fromisoformat(text)
    if found.utcoffset() is None:
        raise ValueError("a time has no offset")
    return found
