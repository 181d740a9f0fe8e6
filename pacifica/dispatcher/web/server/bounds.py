"""The limits of a server for all its clients, and the refusals of those who exceed one."""

from http import HTTPStatus
from typing import NamedTuple

from .head import Refusal

LINGER = 2.0
"""Seconds in which a client can read the last response before its connection is closed."""
PAUSE = 0.25
"""Seconds between two searches for overdue connections."""
SPARE = 100
"""Connections beyond the limit that are answered with 503; any further one is closed without a response."""

LATE = Refusal(HTTPStatus.REQUEST_TIMEOUT, "The request was not complete in time.")
CUT_OFF = Refusal(HTTPStatus.BAD_REQUEST, "The connection ended before the request was complete.")
CROWDED = Refusal(HTTPStatus.SERVICE_UNAVAILABLE, "There are too many connections. Try again later.")
FULL = Refusal(HTTPStatus.SERVICE_UNAVAILABLE, "There are too many large requests. Try again later.")
CLOGGED = Refusal(HTTPStatus.SERVICE_UNAVAILABLE, "There are too many unread responses. Try again later.")
BUSY = Refusal(HTTPStatus.SERVICE_UNAVAILABLE, "There are too many requests. Try again later.")


class Limits(NamedTuple):
    """``seconds`` limits idle time and the time for a head; ``taken`` limits the buffered bytes of all clients."""

    seconds: float = 10.0
    head: int = 32_768
    body: int = 16_777_216
    taken: int = 4 * 16_777_216
    connections: int = 500
