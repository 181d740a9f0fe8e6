"""The response to a request that reaches no handler, as bytes: a problem document that closes the connection."""

from email.utils import formatdate
from http import HTTPStatus

from ...core import strict_json
from ...logs import log_context
from ..problem_document import PROBLEM_JSON, of_status
from ..security_headers import SECURITY, SERVER
from .head import Refusal

CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
FAILED = Refusal(HTTPStatus.INTERNAL_SERVER_ERROR, "The service failed. Its log has the details.")


def closing(refusal: Refusal, request: str | None = None) -> bytes:
    """A complete response, after which the connection is closed; ``request`` is the request's id in the log."""
    status = refusal.status
    body = strict_json.pretty(of_status(status, refusal.sentence))
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
