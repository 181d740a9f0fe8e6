"""Records each request as a span if tracing is on; jobs that the request dispatches have this span as parent."""

from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any

import cherrypy

from ...core.tracing import Tracing
from ..dispatcher import raw_path
from .access_log import SentResponse, WsgiApplication, loggable


def trace_requests(application: cherrypy.Application, tracing: Tracing) -> None:
    """Add the middleware to the application if tracing is on."""
    if tracing.on:
        pipeline = application.wsgiapp.pipeline
        after_log = [name for name, _ in pipeline].index("dispatcher_log") + 1
        pipeline.insert(after_log, ("dispatcher_traces", partial(TracedRequests, tracing=tracing)))


class TracedRequests:
    """WSGI middleware, inside the access log's."""

    def __init__(self, application: WsgiApplication, tracing: Tracing) -> None:
        self._application = application
        self._tracing = tracing

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        span = self._tracing.request(environ["REQUEST_METHOD"], environ.get("HTTP_TRACEPARENT"), attributes(environ))
        environ["HTTP_TRACEPARENT"] = span.traceparent
        outcome: dict[str, Any] = {"status": 500, "route": None}
        response = SentResponse()

        def start(status: str, headers: list[tuple[str, str]], *more: Any) -> Any:
            route = getattr(cherrypy.serving.request, "path_template", None)
            outcome.update(status=response.start(int(status[:3])), route=route)
            return start_response(status, headers, *more)

        try:
            parts = self._application(environ, start)
            return response.wrap(parts, lambda: span.end(**outcome, cut=response.broken))
        except BaseException:
            span.end(**outcome)
            raise


def attributes(environ: Mapping[str, Any]) -> dict[str, Any]:
    """The span attributes known at the start; the path omits a task's arguments."""
    found: dict[str, Any] = {
        "url.path": loggable(raw_path(environ, environ.get("PATH_INFO", ""))),
        "url.scheme": environ.get("wsgi.url_scheme"),
        "server.address": environ.get("SERVER_NAME"),
        "server.port": int(environ.get("SERVER_PORT") or 0),
        "client.address": environ.get("REMOTE_ADDR"),
        "user_agent.original": environ.get("HTTP_USER_AGENT"),
    }
    return {name: value for name, value in found.items() if value}
