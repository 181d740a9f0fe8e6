"""One request, as wrk and the sequential client send it; and that client."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http.client import HTTPConnection
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

POLL = 0.002
"""Seconds between two looks at a status, whichever system it is."""


@dataclass(frozen=True)
class Request:
    """What is sent; ``path`` begins with a slash."""

    path: str
    method: str = "GET"
    headers: Mapping[str, str] = field(default_factory=dict)
    body: str | None = None


@dataclass(frozen=True)
class Answer:
    """What came back."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class RefusedError(RuntimeError):
    """A request was not answered with success."""


class Client:
    """Sends one request after the other on one connection that is kept alive."""

    def __init__(self, url: str, timeout: float = 30) -> None:
        parts = urlsplit(url)
        self._connection = HTTPConnection(parts.hostname or "127.0.0.1", parts.port, timeout=timeout)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._connection.close()

    def send(self, request: Request) -> Answer:
        """The answer, whatever its status."""
        body = None if request.body is None else request.body.encode()
        self._connection.request(request.method, request.path, body, dict(request.headers))
        answer = self._connection.getresponse()
        return Answer(answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read())

    def ask(self, request: Request) -> Answer:
        """The answer; raises ``RefusedError`` when it is 300 or above."""
        answer = self.send(request)
        if answer.status >= 300:
            raise RefusedError(f"{request.method} {request.path} was answered {answer.status}: {answer.body[:500]!r}")
        return answer

    def poll(self, request: Request, done: Callable[[Answer], bool], seconds: float = 30) -> Answer:
        """Ask every two milliseconds until it is done; raises ``TimeoutError``."""
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            answer = self.ask(request)
            if done(answer):
                return answer
            time.sleep(POLL)
        raise TimeoutError(f"{request.path} was not done after {seconds:g} s: {answer.body[:500]!r}")
