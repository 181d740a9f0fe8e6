"""Counts every request once, by the template of its route, whichever part of CherryPy answers it."""

import time
from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from typing import Any

import cherrypy

from ...monitoring.metrics.instruments import Counts
from ..openapi.document import METHODS

NOWHERE, OTHER = "(none)", "(other)"
"""The labels of what has no route, and of methods that HTTP does not know."""
KNOWN = frozenset({*METHODS, "OPTIONS"})
DISPATCH, TRIES = "/dispatch/{task}", {"GET", "POST"}


class Counting:
    """WSGI middleware around the whole application; the time is that until the answer's head is made."""

    def __init__(self, application: Callable[..., Iterable[bytes]], counts: Counts) -> None:
        self._application = application
        self._counts = counts

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        """Answer one request."""
        began = time.perf_counter()

        def start(status: str, headers: list[tuple[str, str]], *more: Any) -> Any:
            self._count(environ["REQUEST_METHOD"], status[:3], time.perf_counter() - began)
            return start_response(status, headers, *more)

        return self._application(environ, start)

    def _count(self, method: str, status: str, seconds: float) -> None:
        request = cherrypy.serving.request
        found: tuple[Any, Sequence[str]] = getattr(request, "dispatcher_found", (None, ()))
        route = NOWHERE if found[0] is None else template(found[0], request.path_info.count("/"))
        self._counts.request(route, method if method in KNOWN else OTHER, status, seconds)
        if route.startswith(DISPATCH) and method in TRIES and status.startswith("4"):
            self._counts.dispatched(found[1][0], "refused")


@lru_cache(maxsize=256)
def template(handler: Any, segments: int) -> str:
    """Of the paths that a handler answers, the longest that the request's is long enough for."""
    paths: list[str] = sorted((one.path for one in handler.operations), key=lambda path: path.count("/"))
    return [path for path in paths if path.count("/") <= segments][-1]
