"""Limits how long a worker's shutdown may take: a thread acts when the time of a signal is over.

A signal handler only notifies it. It must take no lock and start no thread: a second signal may interrupt it at any
instruction, and its handler would wait forever for the lock that the first one holds.
"""

import logging
import queue
import threading
import time
from collections.abc import Callable, Mapping
from typing import NamedTuple

logger = logging.getLogger(__name__)


class Limit(NamedTuple):
    """The seconds that a kind of shutdown may take, and the action after them."""

    seconds: float
    act: Callable[[], object]


class ShutdownLimit:
    """The limits by the kind of shutdown; the first ``begin`` of each kind counts."""

    def __init__(self, limits: Mapping[str, Limit]) -> None:
        self._limits = limits
        self._begun: queue.SimpleQueue[tuple[str, float]] = queue.SimpleQueue()  # Its ``put`` is reentrant.
        self._thread = threading.Thread(target=self._run, name="shutdown-limit", daemon=True)

    def start(self) -> None:
        """Start the thread, before signals are handled."""
        self._thread.start()

    def begin(self, kind: str) -> None:
        """Note that a shutdown has begun; for a signal handler."""
        self._begun.put((kind, time.monotonic()))

    def _run(self) -> None:
        seen: set[str] = set()
        due: dict[str, float] = {}
        while True:
            wait = max(0.0, min(due.values()) - time.monotonic()) if due else None
            try:
                kind, at = self._begun.get(timeout=wait)
            except queue.Empty:
                kind = min(due, key=due.__getitem__)
                del due[kind]
                try:
                    self._limits[kind].act()
                except Exception:
                    # The limit of the other kind must still hold.
                    logger.exception("Unhandled exception at the end of a shutdown's time")
                continue
            if kind not in seen:
                seen.add(kind)
                due[kind] = at + self._limits[kind].seconds
