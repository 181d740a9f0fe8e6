"""Reading requests: JSON bodies and declared query parameters."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

import cherrypy
from cherrypy.lib import httputil

from ...core import strict_json
from ...core.errors import BadQuery, BadRequest

Handler = TypeVar("Handler", bound=Callable[..., Any])
KEY = r"[!-~]([ -~]{0,253}[!-~])?"
"""An ``Idempotency-Key``; blanks at its ends are not the header's (RFC 9110, section 5.5)."""
CONTAINERS = 1_000_000
"""Arrays and objects of a body: in memory each of them takes a hundred times its two characters."""


@dataclass(frozen=True, slots=True)
class DispatchBody:
    """The body of ``POST /dispatch/<task>``."""

    args: list[Any]
    kwargs: Mapping[str, Any]
    options: Mapping[str, Any]


MEMBERS: Mapping[str, tuple[type, str]] = {
    "args": (list, "an array"),
    "kwargs": (dict, "an object"),
    "options": (dict, "an object"),
}


def read_dispatch(value: Any) -> DispatchBody:
    """The members of a dispatch; raises ``BadRequest`` naming the one that is wrong."""
    if not isinstance(value, dict):
        raise BadRequest(f"The body must be a JSON object with {', '.join(MEMBERS)}; it is not an object.")
    for name in value:
        if name not in MEMBERS:
            raise BadRequest(f"The body has no member {name[:80]!r}; it may have {', '.join(MEMBERS)}.")
    found = {name: value.get(name, kind()) for name, (kind, _) in MEMBERS.items()}
    for name, (kind, told) in MEMBERS.items():
        if not isinstance(found[name], kind):
            raise BadRequest(f"The member {name} of the body must be {told}.")
    return DispatchBody(**found)


def idempotency_key() -> str | None:
    """The request's ``Idempotency-Key``; raises ``BadRequest`` for one that is not 1 to 255 characters of ASCII."""
    key: str | None = cherrypy.request.headers.get("Idempotency-Key")
    if key is not None and not re.fullmatch(KEY, key):
        raise BadRequest("The header Idempotency-Key must have 1 to 255 characters of printable ASCII.")
    return key


def json_body(limit: int) -> None:
    """Have CherryPy read the request's body as JSON into ``request.json``; a tool, before the body is read.

    A request that has no handler is answered without a look at its body, and one that announces no
    body has none (RFC 9112, section 6.3). 411 for a chunked one, 413 for more than ``limit`` bytes,
    both before a byte of it is read.
    """
    request = cherrypy.serving.request
    request.json = {}
    announced = "Content-Length" in request.headers or "Transfer-Encoding" in request.headers
    if isinstance(request.handler, cherrypy.HTTPError) or not announced:
        request.process_request_body = False
        return
    _refuse_size(limit)
    if request.process_request_body:
        _refuse_coding()
    # A type is the same in any case (RFC 9110, section 8.3.1).
    request.body.content_type.value = request.body.content_type.value.lower()
    request.body.processors = {"application/json": _process}
    for media, read in getattr(getattr(request.handler, "callable", None), "streams", {}).items():
        if not request.handler.args:  # Below it, the resource is a single job.
            request.body.processors[media] = read
    request.body.default_proc = _refuse_type


def takes(*names: str) -> Callable[[Handler], Handler]:
    """Declare the query parameters that a handler takes."""

    def declare(handler: Handler) -> Handler:
        vars(handler)["query"] = names
        return handler

    return declare


def streams(media: str, read: Callable[[Any], None]) -> Callable[[Handler], Handler]:
    """Declare a media type beside JSON, for the handler's own path and not for those below it; ``read`` reads it."""

    def declare(handler: Handler) -> Handler:
        vars(handler)["streams"] = {media: read}
        return handler

    return declare


def no_query(query: Mapping[str, Any]) -> None:
    """Refuse parameters where the handler takes some, but not for this resource."""
    for name in query:
        raise BadQuery(f"The query parameter {name[:80]!r} is not known here; this route takes none.")


def readable_query() -> None:
    """Refuse a query that cannot be read; a tool, before CherryPy reads it, for which such a query is a 404."""
    query = cherrypy.serving.request.query_string
    if not query:
        return
    try:
        httputil.parse_query_string(query)
    except ValueError:
        raise BadQuery("The query cannot be read; it must be NAME=VALUE, in UTF-8, percent-encoded.") from None


def declared_query() -> None:
    """Refuse a query parameter that the handler does not take; a tool, before the handler.

    Where there is no handler, that is the answer: 404 or 405.
    """
    request = cherrypy.serving.request
    if not request.query_string or isinstance(request.handler, cherrypy.HTTPError):
        return
    allowed = getattr(getattr(request.handler, "callable", None), "query", ())
    for name in httputil.parse_query_string(request.query_string):
        if name not in allowed:
            told = f"allowed are {', '.join(allowed)}" if allowed else "this route takes none"
            raise BadQuery(f"The query parameter {name[:80]!r} is not known here; {told}.")


def _process(entity: Any) -> None:
    raw = entity.fp.read()
    if raw.count(b"[") + raw.count(b"{") > CONTAINERS:
        raise cherrypy.HTTPError(413, f"The body may have {CONTAINERS} arrays and objects.")
    try:
        if raw:
            cherrypy.request.json = strict_json.loads(raw)
    except ValueError as error:
        raise BadRequest(f"The body is not JSON: {error}.") from error


def _refuse_size(limit: int) -> None:
    headers = cherrypy.request.headers
    if "Transfer-Encoding" in headers:
        cherrypy.response.headers["Connection"] = "close"
        raise cherrypy.HTTPError(411, "Send the body with a Content-Length; chunked request bodies are not taken.")
    length = headers.get("Content-Length", "")
    if not (length.isascii() and length.isdigit()):
        raise BadRequest("The header Content-Length must be a number of bytes.")
    if int(length[:20]) > limit:
        cherrypy.response.headers["Connection"] = "close"
        raise cherrypy.HTTPError(413, f"The body may have {limit} bytes.")


def _refuse_coding() -> None:
    """A body that would be read as something else than it says it is."""
    request = cherrypy.request
    coding = request.headers.get("Content-Encoding", "identity")
    if coding.strip().lower() != "identity":
        cherrypy.response.headers["Accept-Encoding"] = "identity"
        raise cherrypy.HTTPError(
            415, f"The body must be as it is; the Content-Encoding {coding[:80]!r} is not read here."
        )
    charset = request.body.content_type.params.get("charset", "utf-8")
    if charset.strip().lower() not in {"utf-8", "utf8"}:
        raise cherrypy.HTTPError(415, f"The body must be in UTF-8, not in {charset[:80]!r}.")


def _refuse_type() -> None:
    if cherrypy.request.headers.get("Content-Length") != "0":
        raise cherrypy.HTTPError(415, "The body must be JSON; say so with the header Content-Type: application/json.")
