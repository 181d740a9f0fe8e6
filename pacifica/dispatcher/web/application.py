"""Builds the CherryPy application around a tree of resources: its error pages, guard and middleware."""

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
from .request.body import BodyLimits
from .request_classes import Answer, DispatcherApplication
from .security_headers import SecureHeaders

CONFIG: Mapping[str, Any] = {
    "request.dispatch": PathDispatcher(),
    "request.error_response": problem_response.respond_to_exception,
    "error_page.default": problem_response.page,
    "request.show_tracebacks": False,
    "tools.log_tracebacks.on": False,
    "tools.log_headers.on": False,
    "tools.trailing_slash.on": False,
    "tools.encode.on": False,
}
"""CherryPy's configuration of the tree: handlers by HTTP method, and one format for every error."""


def build(root: Any, guard: Guard, limits: BodyLimits, counts: Counts) -> cherrypy.Application:
    """The application, for the embedded server or any WSGI server."""
    application = DispatcherApplication(root, "", {"/": dict(CONFIG)})
    application.check_caller, application.limits = guard.check, limits
    counting = partial(Counting, counts=counts)
    application.wsgiapp.response_class = Answer
    application.wsgiapp.pipeline = [
        ("dispatcher_log", RequestLog),
        ("dispatcher_metrics", counting),
        ("dispatcher_headers", SecureHeaders),
        ("dispatcher_last_resort", LastResort),
        *(each for each in application.wsgiapp.pipeline if each[0] != "ExceptionTrapper"),
    ]
    take_over(application.log)
    return application
