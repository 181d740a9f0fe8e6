"""Sends a response without a thread that waits for its client: data that the client does not accept is buffered."""

import socket
import threading
from contextlib import suppress

from ...core.pausing import this_thread

SLOWEST = 16_384
"""The least rate, in bytes per second, at which a client must send a body or read a response."""


class Budget:
    """Limits the bytes that a server buffers for all its clients together."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._taken = 0
        self._lock = threading.Lock()

    def take(self, length: int) -> bool:
        """Reserve so many bytes; return whether there was room."""
        with self._lock:
            room = self._taken + length <= self._limit
            self._taken += length if room else 0
        return room

    def give_back(self, length: int) -> None:
        with self._lock:
            self._taken -= length


class Outgoing:
    """The part of a response that the client has not accepted yet, as ``rest``.

    The ``seconds`` of its methods are added to the time that ``SLOWEST`` allows.
    """

    __slots__ = ("_counted", "_sock", "rest")

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._counted = 0
        self.rest = bytearray()

    def send(self, piece: bytes, budget: Budget, seconds: float) -> None:
        """Send a piece of the response in the calling thread; raises ``OSError``.

        Data that the client does not accept at once is buffered. The next piece, and one that exceeds the budget,
        waits for the client, so that a stream cannot accumulate in memory.
        """
        left = memoryview(piece)
        if not self.rest:
            with suppress(BlockingIOError):
                left = left[self._sock.send(left) :]
            if not left or self._keep(left, budget):
                return
        if this_thread.host is None:
            self._send_all(left, budget, seconds)
        else:
            this_thread.host.run_in_thread(lambda: self._send_all(left, budget, seconds))

    def _send_all(self, left: memoryview, budget: Budget, seconds: float) -> None:
        try:
            self._sock.settimeout(self.patience(seconds) + len(left) / SLOWEST)
            self._sock.sendall(self.rest)
            self._sock.sendall(left)
        finally:
            self.forget(budget)
            self._sock.settimeout(0)

    def send_on(self) -> bool:
        """Send what the client accepts now; return whether nothing is left; raises ``OSError``."""
        with suppress(BlockingIOError, InterruptedError):
            del self.rest[: self._sock.send(self.rest)]
        return not self.rest

    def send_last(self, seconds: float) -> None:
        """Wait for the client to accept the rest, at most so many seconds."""
        if self.rest and seconds > 0:
            with suppress(OSError):
                self._sock.settimeout(seconds)
                self._sock.sendall(self.rest)

    def patience(self, seconds: float) -> float:
        """The seconds in which the client must accept the rest."""
        return seconds + len(self.rest) / SLOWEST

    def forget(self, budget: Budget) -> None:
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
