"""Counts every request once, labelled with the path template of its route."""

import time
from collections.abc import Callable, Iterable
from typing import Any

import cherrypy

from ...monitoring.metrics.instruments import Counts
from ..operation import METHODS

NO_ROUTE, OTHER_METHOD = "(none)", "(other)"
"""Labels of requests without a route, and of methods that HTTP does not define."""
KNOWN_METHODS = frozenset({*METHODS, "OPTIONS"})
DISPATCH, DISPATCH_METHODS = "/dispatch/{task}", {"GET", "POST"}


class Counting:
    """WSGI middleware around the application; the duration ends when the response headers are complete."""

    def __init__(self, application: Callable[..., Iterable[bytes]], counts: Counts) -> None:
        self._application = application
        self._counts = counts

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        began = time.perf_counter()

        def start(status: str, headers: list[tuple[str, str]], *more: Any) -> Any:
            self._count(environ["REQUEST_METHOD"], status[:3], time.perf_counter() - began)
            return start_response(status, headers, *more)

        return self._application(environ, start)

    def _count(self, method: str, status: str, seconds: float) -> None:
        request = cherrypy.serving.request
        route = getattr(request, "path_template", None) or NO_ROUTE
        self._counts.request(route, method if method in KNOWN_METHODS else OTHER_METHOD, status, seconds)
        if route.startswith(DISPATCH) and method in DISPATCH_METHODS and status.startswith("4"):
            self._counts.dispatched(request.arguments[0], "refused")
