"""A client on a raw connection, which parses all responses that it receives."""

import json
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from http.client import HTTPResponse
from io import SEEK_CUR, BytesIO
from typing import Any

TIMEOUT = 10.0
"""Seconds to wait for an immediate response."""


@dataclass(frozen=True)
class Answer:
    """One response of a server."""

    status: int
    headers: dict[str, str]
    body: bytes

    def problem(self) -> dict[str, Any]:
        """The problem document, after a check of its format."""
        assert self.headers["content-type"] == "application/problem+json", self
        found: dict[str, Any] = json.loads(self.body)
        assert found["status"] == self.status
        assert found["detail"] == found["message"]
        return found


class _Stream:
    """The part of a socket that ``HTTPResponse`` uses, over bytes received earlier."""

    def __init__(self, file: BytesIO) -> None:
        self._file = file

    def makefile(self, _: str) -> BytesIO:
        self._file.close = lambda: None  # type: ignore[method-assign]
        return self._file


def answers(received: bytes) -> list[Answer]:
    """All responses in the received bytes; incomplete bytes at the end fail."""
    file, found = BytesIO(received), []
    while file.seek(0, SEEK_CUR) < len(received):
        response = HTTPResponse(_Stream(file))  # type: ignore[arg-type]
        response.begin()
        headers = {name.lower(): value for name, value in response.getheaders()}
        found.append(Answer(response.status, headers, response.read()))
    return found


@contextmanager
def connected(url: str) -> Iterator[socket.socket]:
    """A connection that is closed at the end."""
    host, _, port = url.removeprefix("http://").partition(":")
    with socket.create_connection((host, int(port)), timeout=TIMEOUT) as sock:
        yield sock


def until_closed(sock: socket.socket) -> bytes:
    """All bytes until the server closes; a reset, which could lose the response, is an error."""
    received = bytearray()
    while chunk := sock.recv(65_536):
        received += chunk
    return bytes(received)


def talk(url: str, *parts: bytes, half_close: bool = False) -> list[Answer]:
    """Send the parts, and read until the server closes."""
    with connected(url) as sock:
        # A server that has refused the first part may close before the rest is sent.
        with suppress(BrokenPipeError, ConnectionResetError):
            for part in parts:
                sock.sendall(part)
            if half_close:
                sock.shutdown(socket.SHUT_WR)
        return answers(until_closed(sock))
