"""Waiting in a thread that answers many requests in turn: it goes on with the others, and comes back.

A loop that can do so is the ``host`` of each request while it answers it; everywhere else there is none.
"""

import threading
from collections.abc import Callable
from typing import Protocol


class Host(Protocol):
    """A thread's loop, as what it carries out sees it."""

    def pause(self, begin: Callable[[Callable[[], object]], object]) -> None:
        """Call ``begin`` with what ends the pause, which any thread may call once; return when that was called."""

    def aside(self, call: Callable[[], object]) -> None:
        """Have another thread call it, once the loop has begun all that it has at hand; any thread may ask."""


class _Here(threading.local):
    host: Host | None = None


here = _Here()
"""``here.host`` is the host of what this thread carries out now."""
