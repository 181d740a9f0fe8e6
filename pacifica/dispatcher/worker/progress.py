"""What a running job says of itself: stored not too often, and the last word always."""

import logging
import math
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

from ..core.errors import DatabaseUnavailable

logger = logging.getLogger(__name__)

LONGEST_MESSAGE = 1000
"""Characters of a report's message."""
Number = int | float


def reported(current: Number, total: Number | None = None, message: str = "") -> Mapping[str, Any]:
    """The JSON value of a report; raises ``ValueError`` or ``TypeError`` naming what cannot be used."""
    for name, value in (("current", current), ("total", total)):
        if value is None and name == "total":
            continue
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise TypeError(f"progress: {name} must be a number, and not {type(value).__name__}")
        if not math.isfinite(value) or value < 0:
            raise ValueError(f"progress: {name} is {value}; it must be finite and not below 0")
    if not isinstance(message, str) or len(message) > LONGEST_MESSAGE:
        raise ValueError(f"progress: message must be a text of at most {LONGEST_MESSAGE} characters")
    return {"current": current, "total": total, "message": message}


class Reports:
    """The reports of one attempt: ``store`` is called at most once in ``interval`` seconds, and with the last one.

    Of a database that is away a report says nothing to the task; the next one is stored when that is back.
    """

    def __init__(self, store: Callable[[Mapping[str, Any]], object], interval: float) -> None:
        self._store = store
        self._interval = interval
        self._lock = threading.Lock()
        self._next = 0.0
        self._waiting: Mapping[str, Any] | None = None
        self._timer: threading.Timer | None = None

    def report(self, value: Mapping[str, Any]) -> None:
        """Store the value now, or when its time comes, unless another one replaces it until then."""
        with self._lock:
            self._waiting = value
            pause = self._next - time.monotonic()
            if pause <= 0:
                self._flush()
            elif self._timer is None:
                self._timer = threading.Timer(pause, self._in_time)
                self._timer.daemon = True
                self._timer.start()

    def finish(self) -> None:
        """Store what still waits; the attempt ends."""
        with self._lock:
            if self._timer is not None:
                self._timer.cancel()
            self._flush()

    def _in_time(self) -> None:
        with self._lock:
            self._timer = None
            self._flush()

    def _flush(self) -> None:
        value, self._waiting = self._waiting, None
        if value is None:
            return
        self._next = time.monotonic() + self._interval
        try:
            self._store(value)
        except DatabaseUnavailable as error:
            logger.warning("A report of progress is not stored: %s", error)
