"""A cache of one value that is costly to find, for a limited time."""

import threading
import time
from collections.abc import Callable
from typing import Generic, TypeVar

Value = TypeVar("Value")

PATIENCE = 1.0
"""Seconds that a thread waits for another one that is finding the value, which may take forever."""


class TtlCache(Generic[Value]):
    """Keeps the value that ``find`` returned for ``seconds``; of several threads that need a new one, one calls it."""

    def __init__(self, find: Callable[[], Value], seconds: float) -> None:
        self._find = find
        self._seconds = seconds
        self._lock = threading.Lock()
        self._kept: tuple[Value, float] | None = None

    def get(self, patience: float = PATIENCE) -> Value:
        """The value; an exception of ``find`` is raised and not cached.

        Raises ``TimeoutError`` when another thread has not found the value within ``patience`` seconds.
        """
        if not self._lock.acquire(timeout=patience):
            raise TimeoutError
        try:
            if self._kept is None or time.monotonic() >= self._kept[1]:
                value = self._find()
                self._kept = value, time.monotonic() + self._seconds
            return self._kept[0]
        finally:
            self._lock.release()
