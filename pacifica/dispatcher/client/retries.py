"""When a request is sent again: urllib3's ``Retry`` counts and paces the tries, a ``Deadline`` bounds them together.

``Retry`` is not mounted on requests' adapters: there it would not repeat a request whose answer was cut off in its
body, would not know the deadline of a single call, and would change a session that the caller passed in.
"""

import time
from collections.abc import Iterator

from urllib3 import Retry
from urllib3.exceptions import InvalidHeader, MaxRetryError

USUAL = Retry(6, backoff_factor=0.15, backoff_max=10.0, backoff_jitter=0.25)
"""Six more tries within about ten seconds."""
NEVER = USUAL.new(total=0)
LONGEST_RETRY_AFTER = 60.0
"""Seconds. A service that asks for a longer pause in ``Retry-After`` is not tried again."""


def pauses(retries: Retry) -> Iterator[float]:
    """The seconds to wait before each further try; ends when ``retries`` allow no more."""
    while True:
        try:
            retries = retries.increment()
        except MaxRetryError:
            return
        yield retries.get_backoff_time()


def retry_after_seconds(header: str | None) -> float:
    """The seconds that a ``Retry-After`` header asks for; 0 if it is missing or not valid."""
    try:
        return USUAL.parse_retry_after(header) if header else 0.0
    except InvalidHeader:
        return 0.0


class Deadline:
    """The moment at which the given number of seconds is over; never, for ``None``."""

    def __init__(self, seconds: float | None) -> None:
        self.seconds = seconds
        self._end = None if seconds is None else time.monotonic() + seconds

    def left(self, most: float) -> float:
        """The seconds that are left, but at most ``most``."""
        return most if self._end is None else min(most, max(0.0, self._end - time.monotonic()))

    @property
    def over(self) -> bool:
        return self._end is not None and time.monotonic() >= self._end
