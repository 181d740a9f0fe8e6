"""How code below ``web/`` waits for a commit or a query without stopping the event loop that runs it.

While an event loop runs a request, it is the ``host`` of its thread; other threads have no host.
"""

import threading
from collections.abc import Callable
from typing import Protocol, TypeVar

Value = TypeVar("Value")


class Host(Protocol):
    """The event loop of a thread, as seen by the code that it runs."""

    def pause(self, begin: Callable[[Callable[[], object]], object]) -> None:
        """Call ``begin`` with a function that ends the pause, and return once any thread has called that function."""

    def run_in_thread(self, call: Callable[[], Value]) -> Value:
        """Run ``call`` in another thread, and return or raise its outcome; the loop continues meanwhile."""

    def run_after_round(self, call: Callable[[], object]) -> None:
        """Run ``call`` in another thread once the loop has started all pending requests; any thread may call this."""


class _ThisThread(threading.local):
    host: Host | None = None


this_thread = _ThisThread()
"""``this_thread.host`` is the event loop that runs the current code, or ``None``."""
