"""A request, as wrk and the sequential client send it; and that client."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http.client import HTTPConnection
from typing import Self
from urllib.parse import urlsplit

POLL = 0.002
"""Seconds between two requests for a status, for every system."""


@dataclass(frozen=True)
class Request:
    """A request; ``path`` begins with a slash."""

    path: str
    method: str = "GET"
    headers: Mapping[str, str] = field(default_factory=dict)
    body: str | None = None


@dataclass(frozen=True)
class Answer:
    """A response, with the names of its headers in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class RefusedError(RuntimeError):
    """A request was not successful."""


class Client:
    """Sends one request after the other on one connection that stays open."""

    def __init__(self, url: str, timeout: float = 30) -> None:
        parts = urlsplit(url)
        self._connection = HTTPConnection(parts.hostname or "127.0.0.1", parts.port, timeout=timeout)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()

    def send(self, request: Request) -> Answer:
        """Return the answer, whatever its status."""
        body = None if request.body is None else request.body.encode()
        self._connection.request(request.method, request.path, body, dict(request.headers))
        answer = self._connection.getresponse()
        return Answer(answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read())

    def ask(self, request: Request) -> Answer:
        """Return the answer; raises ``RefusedError`` if its status is 300 or above."""
        answer = self.send(request)
        if answer.status >= 300:
            raise RefusedError(f"{request.method} {request.path} was answered {answer.status}: {answer.body[:500]!r}")
        return answer

    def poll(self, request: Request, done: Callable[[Answer], bool], seconds: float = 30) -> Answer:
        """Send the request every two milliseconds until its answer is done; raises ``TimeoutError``."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            answer = self.ask(request)
            if done(answer):
                return answer
            time.sleep(POLL)
        raise TimeoutError(f"{request.path} was not done after {seconds:g} s: {answer.body[:500]!r}")

    def timed(self, request: Request) -> tuple[Answer, float]:
        """Return the answer and how many milliseconds it took."""
        begin = time.perf_counter()
        return self.ask(request), (time.perf_counter() - begin) * 1e3
