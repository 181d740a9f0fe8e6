"""Sends a response without a thread that waits for its client: data that the client does not accept is buffered."""

import socket
import threading
import time
from collections.abc import Iterable
from contextlib import suppress

from ...core.pausing import this_thread

SLOWEST = 16_384
"""The least rate, in bytes per second, at which a client must send a body or read a response."""

SMALL = 65_536
"""A response of at most so many bytes is never refused, as a client's socket usually accepts all of it at once."""
GRACE, FAST = 1.0, 16 * SLOWEST
"""When room is short, a client may read more slowly than so many bytes per second only for so many seconds."""


class NoRoom(OSError):
    """The response would exceed the budget; nothing of it was sent."""


class Budget:
    """Limits the bytes that a server buffers for all its clients together."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._taken = 0
        self._lock = threading.Lock()

    def take(self, length: int) -> bool:
        """Reserve so many bytes; return whether there was room. As long as nothing is reserved, any number fits."""
        with self._lock:
            room = not self._taken or self._taken + length <= self._limit
            self._taken += length if room else 0
        return room

    def give_back(self, length: int) -> None:
        with self._lock:
            self._taken -= length


class Outgoing:
    """The part of a response that the client has not accepted yet, as ``rest``.

    The ``seconds`` of its methods are added to the time that ``SLOWEST`` allows.
    """

    __slots__ = ("_accepted", "_counted", "_since", "_sock", "begun", "rest")

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._counted = 0
        self._since, self._accepted = 0.0, 0
        self.rest = bytearray()
        self.begun = False
        """Whether a part of the response was sent; the owner resets it before the next response."""

    def send(self, piece: bytes, budget: Budget, seconds: float) -> None:
        """Send a piece of the response in the calling thread; raises ``OSError``.

        Data that the client does not accept at once is buffered. If the response exceeds the budget, its first piece
        raises ``NoRoom``, so that it is not held by whatever would wait for the client. A later piece waits, so that a
        stream cannot accumulate in memory.
        """
        left = memoryview(piece)
        if not self.rest:
            reserved = len(left) if not self.begun and len(left) > SMALL else 0
            if not budget.take(reserved):
                raise NoRoom
            self.begun = True
            with suppress(BlockingIOError):
                left = left[self._sock.send(left) :]
            budget.give_back(reserved)
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
            sent = self._sock.send(self.rest)
            self._accepted += sent
            del self.rest[:sent]
        return not self.rest

    def rate(self, now: float) -> float:
        """The bytes per second that the client has accepted of the rest; infinite within ``GRACE`` seconds."""
        seconds = now - self._since
        return self._accepted / seconds if seconds > GRACE else float("inf")

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
        self._since, self._accepted = time.monotonic(), 0
        self.rest += left
        return True


def slowest(answers: Iterable[Outgoing], length: int) -> list[Outgoing]:
    """The responses to drop so that one of this length finds room: those that are read the slowest, if too slowly."""
    now = time.monotonic()
    found = []
    for rate, answer in sorted(((answer.rate(now), answer) for answer in answers), key=lambda pair: pair[0]):
        if length <= 0 or rate >= FAST:
            break
        found.append(answer)
        length -= len(answer.rest)
    return found
