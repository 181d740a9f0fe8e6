"""A daemon thread that repeats an action until it is stopped."""

import logging
import threading
from collections.abc import Callable

from .errors import DatabaseUnavailable

logger = logging.getLogger(__name__)


class PeriodicThread:
    """Calls ``action`` again and again, after a pause of ``interval`` seconds before each call.

    A callable ``interval`` is called before each pause. An exception does not end the thread, as its end could go
    unnoticed; it is logged, and ``doing`` ("renewing the lease") names the work that failed.
    """

    def __init__(
        self, name: str, action: Callable[[], object], *, doing: str, interval: float | Callable[[], float]
    ) -> None:
        self._name = name
        self._action = action
        self._doing = doing
        self._interval = interval
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Start the thread; call it once."""
        self._thread = threading.Thread(target=self._run, name=self._name, daemon=True)
        self._thread.start()

    def stop(self, timeout: float) -> None:
        """Call the action no more, and wait at most ``timeout`` seconds for a running call."""
        self._stopping.set()
        if self._thread is not None:
            self._thread.join(timeout)

    def pause(self, seconds: float) -> bool:
        """Wait within the action; returns early, and true, if the thread is being stopped."""
        return self._stopping.wait(seconds)

    def _run(self) -> None:
        while not self.pause(self._interval() if callable(self._interval) else self._interval):
            try:
                self._action()
            except DatabaseUnavailable as error:
                logger.warning("Failed while %s: %s", self._doing, error)
            except Exception:
                logger.exception("Unhandled exception while %s", self._doing)
