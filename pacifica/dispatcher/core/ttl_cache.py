"""A value that is costly to find, kept for a moment and shared by all who ask for it meanwhile."""

import threading
import time
from collections.abc import Callable
from typing import Generic, TypeVar

Value = TypeVar("Value")

PATIENCE = 1.0
"""Seconds that whoever asks waits for another thread, which may be waiting for something that never answers."""


class TtlCache(Generic[Value]):
    """What ``find`` returned, at most ``seconds`` old; of several threads that ask at once, one finds it."""

    def __init__(self, find: Callable[[], Value], seconds: float) -> None:
        self._find = find
        self._seconds = seconds
        self._lock = threading.Lock()
        self._kept: tuple[Value, float] | None = None

    def get(self, patience: float = PATIENCE) -> Value:
        """The value; whatever ``find`` raises is raised, and not kept.

        Raises ``TimeoutError`` when another thread is not done with finding it for ``patience`` seconds.
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
