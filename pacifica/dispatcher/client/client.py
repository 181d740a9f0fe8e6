"""The client: one object for one service."""

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from types import TracebackType
from typing import Any, Self, Unpack
from urllib.parse import quote
from uuid import uuid4

import requests

from .batch import Batch
from .connection import Connection
from .follow import Follower
from .outgoing import json_of, plain
from .remote import RemoteJob
from .retries import Retries
from .values import BatchItem, Filters, JobEvent, JobStatus, Options, Problem, Readiness, TaskInfo, read

URL = "http://127.0.0.1:8050"
PAGE = 500
"""Jobs that a search asks for at once."""
EVENTS = 1000
"""Events that are asked for at once."""


class DispatcherClient:
    """A service at ``url``, by default at ``DISPATCHER_URL``, with the token of ``DISPATCHER_TOKEN``.

    ``timeout`` is for how many seconds the service may be silent. What fails for a moment is tried again, as
    ``retries`` says, and does nothing twice. Threads may share a client (one with a ``session`` of its own only as
    far as that allows it); a process that was forked makes another.
    """

    def __init__(
        self,
        url: str | None = None,
        *,
        token: str | None = None,
        timeout: float = 30.0,
        session: requests.Session | None = None,
        retries: Retries | None = None,
    ) -> None:
        self.url = url or os.environ.get("DISPATCHER_URL") or URL
        secret = token or os.environ.get("DISPATCHER_TOKEN") or None
        self._connection = Connection(self.url, secret, timeout, session, retries or Retries())

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections that are open."""
        self._connection.close()

    def dispatch(
        self,
        task: str,
        /,
        *args: Any,
        options: Options | None = None,
        idempotency_key: str | None = None,
        **kwargs: Any,
    ) -> RemoteJob:
        """A new job; ``BadValue`` for arguments that are not JSON, ``Refused`` for what the service does not take.

        The same ``idempotency_key`` with the same arguments is the same job for a day. An argument of the task that is
        named ``options`` or ``idempotency_key`` can be given with ``dispatch_call``.
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
        """The same with the arguments as values, whatever their names are."""
        text = json_of("The job", {"args": args, "kwargs": kwargs or {}, "options": options or {}})
        headers = {"Idempotency-Key": idempotency_key or uuid4().hex}
        answer = self._connection.send("POST", f"/dispatch/{quote(task, safe='')}", text=text, headers=headers)
        found = read(JobStatus.of, answer.content)
        return RemoteJob(self._connection, found.uuid, found)

    def batch(
        self, items: Iterable[BatchItem | Problem], *, idempotency_key: str | None = None
    ) -> Iterator[RemoteJob | Problem]:
        """For each item in order its job, or why there is none; they are sent in requests of at most 1,000.

        Nothing is sent before the outcomes are asked for. The same ``idempotency_key`` with the same items gives
        the same jobs for a day, also when the first time ended in the middle. An item that is a ``Problem``
        already is its own outcome.
        """
        for outcome in Batch(self._connection, idempotency_key or uuid4().hex).outcomes(items):
            yield outcome if isinstance(outcome, Problem) else self.job(outcome)

    def job(self, uuid: str) -> RemoteJob:
        """A job that was dispatched before; whether there is one shows when it is asked about."""
        return RemoteJob(self._connection, str(uuid))

    def search(self, *, limit: int | None = None, **filters: Unpack[Filters]) -> Iterator[RemoteJob]:
        """All jobs that fit, newest first, as they stood (``seen``) when their page was asked for."""
        if limit is not None and limit < 1:
            return
        left = limit
        page = self._connection.json("GET", "/status", params=_query(filters, min(PAGE, limit or PAGE)))
        while True:
            found = read(lambda told: [JobStatus.of(one) for one in told["jobs"]], page)
            for job in found[:left]:
                yield RemoteJob(self._connection, job.uuid, job)
            left = None if left is None else left - len(found)
            following = read(lambda told: told["next"], page)
            if following is None or (left is not None and left <= 0):
                return
            page = self._connection.json("GET", following)

    def events(self, after: int | None = None) -> Iterator[JobEvent]:
        """What happens to all jobs behind that event, or from now on; without an end.

        It goes on behind the last event after a cut connection and after a restart of the service.
        """
        return iter(Follower(self._connection, "/events", after))

    def history(self, after: int = 0) -> Iterator[JobEvent]:
        """What has happened to all jobs behind that event, oldest first, until now."""
        following = f"/events?after={after}&limit={EVENTS}"
        while True:
            page = self._connection.json("GET", following)
            found = read(lambda told: [JobEvent.of(one) for one in told["events"]], page)
            yield from found
            reached, following = following, read(lambda told: str(told["next"]), page)
            if reached == following:
                return

    def tasks(self) -> list[TaskInfo]:
        """What can be dispatched."""
        document = self._connection.json("GET", "/tasks")
        return read(lambda told: [TaskInfo.of(one) for one in told["tasks"]], document)

    def task(self, name: str) -> TaskInfo:
        """One of them."""
        return read(TaskInfo.of, self._connection.json("GET", f"/tasks/{quote(name, safe='')}"))

    def openapi(self) -> Mapping[str, Any]:
        """The service's description of itself (OpenAPI 3.1)."""
        document: Mapping[str, Any] = self._connection.json("GET", "/openapi.json")
        return document

    def ready(self) -> Readiness:
        """Whether the service accepts jobs; ``NotReachable`` when there is none."""
        answer = self._connection.send("GET", "/health/ready", takes=frozenset({503}))
        return read(lambda told: Readiness(answer.status_code == 200, told["status"], told), answer.content)


def _query(filters: Filters, limit: int) -> Mapping[str, Any]:
    """The parameters of a search; requests leaves out what is ``None``."""
    label = filters.get("label")
    if isinstance(label, Mapping):
        label = [name if value is None else f"{name}:{value}" for name, value in label.items()]
    times = {name: plain(name, filters.get(name)) for name in ("since", "until")}
    return {**filters, **times, "label": label, "limit": limit}
