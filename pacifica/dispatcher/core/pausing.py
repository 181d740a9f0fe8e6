"""How code waits inside an event loop that answers many requests: the loop continues with others meanwhile.

While a loop runs a request, it is the ``host`` of the thread; a thread without a loop has no host.
"""

import threading
from collections.abc import Callable
from typing import Protocol, TypeVar

Value = TypeVar("Value")


class Host(Protocol):
    """The loop of a thread, as the code that it runs sees it."""

    def pause(self, begin: Callable[[Callable[[], object]], object]) -> None:
        """Call ``begin`` with a function that ends the pause; any thread may call it once, and then this returns."""

    def elsewhere(self, call: Callable[[], Value]) -> Value:
        """Run ``call`` in another thread, and return or raise its outcome; the loop continues meanwhile."""

    def aside(self, call: Callable[[], object]) -> None:
        """Run ``call`` in another thread once the loop has started all pending requests; any thread may call this."""


class _Here(threading.local):
    host: Host | None = None


here = _Here()
"""``here.host`` is the host of the code that this thread runs now."""
