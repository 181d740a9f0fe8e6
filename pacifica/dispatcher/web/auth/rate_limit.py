"""A token bucket per caller, in the memory of one process, for a bounded number of callers."""

import math
import threading
from collections import OrderedDict
from dataclasses import dataclass

CALLERS = 10_000
"""The number of callers kept; beyond it, the least recently seen caller is dropped and starts with a full bucket."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether a request is within the limit, and how many remain; times are in whole seconds."""

    allowed: bool
    remaining: int
    reset: int
    retry_after: int


class RateLimit:
    """Allows ``limit`` requests per ``window`` seconds, refilled evenly; ``now`` is the time of any monotonic clock."""

    def __init__(self, limit: int, window: float, callers: int = CALLERS) -> None:
        self.limit = limit
        self.window = window
        self._callers = callers
        self._lock = threading.Lock()
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._buckets)

    def take(self, caller: str, now: float) -> Verdict:
        """Count one request of the caller; a refused request is not counted."""
        rate = self.limit / self.window
        with self._lock:
            level, seen = self._buckets.pop(caller, (float(self.limit), now))
            level = min(float(self.limit), level + max(0.0, now - seen) * rate)
            allowed = level >= 1.0
            level -= allowed
            self._buckets[caller] = (level, now)
            if len(self._buckets) > self._callers:
                self._buckets.popitem(last=False)
        reset = math.ceil((self.limit - level) / rate)
        return Verdict(allowed, int(level), reset, max(1, math.ceil((1.0 - level) / rate)))
