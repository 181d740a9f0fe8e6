"""The response to a request that reaches no handler, as bytes: a problem document that closes the connection."""

from email.utils import formatdate
from http import HTTPStatus

from ...core import strict_json
from ...logs import log_context
from ..problem_document import PROBLEM_JSON, of_status
from ..security_headers import SECURITY, SERVER

CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
SENTENCES = {
    HTTPStatus.BAD_REQUEST: "The server cannot read this request.",
    HTTPStatus.REQUEST_TIMEOUT: "The request was not complete in time.",
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: "The body is too large.",
    HTTPStatus.REQUEST_URI_TOO_LONG: "The request line is too long.",
    HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE: "The headers are too large.",
    HTTPStatus.INTERNAL_SERVER_ERROR: "The service failed. Its log has the details.",
    HTTPStatus.SERVICE_UNAVAILABLE: "The server is too busy. Try again later.",
}
"""The messages of statuses that the server itself answers."""


def closing(status: HTTPStatus, sentence: str | None = None, request: str | None = None) -> bytes:
    """A complete response, after which the connection is closed; ``request`` is the request's id in the log."""
    sentence = sentence or SENTENCES.get(status, f"{status.phrase}.")
    body = strict_json.pretty(of_status(status, sentence))
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
