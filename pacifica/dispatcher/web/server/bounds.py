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
CHUNK = 65_536
"""Bytes per read; up to so many buffered bytes of a connection do not count against the budget."""
SMALL = 65_536
"""A response of at most so many bytes is never refused, as a client's socket usually accepts all of it at once."""
SLOWEST = 16_384
"""The least rate, in bytes per second, at which a client must send a body or read a response."""
GRACE, FAST = 1.0, 16 * SLOWEST
"""When room is short, a client may read more slowly than so many bytes per second only for so many seconds."""

LATE = Refusal(HTTPStatus.REQUEST_TIMEOUT, "The request was not complete in time.")
CUT_OFF = Refusal(HTTPStatus.BAD_REQUEST, "The connection ended before the request was complete.")
CROWDED = Refusal(HTTPStatus.SERVICE_UNAVAILABLE, "There are too many connections. Try again later.")
FULL = Refusal(HTTPStatus.SERVICE_UNAVAILABLE, "There are too many large requests. Try again later.")
CLOGGED = Refusal(HTTPStatus.SERVICE_UNAVAILABLE, "There are too many unread responses. Try again later.")


class Limits(NamedTuple):
    """``seconds`` limits idle time and the time for a head; ``taken`` limits the buffered bytes of all clients."""

    seconds: float = 10.0
    head: int = 32_768
    body: int = 16_777_216
    taken: int = 4 * 16_777_216
    connections: int = 10_000


class Budget:
    """The bytes that a server buffers for all its clients together, and their limit."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._taken = 0

    def has_room(self, length: int) -> bool:
        """Whether so many bytes fit. As long as nothing is taken, any number fits."""
        return not self._taken or self._taken + length <= self._limit

    def take(self, length: int) -> None:
        """Count bytes, even beyond the limit: a response that has begun must be kept."""
        self._taken += length

    def give_back(self, length: int) -> None:
        self._taken -= length
