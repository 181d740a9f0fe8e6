"""A cache for one value that is costly to compute."""

import threading
import time
from collections.abc import Callable
from typing import Generic, TypeVar

Value = TypeVar("Value")

PATIENCE = 1.0
"""How long a thread waits, in seconds, while another thread computes the value, which may take forever."""


class TtlCache(Generic[Value]):
    """Caches the value of ``find`` for ``seconds``; if several threads need a new value, only one calls ``find``."""

    def __init__(self, find: Callable[[], Value], seconds: float) -> None:
        self._find = find
        self._seconds = seconds
        self._lock = threading.Lock()
        self._kept: tuple[Value, float] | None = None

    def get(self, patience: float = PATIENCE) -> Value:
        """The value; an exception of ``find`` is raised and not cached.

        Raises ``TimeoutError`` if another thread has been computing the value for ``patience`` seconds.
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
