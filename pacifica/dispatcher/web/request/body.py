"""Reads request bodies: JSON and NDJSON, or the form of a page."""

import re
from functools import partial
from typing import Any, NamedTuple
from urllib.parse import parse_qs

import cherrypy

from ...core import strict_json
from ...core.errors import BadRequest
from .ndjson import NDJSON, Items, Lines

KEY = r"[!-~]([ -~]{0,253}[!-~])?"
"""The pattern of an ``Idempotency-Key``; HTTP strips spaces at the ends of a header (RFC 9110, section 5.5)."""
MAX_CONTAINERS = 1_000_000
"""The most arrays and objects of a body: in memory, each takes a hundred times the space of its two brackets."""
FORM = "application/x-www-form-urlencoded"
MAX_FIELDS = 2000
"""The most fields of a form."""
ARRAY = re.compile(r"[ \t\n\r]*+\[")


class BodyLimits(NamedTuple):
    """The largest body of a batch, and the largest body or item of a batch that dispatches one job, in bytes.

    A parser lets no other thread run until it returns: an item must be small, whereas a batch is parsed in parts.
    """

    batch: int
    item: int

    @classmethod
    def of(cls, body_limit: int, arguments_bytes: int) -> "BodyLimits":
        """The limits of these settings; arguments may have as many spaces as text, and 64 KiB are for options."""
        return cls(body_limit, min(body_limit, 2 * arguments_bytes + 65_536))


def idempotency_key() -> str | None:
    """The request's ``Idempotency-Key``; raises ``BadRequest`` unless it has 1 to 255 printable ASCII characters."""
    key: str | None = cherrypy.request.headers.get("Idempotency-Key")
    if key is not None and not re.fullmatch(KEY, key):
        raise BadRequest("The header Idempotency-Key must have 1 to 255 printable ASCII characters.")
    return key


def json_body(limits: BodyLimits) -> None:
    """Let CherryPy read the body into ``request.json``, or ``request.form``; called before the body is read.

    A request without a handler, and one that announces no body (RFC 9112, section 6.3), is answered without reading
    its body. Chunked bodies are refused with 411 and bodies that are too large with 413, before they are read.
    """
    request = cherrypy.serving.request
    request.json = {}
    announced = "Content-Length" in request.headers or "Transfer-Encoding" in request.headers
    if isinstance(request.handler, cherrypy.HTTPError) or not announced:
        request.process_request_body = False
        return
    batch = request.operation is not None and NDJSON in request.operation.body
    _refuse_size(limits, batch=batch)
    if request.process_request_body:
        _refuse_encoding()
    # Media types are case-insensitive (RFC 9110, section 8.3.1).
    request.body.content_type.value = request.body.content_type.value.lower()
    request.body.processors = {"application/json": partial(_read_batch, limits.item) if batch else _read_json}
    if batch:
        request.body.processors[NDJSON] = partial(_read_lines, limits.item)
    if request.operation is not None and request.operation.page:
        request.body.processors = {FORM: _read_form}
    request.body.default_proc = _refuse_type


def _read_form(entity: Any) -> None:
    try:
        text = entity.fp.read().decode("utf-8")
        cherrypy.request.form = parse_qs(text, keep_blank_values=True, errors="strict", max_num_fields=MAX_FIELDS)
    except ValueError:
        raise BadRequest(f"The body is not a form in UTF-8 with at most {MAX_FIELDS} fields.") from None


def _read_json(entity: Any) -> None:
    raw = entity.fp.read()
    if raw:
        _decode(raw)


def _decode(text: str | bytes) -> None:
    try:
        cherrypy.request.json = strict_json.loads(text, exact=True)
    except ValueError as error:
        raise BadRequest(f"The body is not JSON: {error}.") from error


def _read_batch(limit: int, entity: Any) -> None:
    """Read the items of an array only on demand, one by one."""
    raw = entity.fp.read()
    if raw.count(b"[") + raw.count(b"{") > MAX_CONTAINERS:
        raise cherrypy.HTTPError(413, f"The body has more than {MAX_CONTAINERS} arrays and objects.")
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise BadRequest("The body is not JSON: it is not UTF-8.") from None
    if ARRAY.match(text):
        cherrypy.request.json = Items(text, limit)
    elif len(text) > limit:
        raise BadRequest("The body must be a JSON array.")
    elif text:
        _decode(text)


def _read_lines(limit: int, entity: Any) -> None:
    cherrypy.request.json = Lines(entity.fp, limit)


def _refuse_size(limits: BodyLimits, *, batch: bool) -> None:
    headers = cherrypy.request.headers
    if "Transfer-Encoding" in headers:
        cherrypy.response.headers["Connection"] = "close"
        raise cherrypy.HTTPError(411, "Chunked request bodies are not accepted. Send the body with a Content-Length.")
    length = headers.get("Content-Length", "")
    if not (length.isascii() and length.isdigit()):
        raise BadRequest("The header Content-Length must be the number of bytes of the body.")
    limit = limits.batch if batch else limits.item
    if int(length[:20]) > limit:
        setting = "body_limit" if limit == limits.batch else "arguments_bytes for one job"
        cherrypy.response.headers["Connection"] = "close"
        raise cherrypy.HTTPError(413, f"The body is larger than {limit} bytes, the limit set by {setting}.")


def _refuse_encoding() -> None:
    """Refuse a body whose declared encoding is not the one in which it would be read."""
    request = cherrypy.request
    coding = request.headers.get("Content-Encoding", "identity")
    if coding.strip().lower() != "identity":
        cherrypy.response.headers["Accept-Encoding"] = "identity"
        raise cherrypy.HTTPError(
            415, f"The Content-Encoding {coding[:80]!r} is not supported. Send the body unencoded."
        )
    charset = request.body.content_type.params.get("charset", "utf-8")
    if charset.strip().lower() not in {"utf-8", "utf8"}:
        raise cherrypy.HTTPError(415, f"The charset {charset[:80]!r} is not supported. Send the body in UTF-8.")


def _refuse_type() -> None:
    name, media = ("a form", FORM) if FORM in cherrypy.request.body.processors else ("JSON", "application/json")
    if cherrypy.request.headers.get("Content-Length") != "0":
        raise cherrypy.HTTPError(415, f"The body must be {name}. Send it with the header Content-Type: {media}.")
