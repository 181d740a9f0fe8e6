"""A running service as a user has it: a web server, a worker, a record and a broker; and the words to talk to it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import requests

from ..eventually import eventually
from ..processes import Processes, Running

FINAL = ("SUCCESS", "FAILURE", "REVOKED")

LAB = '''
"""Tasks of a laboratory that no other test has."""
import os
import signal
import time

from pacifica.dispatcher import progress, task


@task
def greet(name: str, *, loud: bool = False) -> str:
    """A greeting."""
    return f"Hello, {name.upper() if loud else name}!"


@task(name="flaky", bind=True, autoretry_for=(OSError,), retry_backoff=False, default_retry_delay=0, max_retries=2)
def flaky(self, good_at: int) -> int:
    if self.request.retries < good_at:
        raise OSError(f"not yet: {self.request.retries}")
    return self.request.retries


@task(name="shifted", bind=True)
def shifted(self, n: int) -> int:
    """Retries with other arguments than it was given."""
    if n < 3:
        raise self.retry(args=[n + 1], countdown=0)
    return n


@task(name="leave")
def leave() -> None:
    raise SystemExit(3)


@task(name="hungry")
def hungry() -> None:
    raise MemoryError("all of it")


@task(name="ignored")
def ignored() -> None:
    from celery.exceptions import Ignore
    raise Ignore


@task(name="die")
def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


@task(name="soft", soft_time_limit=1)
def soft() -> None:
    time.sleep(30)


@task(name="hard", time_limit=1)
def hard() -> None:
    time.sleep(30)


@task(name="unstorable")
def unstorable(kind: str):
    return {"nan": float("nan"), "object": object(), "digits": 10**5000, "large": "x" * 2_000_000}[kind]


@task(name="echo")
def echo(value):
    return value


@task(name="measure")
def measure(samples: int) -> int:
    """Says after each sample how far it is."""
    for sample in range(samples):
        progress(sample, samples, f"sample {sample}")
    progress(samples, samples, "all measured")
    return samples
'''


@dataclass
class Stack:
    """The processes of one service; ``web`` answers at ``url``."""

    processes: Processes
    web: Running

    @property
    def url(self) -> str:
        """Where the web server answers."""
        return self.web.url

    def request(self, method: str, path: str, **options: Any) -> requests.Response:
        """One HTTP request to the service."""
        return requests.request(method, f"{self.url}{path}", timeout=30, **options)

    def get(self, path: str, **options: Any) -> requests.Response:
        """One GET request."""
        return self.request("GET", path, **options)

    def dispatch(self, task: str, *args: Any, options: Mapping[str, Any] | None = None, **kwargs: Any) -> str:
        """Dispatch with JSON arguments; the UUID."""
        body = {"args": args, "kwargs": kwargs, "options": options or {}}
        answer = self.request("POST", f"/dispatch/{task}", json=body)
        assert answer.status_code == 202, answer.text
        return str(answer.json()["uuid"])

    def status(self, uuid: str) -> dict[str, Any]:
        """The job as JSON."""
        answer = self.get(f"/status/{uuid}")
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        return found

    def ended(self, uuid: str, timeout: float = 30.0) -> dict[str, Any]:
        """The job, once it is final."""
        return eventually(
            lambda: job if (job := self.status(uuid))["state"] in FINAL else None, timeout, f"job {uuid} does not end"
        )
