"""Builds the CherryPy application around a tree of resources: its tools, error pages, guard and middleware."""

from collections.abc import Mapping
from functools import partial
from typing import Any

import cherrypy

from ..monitoring.metrics.instruments import Counts
from . import problem_response
from .auth.guard import Guard
from .dispatcher import PathDispatcher
from .middleware.access_log import RequestLog, take_over
from .middleware.last_resort import LastResort
from .middleware.request_metrics import Counting
from .request import body, query
from .request.body import BodyLimits
from .request_classes import DispatcherApplication
from .security_headers import SecureHeaders

cherrypy.tools.dispatcher_readable = cherrypy.Tool(
    "on_start_resource", problem_response.refusing(query.check_readable), priority=60
)
cherrypy.tools.dispatcher_json_body = cherrypy.Tool("before_request_body", body.json_body)
cherrypy.tools.dispatcher_trim = cherrypy.Tool("before_finalize", problem_response.trim)
cherrypy.tools.dispatcher_query = cherrypy.Tool("before_handler", problem_response.refusing(query.check_declared))

CONFIG: Mapping[str, Any] = {
    "request.dispatch": PathDispatcher(),
    "request.error_response": problem_response.respond_to_exception,
    "error_page.default": problem_response.page,
    "request.show_tracebacks": False,
    "tools.log_tracebacks.on": False,
    "tools.log_headers.on": False,
    "tools.trailing_slash.on": False,
    "tools.encode.on": False,
    "tools.dispatcher_readable.on": True,
    "tools.dispatcher_json_body.on": True,
    "tools.dispatcher_query.on": True,
    "tools.dispatcher_trim.on": True,
}
"""CherryPy's configuration of the tree: handlers by HTTP method, and one format for every error."""


def build(root: Any, guard: Guard, limits: BodyLimits, counts: Counts) -> cherrypy.Application:
    """The application, for the embedded server or any WSGI server."""
    own = {
        **CONFIG,
        "tools.dispatcher_json_body.limits": limits,
        "hooks.on_start_resource.guard": problem_response.refusing(guard.check),
    }
    application = DispatcherApplication(root, "", {"/": own})
    counting = partial(Counting, counts=counts)
    application.wsgiapp.pipeline = [
        ("dispatcher_log", RequestLog),
        ("dispatcher_metrics", counting),
        ("dispatcher_headers", SecureHeaders),
        ("dispatcher_last_resort", LastResort),
        *(each for each in application.wsgiapp.pipeline if each[0] != "ExceptionTrapper"),
    ]
    take_over(application.log)
    return application
