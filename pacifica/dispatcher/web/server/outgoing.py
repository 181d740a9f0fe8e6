"""Sends an answer without a thread that waits for its client: what the client does not take at once is kept."""

import socket
import threading
from contextlib import suppress

from ...core.pausing import here

SLOWEST = 16_384
"""Bytes in a second below which a body, or the reading of an answer, is too slow."""


class Budget:
    """The bytes that all clients of a server together may have it keep."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._taken = 0
        self._lock = threading.Lock()

    def take(self, length: int) -> bool:
        """Whether there was room for so many more; it is theirs then."""
        with self._lock:
            room = self._taken + length <= self._limit
            self._taken += length if room else 0
        return room

    def give_back(self, length: int) -> None:
        """They are needed no longer."""
        with self._lock:
            self._taken -= length


class Outgoing:
    """What one client has not taken of its answer yet, as ``rest``; ``seconds`` is what it has beside ``SLOWEST``."""

    __slots__ = ("_counted", "_sock", "rest")

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._counted = 0
        self.rest = bytearray()

    def send(self, piece: bytes, budget: Budget, seconds: float) -> None:
        """Send a piece of the answer, in the thread that gives it; raises ``OSError``.

        What its client does not take at once is kept. The next piece, and one for which there is no room, waits
        for the client, so that a stream does not pile up.
        """
        left = memoryview(piece)
        if not self.rest:
            with suppress(BlockingIOError):
                left = left[self._sock.send(left) :]
            if not left or self._keep(left, budget):
                return
        if here.host is None:
            self._send_all(left, budget, seconds)
        else:
            here.host.elsewhere(lambda: self._send_all(left, budget, seconds))

    def _send_all(self, left: memoryview, budget: Budget, seconds: float) -> None:
        try:
            self._sock.settimeout(self.patience(seconds) + len(left) / SLOWEST)
            self._sock.sendall(self.rest)
            self._sock.sendall(left)
        finally:
            self.forget(budget)
            self._sock.settimeout(0)

    def send_on(self) -> bool:
        """Send what the client takes now; returns whether that was all, raises ``OSError``."""
        with suppress(BlockingIOError, InterruptedError):
            del self.rest[: self._sock.send(self.rest)]
        return not self.rest

    def send_last(self, seconds: float) -> None:
        """Wait for the client to take all of it, at most so long."""
        if self.rest and seconds > 0:
            with suppress(OSError):
                self._sock.settimeout(seconds)
                self._sock.sendall(self.rest)

    def patience(self, seconds: float) -> float:
        """The seconds that the client has for all of it."""
        return seconds + len(self.rest) / SLOWEST

    def forget(self, budget: Budget) -> None:
        """Keep nothing more."""
        self.rest = bytearray()
        if self._counted:
            budget.give_back(self._counted)
            self._counted = 0

    def _keep(self, left: memoryview, budget: Budget) -> bool:
        if not budget.take(len(left)):
            return False
        self._counted += len(left)
        self.rest += left
        return True
