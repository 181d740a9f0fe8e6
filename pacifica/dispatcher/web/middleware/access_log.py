"""One line for each request, and its id, around the whole application: whichever part answers.

The path is told without its query and without a task's arguments, as these may be what nobody else should read.
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
from ...logs.formatters import FIELDS
from ...logs.setup import ACCESS, dress
from ..dispatcher import target

logger = logging.getLogger(ACCESS)

HEADER = "X-Request-ID"
LONGEST_PATH = 300
"""Characters of a path that a line shows."""
PROBES = ("/health/", "/metrics")
"""What machines ask all the time: told at the level DEBUG."""

MOST_DECODED = 3
"""How often a path is decoded in search of arguments; a server does it once."""
_DISPATCH = re.compile(r"(/dispatch(?:/[\w.:@+~-]+)?)(/.*)?", re.ASCII | re.DOTALL)
_ANY_DISPATCH = re.compile(r"dispatch\W", re.IGNORECASE)

WsgiApplication = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]


class RequestLog:
    """WSGI middleware: gives the request its id, and writes its line when the answer has been sent."""

    def __init__(self, application: WsgiApplication) -> None:
        self._application = application

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        """Answer one request."""
        request = log_context.request_id(environ.get("HTTP_X_REQUEST_ID"))
        line, answer = Line(environ, log_context.bind(request=request)), Answer()

        def start(status: str, headers: list[tuple[str, str]], *more: Any) -> Any:
            line.status = answer.head(int(status[:3]))
            return start_response(status, [*headers, (HEADER, request)], *more)

        try:
            return answer.of(self._application(environ, start), lambda: line.write(answer))
        except BaseException:
            line.write(answer)
            raise


class Line:
    """What is told of one request; written once."""

    def __init__(self, environ: dict[str, Any], bound: log_context.Bound) -> None:
        self.status = 500
        self._environ = environ
        self._bound = bound
        self._began = time.perf_counter()

    def write(self, answer: "Answer") -> None:
        """Write it, with what was sent of the answer, and end the request's context."""
        environ, path = self._environ, shown(target(self._environ, self._environ.get("PATH_INFO", "")))
        level = logging.DEBUG if path.startswith(PROBES) and self.status < 500 else logging.INFO
        if logger.isEnabledFor(level):
            method = environ.get("REQUEST_METHOD", "")
            fields = {
                "method": method,
                "path": path,
                "status": self.status,
                "ms": round((time.perf_counter() - self._began) * 1000, 1),
                "bytes": answer.sent,
                "remote": environ.get("REMOTE_ADDR", ""),
            }
            if answer.broken:
                fields["cut"] = True
            logger.log(level, "%s %s %d", method, path, self.status, extra={FIELDS: fields})
        log_context.unbind(self._bound)


class Answer:
    """The parts of an answer, and what was sent of it; when it is closed, ``end`` is called once."""

    def __init__(self) -> None:
        self.sent, self.broken = 0, False
        self._status = 500
        self._parts: Iterable[bytes] = ()
        self._end: Callable[[], object] | None = None

    def head(self, status: int) -> int:
        """The status that the client gets: a second head, of an error, comes too late for an answer that is begun."""
        if self.sent:
            self.broken = True
        else:
            self._status = status
        return self._status

    def of(self, parts: Iterable[bytes], end: Callable[[], object]) -> "Answer":
        """This answer, with its parts."""
        self._parts, self._end = parts, end
        return self

    def __iter__(self) -> Iterator[bytes]:
        for part in self._parts:
            self.sent += len(part)
            yield part

    def close(self) -> None:
        """Close the answer within; the server calls this when all is sent, or its client is gone."""
        end, self._end = self._end, None
        try:
            close: Callable[[], None] | None = getattr(self._parts, "close", None)
            if close is not None:
                close()
        finally:
            if end is not None:
                end()


class WithoutTime(logging.Filter):
    """Takes the time from the beginning of CherryPy's own messages, as each line has it."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Every record is kept."""
        if isinstance(record.msg, str) and record.msg.startswith("["):
            record.msg = record.msg.partition("] ")[2].strip()
        return True


WITHOUT_TIME = WithoutTime()


def take_over(log: Any) -> None:
    """Have CherryPy tell its errors through our handlers, and leave its own access lines, which are dear, out."""
    log.access = lambda: None
    for each in (log, cherrypy.log):
        each.error_log.addFilter(WITHOUT_TIME)


def use_files(settings: LoggingSettings) -> None:
    """Write into the files of CherryPy's ``log.access_file`` and ``log.error_file``, too, in our form."""
    for handler in cherrypy.log.access_log.handlers:
        logger.addHandler(handler)
    dress([*cherrypy.log.access_log.handlers, *cherrypy.log.error_log.handlers], settings)


def shown(path: str) -> str:
    """A raw path without a task's arguments, which are as confidential as a body, in whatever way it is written."""
    plain = _DISPATCH.fullmatch(path)
    if plain is None:
        decoded = path
        for _ in range(MOST_DECODED if "%" in path else 0):
            decoded = unquote(decoded)
        found = _ANY_DISPATCH.search(decoded)
        path = f"{decoded[: found.end()]}…" if found else path
    elif plain[2]:
        path = f"{plain[1]}/…"
    return path if len(path) <= LONGEST_PATH else f"{path[:LONGEST_PATH]}…"
