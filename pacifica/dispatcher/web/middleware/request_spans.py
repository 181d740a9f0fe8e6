"""Each request as a span, where tracing is on; what the request dispatches has this span as its trace context."""

from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any

import cherrypy

from ...core.tracing import Tracing
from ..dispatcher import target
from .access_log import Answer, WsgiApplication, shown
from .request_metrics import template


def trace_requests(application: cherrypy.Application, tracing: Tracing) -> None:
    """Have the application make spans; without tracing it stays as it is."""
    if tracing.on:
        application.wsgiapp.pipeline.insert(1, ("dispatcher_traces", partial(TracedRequests, tracing=tracing)))


class TracedRequests:
    """WSGI middleware, within the log's."""

    def __init__(self, application: WsgiApplication, tracing: Tracing) -> None:
        self._application = application
        self._tracing = tracing

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        """Answer one request."""
        span = self._tracing.request(environ["REQUEST_METHOD"], environ.get("HTTP_TRACEPARENT"), described(environ))
        environ["HTTP_TRACEPARENT"] = span.traceparent
        told: dict[str, Any] = {"status": 500, "route": None}
        answer = Answer()

        def start(status: str, headers: list[tuple[str, str]], *more: Any) -> Any:
            told.update(status=answer.head(int(status[:3])), route=route(cherrypy.serving.request))
            return start_response(status, headers, *more)

        try:
            return answer.of(self._application(environ, start), lambda: span.end(**told, cut=answer.broken))
        except BaseException:
            span.end(**told)
            raise


def described(environ: Mapping[str, Any]) -> dict[str, Any]:
    """The attributes that are known when a request comes in; a task's arguments are left out of the path."""
    found: dict[str, Any] = {
        "url.path": shown(target(environ, environ.get("PATH_INFO", ""))),
        "url.scheme": environ.get("wsgi.url_scheme"),
        "server.address": environ.get("SERVER_NAME"),
        "server.port": int(environ.get("SERVER_PORT") or 0),
        "client.address": environ.get("REMOTE_ADDR"),
        "user_agent.original": environ.get("HTTP_USER_AGENT"),
    }
    return {name: value for name, value in found.items() if value}


def route(request: Any) -> str | None:
    """The template of the path; none where nothing was found."""
    handler, _ = getattr(request, "dispatcher_found", (None, ()))
    return None if handler is None else template(handler, request.path_info.count("/"))
