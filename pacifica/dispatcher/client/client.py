"""The client of one service."""

import os
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from types import TracebackType
from typing import Any, Self, Unpack
from urllib.parse import quote
from uuid import uuid4

import requests
from urllib3 import Retry

from .batch import Batch
from .connection import ServiceConnection, parse
from .errors import BadAnswer
from .follow import Follower
from .probe import Pause, ProbeStage, stages_after_commit
from .remote import RemoteJob
from .retries import USUAL
from .serialization import plain, to_json
from .values import BatchItem, Document, Filters, JobEvent, JobStatus, Options, Problem, Readiness, TaskInfo, checked

DEFAULT_URL = "http://127.0.0.1:8050"
PAGE = 500
"""The number of jobs that a search requests at a time."""
EVENTS = 1000
"""The number of events that ``history`` requests at a time."""


class DispatcherClient:
    """A service at ``url``, by default at ``DISPATCHER_URL``, with the token of ``DISPATCHER_TOKEN``.

    The service may be silent for ``timeout`` seconds. A request that fails for the moment is sent again, without
    doing anything twice; of ``retries``, only ``total`` and the backoff count. Threads may share a client, unless its
    ``session`` does not allow it; a forked process must make a new one.
    """

    def __init__(
        self,
        url: str | None = None,
        *,
        token: str | None = None,
        timeout: float = 30.0,
        session: requests.Session | None = None,
        retries: Retry = USUAL,
    ) -> None:
        self.url = url or os.environ.get("DISPATCHER_URL") or DEFAULT_URL
        secret = token or os.environ.get("DISPATCHER_TOKEN")
        self.connection = ServiceConnection(self.url, secret, timeout, session, retries)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the open connections."""
        self.connection.close()

    def dispatch(
        self,
        task: str,
        /,
        *args: Any,
        options: Options | None = None,
        idempotency_key: str | None = None,
        **kwargs: Any,
    ) -> RemoteJob:
        """Dispatch a job; raises ``BadValue`` for arguments that are not JSON, ``Refused`` if the service refuses it.

        The same ``idempotency_key`` with the same arguments returns the same job for a day. Use ``dispatch_call`` for
        a task with an argument that is named ``options`` or ``idempotency_key``.
        """
        return self.dispatch_call(task, args, kwargs, options=options, idempotency_key=idempotency_key)

    def dispatch_call(
        self,
        task: str,
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
        *,
        options: Options | None = None,
        idempotency_key: str | None = None,
    ) -> RemoteJob:
        """Dispatch a job as ``dispatch`` does; its arguments may have any names."""
        text = to_json("The job", {"args": args, "kwargs": kwargs or {}, "options": options or {}})
        headers = {"Idempotency-Key": idempotency_key or uuid4().hex}
        answer = self.connection.send("POST", f"/dispatch/{quote(task, safe='')}", text=text, headers=headers)
        status = parse(JobStatus.of, answer.content)
        return RemoteJob(self.connection, status.uuid, status)

    def batch(
        self, items: Iterable[BatchItem | Problem], *, idempotency_key: str | None = None
    ) -> Iterator[RemoteJob | Problem]:
        """Yield for each item, in order, its job or its problem; a request holds at most 1,000 items.

        Nothing is sent before the first outcome is requested. The same ``idempotency_key`` with the same items
        yields the same jobs for a day, also after a run that was interrupted. A ``Problem`` among the items is its
        own outcome.
        """
        for outcome in Batch(self.connection, idempotency_key or uuid4().hex).outcomes(items):
            yield outcome if isinstance(outcome, Problem) else self.job(outcome)

    def job(self, uuid: str) -> RemoteJob:
        """A job that was dispatched earlier. No request is sent: its first method call fails if the job is unknown."""
        return RemoteJob(self.connection, str(uuid))

    def search(self, *, limit: int | None = None, **filters: Unpack[Filters]) -> Iterator[RemoteJob]:
        """The matching jobs, newest first; ``seen`` is the status of each when its page was requested."""
        if limit is not None and limit < 1:
            return
        left, seen = limit, set[str]()
        page = self.connection.json("GET", "/status", params=_query(filters, min(PAGE, limit or PAGE)))
        while True:
            found = parse(lambda document: [JobStatus.of(one) for one in document["jobs"]], page)
            for job in found[:left]:
                yield RemoteJob(self.connection, job.uuid, job)
            left = None if left is None else left - len(found)
            following = parse(_next_page, page)
            if following is None or (left is not None and left <= 0):
                return
            _note(following, seen)
            page = self.connection.json("GET", following)

    def events(self, after: int | None = None) -> Iterator[JobEvent]:
        """The events of all jobs after the event with that id, or from now on; it does not end.

        After a cut connection or a restart of the service it continues after the last event.
        """
        return iter(Follower(self.connection, "/events", after))

    def history(self, after: int = 0) -> Iterator[JobEvent]:
        """The events of all jobs after the event with that id, oldest first, up to now."""
        following, seen = f"/events?after={after}&limit={EVENTS}", set[str]()
        while True:
            page = self.connection.json("GET", following)
            found = parse(lambda document: [JobEvent.of(one) for one in document["events"]], page)
            yield from found
            reached, further = following, parse(_next_page, page)
            if further is None or further == reached:
                return
            _note(further, seen)
            following = further

    def tasks(self) -> list[TaskInfo]:
        """The tasks that can be dispatched."""
        document = self.connection.json("GET", "/tasks")
        return parse(lambda catalogue: [TaskInfo.of(one) for one in catalogue["tasks"]], document)

    def task(self, name: str) -> TaskInfo:
        """One task by its name."""
        return parse(TaskInfo.of, self.connection.json("GET", f"/tasks/{quote(name, safe='')}"))

    def openapi(self) -> Mapping[str, Any]:
        """The OpenAPI 3.1 document of the service."""
        document: Mapping[str, Any] = self.connection.json("GET", "/openapi.json")
        return document

    def ready(self) -> Readiness:
        """Whether the service accepts jobs; raises ``NotReachable`` if it does not answer."""
        answer = self.connection.send("GET", "/health/ready", takes=frozenset({503}))
        return parse(lambda verdict: Readiness(answer.status_code == 200, verdict["status"], verdict), answer.content)

    def probe_job(  # noqa: PLR0913 - each is optional
        self,
        task: str = "add",
        args: Sequence[Any] = (2, 2),
        *,
        queue: str | None = None,
        priority: int | None = None,
        timeout: float = 10.0,
        pause: Pause = time.sleep,
    ) -> Iterator[ProbeStage]:
        """Dispatch a job and yield each stage that it reaches: ``committed``, ``sent``, ``started``, ``done``.

        The first one that it does not reach within ``timeout`` seconds is the last, and the job is then cancelled.
        ``pause`` is called with the seconds between two looks at the job; an exception that it raises ends the
        probe. Raises the errors of ``dispatch``.
        """
        options: Options = {"expires": 3 * timeout + 60}
        if queue is not None:
            options["queue"] = queue
        if priority is not None:
            options["priority"] = priority
        began = time.monotonic()
        job = self.dispatch_call(task, args, options=options)
        status = job.seen or job.status()
        yield ProbeStage("committed", reached=True, job=status, seconds=time.monotonic() - began)
        yield from stages_after_commit(job, status, timeout, pause)


def _query(filters: Filters, limit: int) -> Mapping[str, Any]:
    """The query parameters of a search; requests omits those that are ``None``."""
    label = filters.get("label")
    if isinstance(label, Mapping):
        label = [name if value is None else f"{name}:{value}" for name, value in label.items()]
    times = {name: plain(name, filters.get(name)) for name in ("since", "until")}
    return {**filters, **times, "label": label, "limit": limit}


def _next_page(page: Document) -> str | None:
    """The path of the next page; raises ``TypeError`` if it is not a text."""
    path: str | None = checked(page, {"next": str | None})["next"]
    return path


def _note(path: str, seen: set[str]) -> None:
    """Add the path of a page; raises ``BadAnswer`` if the service named it before, as this would not end."""
    if path in seen:
        raise BadAnswer(f"The service names {path!r:.80} as the next page a second time.")
    seen.add(path)
