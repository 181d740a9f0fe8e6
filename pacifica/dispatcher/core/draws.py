"""Random bytes from the operating system, drawn by the block: a call for each few of them lets other threads in."""

import os
import threading

BLOCK = 4096
"""Bytes that are drawn at once."""


class Draws:
    """Each byte is given once, to one thread of one process."""

    _block = b""
    _given = 0

    def __init__(self) -> None:
        self._lock = threading.Lock()
        if hasattr(os, "register_at_fork"):  # Windows has no fork.
            os.register_at_fork(after_in_child=self._forget)

    def take(self, number: int) -> bytes:
        """So many fresh bytes, at most a block."""
        with self._lock:
            begin = self._given
            end = self._given = begin + number
            if end > len(self._block):
                self._block = os.urandom(BLOCK)
                begin, end = 0, number
                self._given = number
            return self._block[begin:end]

    def _forget(self) -> None:
        """A child must not give what its parent gives."""
        self._lock = threading.Lock()
        self._block, self._given = b"", 0


take = Draws().take
