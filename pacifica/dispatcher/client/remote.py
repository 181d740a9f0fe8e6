"""One job of the service: its status, its result, its events, and the requests that change it."""

import math
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote
from uuid import uuid4

import requests

from ..core.job import State
from .connection import ServiceConnection, parse
from .errors import NoResult, Refused, TimedOut
from .follow import Follower
from .retries import Deadline, retry_after_seconds
from .values import JobEvent, JobStatus

LONG_POLL = 30.0
"""The longest time in seconds for which one request waits; the service may shorten it."""
POLL = 1.0
"""Seconds between two requests when the service does not wait because it has too many waiters."""


@dataclass(frozen=True, slots=True)
class RemoteJob:
    """A job by its UUID; ``seen`` is its status when this object was made, if that is known.

    Each method sends a request, and raises a ``ClientError`` when it fails.
    """

    connection: ServiceConnection = field(repr=False, compare=False)
    uuid: str
    seen: JobStatus | None = field(default=None, repr=False, compare=False)

    def status(self) -> JobStatus:
        """The current status."""
        return _status(self.connection.send("GET", self._path()))

    def wait(self, timeout: float | None = None) -> JobStatus:
        """The status once the job has ended, in whatever state; raises ``TimedOut`` after ``timeout`` seconds."""
        if self.seen is not None and self.seen.final:
            return self.seen
        deadline = Deadline(timeout)
        while True:
            answer = self._long_poll(deadline)
            job = _status(answer)
            if job.final:
                return job
            if deadline.over:
                after = f" after {timeout:g} s" if timeout else ""
                raise TimedOut(f"Job {self.uuid} ({job.task}) is still {job.state}{after}.", job)
            if "Preference-Applied" not in answer.headers:
                time.sleep(deadline.left(retry_after_seconds(answer.headers.get("Retry-After")) or POLL))

    def result(self, timeout: float | None = None) -> Any:
        """Wait for the task's return value; raises ``JobFailed``, ``JobRevoked`` and ``TimedOut``."""
        job = self.wait(timeout)
        if job.state is State.SUCCESS:
            return job.result
        raise NoResult.of(job)

    def cancel(self) -> JobStatus:
        """Revoke a job that waits, or have its worker stop one that runs; returns the status after that.

        Cancelling a revoked job again is not an error. Raises ``Refused`` (``already-final``) if the job has ended
        in another state.
        """
        try:
            return _status(self.connection.send("DELETE", self._path()))
        except Refused as error:
            if error.problem.document.get("state") != State.REVOKED:
                raise
            return self.status()

    def retry(self, *, idempotency_key: str | None = None) -> "RemoteJob":
        """A new job with the same task and arguments."""
        headers = {"Idempotency-Key": idempotency_key or uuid4().hex}
        status = _status(self.connection.send("POST", f"{self._path()}/retry", headers=headers))
        return RemoteJob(self.connection, status.uuid, status)

    def history(self) -> list[JobEvent]:
        """The job's events up to now, oldest first."""
        document = self.connection.json("GET", f"{self._path()}/events")
        return parse(lambda page: [JobEvent.of(one) for one in page["events"]], document)

    def events(self, after: int | None = None) -> Iterator[JobEvent]:
        """The job's events after the event with that id, those to come included, until the job has ended."""
        return iter(Follower(self.connection, f"{self._path()}/events", after))

    def _path(self) -> str:
        return f"/status/{quote(self.uuid, safe='')}"

    def _long_poll(self, deadline: Deadline) -> requests.Response:
        """One long poll; ``Prefer`` takes whole seconds only, so less than one is sent in the query."""
        seconds = deadline.left(LONG_POLL)
        headers = {"Prefer": f"wait={math.floor(seconds)}"} if seconds >= 1 else {}
        params = {} if headers else {"wait": f"{seconds:.3f}"}
        return self.connection.send(
            "GET", self._path(), headers=headers, params=params, deadline=deadline, wait=seconds
        )


def _status(answer: requests.Response) -> JobStatus:
    return parse(JobStatus.of, answer.content)
