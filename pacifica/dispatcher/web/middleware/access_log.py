"""The access log: one line for each request, whichever part answers it, and the id of the request.

A line shows the path without query and without a task's arguments, as these may be confidential.
"""

import logging
import re
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any
from urllib.parse import unquote

import cherrypy

from ...config.settings import LoggingSettings
from ...logs import log_context
from ...logs.line_handler import log_fields
from ...logs.setup import ACCESS, set_format
from ..dispatcher import raw_path

logger = logging.getLogger(ACCESS)

HEADER = "X-Request-ID"
MAX_PATH = 300
"""The characters of a path that a line shows."""
PROBES = ("/health/", "/metrics")
"""Paths that machines poll: logged at the level DEBUG."""

MAX_DECODINGS = 3
"""How often a path is decoded in search of arguments; a server decodes it once."""
_DISPATCH = re.compile(r"(/dispatch(?:/[\w.:@+~-]+)?)(/.*)?", re.ASCII | re.DOTALL)
_ANY_DISPATCH = re.compile(r"dispatch\W", re.IGNORECASE)

WsgiApplication = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]


class RequestLog:
    """WSGI middleware: assigns the request's id, and logs its line when the response has been sent."""

    def __init__(self, application: WsgiApplication) -> None:
        self._application = application

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        request = log_context.request_id(environ.get("HTTP_X_REQUEST_ID"))
        line, response = Line(environ, log_context.bind(request=request)), SentResponse()

        def start(status: str, headers: list[tuple[str, str]], *more: Any) -> Any:
            line.status = response.start(int(status[:3]))
            return start_response(status, [*headers, (HEADER, request)], *more)

        try:
            return response.wrap(self._application(environ, start), lambda: line.write(response))
        except BaseException:
            line.write(response)
            raise


class Line:
    """The log line of one request; written once."""

    def __init__(self, environ: dict[str, Any], bound: log_context.Bound) -> None:
        self.status = 500
        self._environ = environ
        self._bound = bound
        self._began = time.perf_counter()

    def write(self, response: "SentResponse") -> None:
        """Log the line, and end the log context of the request."""
        path = loggable(raw_path(self._environ, self._environ.get("PATH_INFO", "")))
        if refused := log_context.current().get("status"):  # The server has sent this status instead.
            self.status, response.bytes = refused, 0
        level = logging.DEBUG if path.startswith(PROBES) and self.status < 500 else logging.INFO
        if logger.isEnabledFor(level):
            fields = self._fields(path, response)
            log_fields(logger, level, "%s %s %d", (fields["method"], path, self.status), fields)
        log_context.unbind(self._bound)

    def _fields(self, path: str, response: "SentResponse") -> dict[str, Any]:
        fields = {
            "method": self._environ.get("REQUEST_METHOD", ""),
            "path": path,
            "status": self.status,
            "ms": round((time.perf_counter() - self._began) * 1000, 1),
            "bytes": response.bytes,
            "remote": self._environ.get("REMOTE_ADDR", ""),
        }
        return fields | {"cut": True} if response.broken else fields


class SentResponse:
    """A response body that records how much was sent; calls ``on_close`` once when the server closes it."""

    def __init__(self) -> None:
        self.bytes, self.broken = 0, False
        self._status = 500
        self._parts: Iterable[bytes] = ()
        self._on_close: Callable[[], object] | None = None

    def start(self, status: int) -> int:
        """The status that the client receives: an error after the first part can no longer change it."""
        if self.bytes:
            self.broken = True
        else:
            self._status = status
        return self._status

    def wrap(self, parts: Iterable[bytes], on_close: Callable[[], object]) -> "SentResponse":
        """Itself, with the parts of the body."""
        self._parts, self._on_close = parts, on_close
        return self

    def __iter__(self) -> Iterator[bytes]:
        for part in self._parts:
            self.bytes += len(part)
            yield part

    def close(self) -> None:
        """Close the body; the server calls this when all is sent or the client has disconnected."""
        on_close, self._on_close = self._on_close, None
        parts, self._parts = self._parts, ()  # They refer to this object, and may be large.
        try:
            close: Callable[[], None] | None = getattr(parts, "close", None)
            if close is not None:
                close()
        finally:
            if on_close is not None:
                on_close()


class WithoutTime(logging.Filter):
    """Removes the time from CherryPy's own messages, as each line has one already."""

    def filter(self, record: logging.LogRecord) -> bool:
        if isinstance(record.msg, str) and record.msg.startswith("["):
            record.msg = record.msg.partition("] ")[2].strip()
        return True


WITHOUT_TIME = WithoutTime()


def take_over(log: Any) -> None:
    """Route CherryPy's errors to our handlers, and disable its own access lines, which are expensive."""
    log.access = lambda: None
    for each in (log, cherrypy.log):
        each.error_log.addFilter(WITHOUT_TIME)


def use_files(settings: LoggingSettings) -> None:
    """Log also to CherryPy's ``log.access_file`` and ``log.error_file``, in our format."""
    for handler in cherrypy.log.access_log.handlers:
        if isinstance(handler, logging.StreamHandler):  # With the others, each line would need a record in vain.
            logger.addHandler(handler)
    set_format([*cherrypy.log.access_log.handlers, *cherrypy.log.error_log.handlers], settings)


def loggable(path: str) -> str:
    """A raw path without a task's arguments, which are as confidential as a body, however the path is spelled."""
    plain = _DISPATCH.fullmatch(path)
    if plain is None:
        path = _without_arguments(path)
    elif plain[2]:
        path = f"{plain[1]}/…"
    return path if len(path) <= MAX_PATH else f"{path[:MAX_PATH]}…"


def _without_arguments(path: str) -> str:
    """The path up to anything that any server could read as ``/dispatch/``."""
    decoded = path
    for _ in range(MAX_DECODINGS if "%" in path else 0):
        decoded = unquote(decoded)
    found = _ANY_DISPATCH.search(decoded)
    return f"{decoded[: found.end()]}…" if found else path
