"""Who asks, and how: what a dispatching route takes from the request's head."""

import re

import cherrypy

from ...core.permissions import Caller
from ...logs import log_context
from ...service.verbs import DispatchContext
from . import body

_TRACEPARENT = re.compile(
    r"(?!ff)([0-9a-f]{2})-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}(-.*)?", re.ASCII
)
_LENGTH = 55


def caller_of() -> Caller:
    """Who asks, as the guard has found; a request that has not passed it has no caller, which is an error."""
    caller: Caller = cherrypy.serving.request.dispatcher_caller
    return caller


def request_of() -> DispatchContext:
    """The caller, the trace context and, of a POST, the ``Idempotency-Key``; raises ``BadRequest``."""
    request = cherrypy.serving.request
    return DispatchContext(
        caller=request.login or "",
        idempotency_key=body.idempotency_key() if request.method == "POST" else None,
        traceparent=traceparent(request.headers.get("traceparent")),
        request_id=log_context.current().get("request"),
    )


def traceparent(text: str | None) -> str | None:
    """The trace context that the header holds; ``None`` for one that is malformed.

    That is ignored, and no error; of a later version the four fields of version 00 are read.
    Source: https://www.w3.org/TR/trace-context/#versioning-of-traceparent
    """
    found = None if text is None else _TRACEPARENT.fullmatch(text)
    if found is None or (found[1] == "00" and found[2] is not None):
        return None
    return "00" + found[0][2:_LENGTH]
