"""Waiting in a thread that answers many requests in turn: it goes on with the others, and comes back.

A loop that can do so is the ``host`` of each request while it answers it; everywhere else there is none.
"""

import threading
from collections.abc import Callable
from typing import Protocol, TypeVar

Value = TypeVar("Value")


class Host(Protocol):
    """A thread's loop, as what it carries out sees it."""

    def pause(self, begin: Callable[[Callable[[], object]], object]) -> None:
        """Call ``begin`` with what ends the pause, which any thread may call once; return when that was called."""

    def elsewhere(self, call: Callable[[], Value]) -> Value:
        """What ``call`` returns, or raises, in a thread that may wait for it; this one's loop goes on meanwhile."""

    def aside(self, call: Callable[[], object]) -> None:
        """Have another thread call it, once the loop has begun all that it has at hand; any thread may ask."""


class _Here(threading.local):
    host: Host | None = None


here = _Here()
"""``here.host`` is the host of what this thread carries out now."""
