"""How code that has to wait does so. The entry point of a process chooses the waiter, the container passes it on."""

from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

Value = TypeVar("Value")


class Waiter:
    """Blocks the calling thread. The waiter of an event loop lets the loop run other requests meanwhile."""

    def on_loop(self) -> bool:
        """Whether the calling code runs in the thread of an event loop, which must not block."""
        return False

    def wait(self, future: Future[Value], seconds: float | None = None) -> Value:
        """The result of the future, or its exception; raises ``TimeoutError`` after so many seconds."""
        return future.result(seconds)

    def run(self, call: Callable[[], Value], *, heavy: bool = False) -> Value:
        """The result of a call that may block; ``heavy`` calls of a loop run one at a time, as they use memory."""
        del heavy
        return call()

    def after_round(self, call: Callable[[], object]) -> None:
        """Run ``call`` once an event loop has started the requests that wait for their turn; without a loop, now."""
        call()


BLOCKING = Waiter()
