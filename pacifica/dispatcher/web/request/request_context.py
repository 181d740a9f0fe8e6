"""The caller of the current request, the jobs it may use, and the context of its dispatches."""

import re

import cherrypy

from ...core.permissions import Caller, Visibility
from ...logs import log_context
from ...service.new_job import DispatchContext
from .body import idempotency_key

_TRACEPARENT = re.compile(
    r"(?!ff)([0-9a-f]{2})-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}(-.*)?", re.ASCII
)
_LENGTH = 55


def caller() -> Caller:
    """The caller that the guard has admitted; a request that has not passed the guard is an error."""
    admitted: Caller | None = cherrypy.serving.request.caller
    if admitted is None:
        raise AssertionError("the request has not passed the guard")
    return admitted


def visible_jobs() -> Visibility:
    """The jobs within the scope that the operation requires; handlers pass it to each service call about a job."""
    return caller().visibility(cherrypy.serving.request.operation.scope)


def dispatch_context() -> DispatchContext:
    """The caller, the trace context and, for a POST, the ``Idempotency-Key``; raises ``BadRequest``."""
    request = cherrypy.serving.request
    return DispatchContext(
        caller=request.login or "",
        idempotency_key=idempotency_key() if request.method == "POST" else None,
        traceparent=traceparent(request.headers.get("traceparent")),
        request_id=log_context.current().get("request"),
    )


def traceparent(text: str | None) -> str | None:
    """The trace context in the header; ``None`` if it is malformed, which is not an error.

    For a later version, only the four fields of version 00 are used.
    Source: https://www.w3.org/TR/trace-context/#versioning-of-traceparent
    """
    found = None if text is None else _TRACEPARENT.fullmatch(text)
    if found is None or (found[1] == "00" and found[2] is not None):
        return None
    return "00" + found[0][2:_LENGTH]
