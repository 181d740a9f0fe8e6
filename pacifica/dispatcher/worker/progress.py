"""Progress reports of a running job: stored at a limited rate, and the last one always."""

import logging
import math
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

from ..core.errors import DatabaseUnavailable
from ..core.interruption import UNINTERRUPTED
from ..core.json_values import native

logger = logging.getLogger(__name__)

LONGEST_MESSAGE = 1000
"""The most characters of a report's message."""
Number = int | float


def progress_value(current: Number, total: Number | None = None, message: str = "") -> Mapping[str, Any]:
    """The JSON value of a report; raises ``ValueError`` or ``TypeError``, naming the argument that is not valid.

    A number of NumPy is a number, too.
    """
    current, total = native(current), native(total)
    for name, value in (("current", current), ("total", total)):
        if value is None and name == "total":
            continue
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise TypeError(f"progress: {name} must be a number, not {type(value).__name__}")
        if not math.isfinite(value) or value < 0:
            raise ValueError(f"progress: {name} is {value}; it must be finite and at least 0")
    if not isinstance(message, str) or len(message) > LONGEST_MESSAGE:
        raise ValueError(f"progress: message must be a string of at most {LONGEST_MESSAGE} characters")
    return {"current": current, "total": total, "message": message}


class ProgressReporter:
    """Reports the progress of one attempt; calls ``store`` at most once in ``interval`` seconds, and at the end.

    A report that was delayed is stored by a timer's thread, which calls ``close`` as it ends.

    A database that is unavailable does not fail the task: the report is dropped, and the next one is stored.
    """

    def __init__(
        self,
        store: Callable[[Mapping[str, Any]], object],
        interval: float,
        close: Callable[[], object] = lambda: None,
    ) -> None:
        self._store = store
        self._interval = interval
        self._close = close
        self._lock = threading.Lock()
        self._next = 0.0
        self._pending: Mapping[str, Any] | None = None
        self._timer: threading.Timer | None = None

    def report(self, value: Mapping[str, Any]) -> None:
        """Store the value now or, if the last report is too recent, later; a later report replaces it until then."""
        with UNINTERRUPTED, self._lock:
            self._pending = value
            pause = self._next - time.monotonic()
            if pause <= 0:
                self._flush()
            elif self._timer is None:
                self._timer = threading.Timer(pause, self._on_timer)
                self._timer.daemon = True
                self._timer.start()

    def finish(self) -> None:
        """Store the pending report, if any, as the attempt ends."""
        with self._lock:
            if self._timer is not None:
                self._timer.cancel()
            self._flush()

    def _on_timer(self) -> None:
        with self._lock:
            self._timer = None
            self._flush()
        self._close()

    def _flush(self) -> None:
        value, self._pending = self._pending, None
        if value is None:
            return
        self._next = time.monotonic() + self._interval
        try:
            self._store(value)
        except DatabaseUnavailable as error:
            logger.warning("A progress report is not stored: %s", error)
