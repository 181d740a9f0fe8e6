"""One job of the service, to ask about, wait for and steer."""

import math
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote
from uuid import uuid4

import requests

from ..core.job import State
from .connection import Connection
from .errors import NoResult, Refused, TimedOut
from .follow import Follower
from .retries import Deadline, asked_pause
from .values import JobEvent, JobStatus, read

LONG_POLL = 30.0
"""The longest time that one request waits, in seconds; the service may keep it shorter."""
RELOOK = 1.0
"""Seconds between two looks at a job while the service waits for nobody."""


@dataclass(frozen=True, slots=True)
class RemoteJob:
    """A job by its UUID; ``seen`` is how it stood when it was handed out, if that is known.

    Each method asks the service, and raises a ``ClientError`` when it cannot.
    """

    connection: Connection = field(repr=False, compare=False)
    uuid: str
    seen: JobStatus | None = field(default=None, repr=False, compare=False)

    def status(self) -> JobStatus:
        """The job as it stands now."""
        return self._status(self.connection.send("GET", self._path()))

    def wait(self, timeout: float | None = None) -> JobStatus:
        """The job once it has ended, however it did; raises ``TimedOut`` after ``timeout`` seconds."""
        if self.seen is not None and self.seen.final:
            return self.seen
        deadline = Deadline(timeout)
        while True:
            answer = self._ask_to_wait(deadline)
            job = self._status(answer)
            if job.final:
                return job
            if deadline.over:
                after = f" after {timeout:g} s" if timeout else ""
                raise TimedOut(f"Job {self.uuid} ({job.task}) is still {job.state}{after}.", job)
            if "Preference-Applied" not in answer.headers:
                time.sleep(deadline.left(asked_pause(answer.headers.get("Retry-After")) or RELOOK))

    def result(self, timeout: float | None = None) -> Any:
        """What the task returned, once it has; raises ``JobFailed``, ``JobRevoked`` and ``TimedOut``."""
        job = self.wait(timeout)
        if job.state is State.SUCCESS:
            return job.result
        raise NoResult.of(job)

    def cancel(self) -> JobStatus:
        """Have it revoked, or its worker asked to stop it: the job as it then stands.

        Raises ``Refused`` (``already-final``) when it has ended; one that is revoked already is as good.
        """
        try:
            return self._status(self.connection.send("DELETE", self._path()))
        except Refused as error:
            if error.problem.document.get("state") != State.REVOKED:
                raise
            return self.status()

    def retry(self, *, idempotency_key: str | None = None) -> "RemoteJob":
        """A new job with the same task and arguments."""
        headers = {"Idempotency-Key": idempotency_key or uuid4().hex}
        found = self._status(self.connection.send("POST", f"{self._path()}/retry", headers=headers))
        return RemoteJob(self.connection, found.uuid, found)

    def history(self) -> list[JobEvent]:
        """What has happened to it until now, oldest first."""
        document = self.connection.json("GET", f"{self._path()}/events")
        return read(lambda told: [JobEvent.of(one) for one in told["events"]], document)

    def events(self, after: int | None = None) -> Iterator[JobEvent]:
        """What has happened to it behind that event, and what happens, until it has ended."""
        return iter(Follower(self.connection, f"{self._path()}/events", after))

    def _path(self) -> str:
        return f"/status/{quote(self.uuid, safe='')}"

    def _status(self, answer: requests.Response) -> JobStatus:
        return read(JobStatus.of, answer.content)

    def _ask_to_wait(self, deadline: Deadline) -> requests.Response:
        """One long poll; ``Prefer`` takes whole seconds, so the last part of one is asked for in the query."""
        seconds = deadline.left(LONG_POLL)
        headers = {"Prefer": f"wait={math.floor(seconds)}"} if seconds >= 1 else {}
        params = {} if headers else {"wait": f"{seconds:.3f}"}
        return self.connection.send(
            "GET", self._path(), headers=headers, params=params, deadline=deadline, wait=seconds
        )
