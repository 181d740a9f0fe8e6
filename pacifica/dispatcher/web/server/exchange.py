"""One request and its response by WSGI (PEP 3333)."""

import logging
import re
import sys
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from email.utils import formatdate
from functools import lru_cache
from io import BytesIO
from typing import Any
from urllib.parse import unquote_to_bytes

from .answer import FAILED, closing
from .head import BLANKS, Head

logger = logging.getLogger(__name__)

Application = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]

COMMON: Mapping[str, Any] = {
    "SCRIPT_NAME": "",
    "SERVER_NAME": "",
    "SERVER_PORT": "",
    "wsgi.errors": sys.stderr,
    "wsgi.input_terminated": True,
    "wsgi.multithread": True,
    "wsgi.run_once": False,
    "wsgi.url_scheme": "http",
    "wsgi.version": (1, 0),
}
"""The part of the WSGI environment that all requests share."""

_HOPS = frozenset({"connection", "keep-alive", "proxy-connection", "te", "trailer", "transfer-encoding", "upgrade"})
"""Hop-by-hop headers, which only the server sets; those of an application are dropped."""
_SOUND = re.compile(r"HTTP/1\.[01] [1-9][0-9]{2}[^\r\n\0]*+\r\n(?:[!#$%&'*+\-.^_`|~0-9A-Za-z]++: [^\r\n\0]*+\r\n)*+")
"""A response head without injected lines."""
_PLAIN = {b"content-type": "CONTENT_TYPE", b"content-length": "CONTENT_LENGTH"}


class ClientGone(Exception):
    """The response cannot be sent."""


class Exchange:
    """One request, whose response is written with ``send``; ``may_stay`` decides whether the connection stays open.

    ``send`` raises ``OSError`` if the client has disconnected.
    """

    def __init__(self, head: Head, send: Callable[[bytes], None], may_stay: Callable[[], bool]) -> None:
        self._head = head
        self._to_client = send
        self._may_stay = may_stay
        self._status = ""
        self._headers: list[tuple[str, str]] = []
        self._left: int | None = None
        self._begun = self._bodiless = self._chunked = self._stays = False

    def answer(self, application: Application, environ: dict[str, Any]) -> bool:
        """Run the application and send its response; return whether the connection can be used again.

        If the application fails before the response has begun, the response is 500.
        """
        try:
            self._answer(application, environ)
        except ClientGone as error:
            logger.debug("A client has disconnected: %s", error.__cause__)
            return False
        except (Exception, SystemExit):
            logger.exception("Unhandled exception while answering a request.")
            if not self._begun:
                with suppress(ClientGone):
                    self._send(closing(FAILED))
            return False
        return self._stays and not self._left

    def _answer(self, application: Application, environ: dict[str, Any]) -> None:
        parts = application(environ, self._start)
        try:
            for part in parts:
                if part:
                    self._write(part)
            self._write(b"")
        finally:
            close: Callable[[], None] | None = getattr(parts, "close", None)
            if close is not None:
                close()
        if self._chunked:
            self._send(b"0\r\n\r\n")

    def _send(self, piece: bytes) -> None:
        try:
            self._to_client(piece)
        except OSError as error:
            raise ClientGone from error

    def _start(self, status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> Callable[[bytes], None]:
        if exc_info is not None and self._begun:
            raise exc_info[1]
        if self._status and exc_info is None:
            raise AssertionError("the response head was already set")
        self._status, self._headers = status, [header for header in headers if header[0].lower() not in _HOPS]
        return self._write

    def _write(self, part: bytes) -> None:
        """Send a part of the body, after the head if it was not sent; an empty part sends only the head."""
        head = b"" if self._begun else self._begin()
        if self._bodiless:
            part = b""
        elif self._left is not None:
            part = part[: self._left]
            self._left -= len(part)
        elif self._chunked and part:
            part = b"%X\r\n%b\r\n" % (len(part), part)
        if head or part:
            self._send(head + part)

    def _begin(self) -> bytes:
        """The head of the response, which determines its framing (RFC 9112, section 6)."""
        code, newer = int(self._status[:3]), self._head.minor == b"1"
        own = {name.lower(): value for name, value in self._headers}
        length = own.get("content-length")
        self._bodiless = self._head.method == b"HEAD" or code in {204, 304}
        if not self._bodiless:
            self._left = None if length is None else int(length)
            self._chunked = length is None and newer
        framed = newer or self._bodiless or length is not None
        self._stays = framed and self._asks_to_stay(newer=newer) and self._may_stay()
        lines = [f"HTTP/1.{self._head.minor.decode()} {self._status}"]
        left_out = "content-length" if code == 204 else ""
        lines += [f"{name}: {value}" for name, value in self._headers if name.lower() != left_out]
        if "date" not in own:
            lines.append(f"Date: {formatdate(usegmt=True)}")
        if self._chunked:
            lines.append("Transfer-Encoding: chunked")
        lines += ["Connection: keep-alive" if self._stays else "Connection: close", ""]
        text = "\r\n".join(lines)
        if not _SOUND.fullmatch(text) or text.count("\n") != len(lines) - 1:
            raise ValueError("the response head is malformed")
        head = text.encode("latin-1") + b"\r\n"
        self._begun = True
        return head

    def _asks_to_stay(self, *, newer: bool) -> bool:
        """Whether the client keeps its connection open, by its header or its version (RFC 9112, section 9.3)."""
        options = [option.strip(BLANKS) for option in self._head.fields.get(b"connection", b"").lower().split(b",")]
        return b"close" not in options and (newer or b"keep-alive" in options)


def environment(head: Head, body: bytes, common: Mapping[str, Any]) -> dict[str, Any]:
    """The WSGI environment of a request; ``common`` is the part shared by all requests of its connection.

    ``RAW_URI`` and ``REQUEST_URI`` are gunicorn's and cheroot's names for the target as received. A server at a Unix
    socket, which has no name, is named by the header ``Host``.
    """
    path, _, query = head.target.partition(b"?")
    raw = head.target.decode("latin-1")
    environ = dict(common)
    environ["REQUEST_METHOD"] = head.method.decode("latin-1")
    environ["RAW_URI"] = environ["REQUEST_URI"] = raw
    environ["PATH_INFO"] = (unquote_to_bytes(path) if b"%" in path else path).decode("latin-1")
    environ["QUERY_STRING"] = query.decode("latin-1")
    environ["SERVER_PROTOCOL"] = "HTTP/1.1" if head.minor == b"1" else "HTTP/1.0"
    environ["wsgi.input"] = BytesIO(body)
    for name, value in head.fields.items():
        environ[_key(name)] = value.decode("latin-1")
    if not environ["SERVER_NAME"]:
        name, _, port = environ.get("HTTP_HOST", "").rpartition(":")
        known = name and port.isdecimal()
        environ["SERVER_NAME"], environ["SERVER_PORT"] = (name, port) if known else (environ.get("HTTP_HOST", ""), "80")
    return environ


@lru_cache(maxsize=256)
def _key(name: bytes) -> str:
    return _PLAIN.get(name) or f"HTTP_{name.decode('latin-1').upper().replace('-', '_')}"
