"""The answer to a request that reaches no handler, in bytes: a problem document, and the end of the connection."""

from email.utils import formatdate
from http import HTTPStatus

from ...core import strict_json
from ...logs import log_context
from ..problem_document import PROBLEM_JSON, members
from ..security_headers import SECURITY, SERVER

CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
TOLD = {
    HTTPStatus.BAD_REQUEST: "The server cannot read this request.",
    HTTPStatus.REQUEST_TIMEOUT: "The request did not come to its end in time.",
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: "The body is too large.",
    HTTPStatus.REQUEST_URI_TOO_LONG: "The request line is too long.",
    HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE: "The headers are too large.",
    HTTPStatus.INTERNAL_SERVER_ERROR: "The service failed; its log tells why.",
    HTTPStatus.SERVICE_UNAVAILABLE: "The server is too busy; try again.",
}
"""The sentence for what a server itself answers."""


def closing(status: HTTPStatus, told: str | None = None, request: str | None = None) -> bytes:
    """A whole answer, after which the connection is closed; ``request`` is the id that the log has for it."""
    sentence = told or TOLD.get(status, f"{status.phrase}.")
    body = strict_json.pretty(members(status, status.name.lower().replace("_", "-"), sentence, {}))
    headers = [
        ("Content-Type", PROBLEM_JSON),
        ("Content-Length", str(len(body))),
        ("Connection", "close"),
        ("Cache-Control", "no-store"),
        ("Date", formatdate(usegmt=True)),
        ("Server", SERVER),
        ("X-Request-ID", request or log_context.request_id(None)),
        *SECURITY,
    ]
    if status is HTTPStatus.SERVICE_UNAVAILABLE:
        headers.append(("Retry-After", "1"))
    lines = [f"HTTP/1.1 {status.value} {status.phrase}", *(f"{name}: {value}" for name, value in headers)]
    return "\r\n".join(lines).encode("ascii") + b"\r\n\r\n" + body
