"""The answer to a failure that no other part has answered: a problem document, without details of the failure."""

import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from http import HTTPStatus
from typing import Any

from ...core import strict_json
from ..problem_document import PROBLEM_JSON, internal

logger = logging.getLogger(__name__)

STATUS = f"{HTTPStatus.INTERNAL_SERVER_ERROR.value} {HTTPStatus.INTERNAL_SERVER_ERROR.phrase}"
BODY = strict_json.pretty(internal())
HEADERS = (
    ("Content-Type", PROBLEM_JSON),
    ("Content-Length", str(len(BODY))),
    ("Cache-Control", "no-store"),
)

WsgiApplication = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]


def encoded() -> tuple[bytes, list[tuple[bytes, bytes]], Sequence[bytes]]:
    """The status, the headers and the body in the form of a CherryPy response."""
    return STATUS.encode(), [(name.encode(), value.encode()) for name, value in HEADERS], [BODY]


class LastResort:
    """WSGI middleware in place of CherryPy's ``ExceptionTrapper``, which answers with plain text or a traceback."""

    def __init__(self, application: WsgiApplication) -> None:
        self._application = application

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        try:
            return Trapped(self._application(environ, start_response), start_response)
        except Exception as error:  # noqa: BLE001 - it is logged
            return _fail(error, start_response)


class Trapped:
    """A response body, which ends with the answer to a failure, or raises it if the client has received a part."""

    def __init__(self, parts: Iterable[bytes], start_response: Callable[..., Any]) -> None:
        self._parts = parts
        self._start_response = start_response

    def __iter__(self) -> Iterator[bytes]:
        try:
            yield from self._parts
        except Exception as error:  # noqa: BLE001 - it is logged
            yield from _fail(error, self._start_response)

    def close(self) -> None:
        """Close the body."""
        close: Callable[[], None] | None = getattr(self._parts, "close", None)
        if close is not None:
            close()


def _fail(error: Exception, start_response: Callable[..., Any]) -> Sequence[bytes]:
    """Log the error, and answer; raises it if the response has begun (PEP 3333)."""
    logger.error("Unhandled exception while answering a request.", exc_info=error)
    start_response(STATUS, list(HEADERS), (type(error), error, error.__traceback__))
    return [BODY]
