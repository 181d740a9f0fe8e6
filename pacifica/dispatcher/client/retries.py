"""When to try again, and for how long: backoff with jitter, ``Retry-After``, and the time that a caller has given."""

import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from random import SystemRandom

_chance = SystemRandom()


@dataclass(frozen=True, slots=True)
class Retries:
    """How often a request is sent again, after pauses in seconds that double from ``first`` up to ``longest``.

    The usual ones last for about ten seconds. A service that asks in ``Retry-After`` for more than
    ``longest_asked`` is not asked again.
    """

    number: int = 6
    first: float = 0.25
    longest: float = 10.0
    longest_asked: float = 60.0

    def pauses(self) -> Iterator[float]:
        """The pause before each further try: between half of it and all, so that not all clients come at once."""
        for turn in range(self.number):
            yield min(self.longest, self.first * 2**turn) * _chance.uniform(0.5, 1.0)


NEVER = Retries(0)


class Deadline:
    """The moment at which the time that was given is over; ``None`` is never."""

    def __init__(self, seconds: float | None) -> None:
        self.seconds = seconds
        self._end = None if seconds is None else time.monotonic() + seconds

    def left(self, most: float) -> float:
        """The seconds that are left, and at most so many."""
        return most if self._end is None else min(most, max(0.0, self._end - time.monotonic()))

    @property
    def over(self) -> bool:
        """Whether no time is left."""
        return self._end is not None and time.monotonic() >= self._end


def asked_pause(retry_after: str | None) -> float:
    """The seconds that a ``Retry-After`` asks for (RFC 9110, section 10.2.3); 0 for one that cannot be read."""
    if retry_after is None:
        return 0.0
    if re.fullmatch("[0-9]{1,9}", retry_after, re.ASCII):
        return float(retry_after)
    try:
        moment = parsedate_to_datetime(retry_after)
    except ValueError:
        return 0.0
    aware = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return max(0.0, (aware - datetime.now(UTC)).total_seconds())
