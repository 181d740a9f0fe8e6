"""The only place in the tests that sleeps."""

import time
from collections.abc import Callable
from typing import TypeVar

Value = TypeVar("Value")

SHORTEST = 0.005
LONGEST = 0.1


def eventually(fact: Callable[[], Value], timeout: float = 15.0, message: str = "it did not become true") -> Value:
    """Return the first truthy value of ``fact()``.

    An ``AssertionError`` of ``fact`` means "not yet"; any other exception is raised at once. Raises
    ``AssertionError`` with ``message`` and the last value after ``timeout`` seconds.
    """
    end = time.monotonic() + timeout
    pause = SHORTEST
    while True:
        late = time.monotonic() >= end
        cause: AssertionError | None = None
        try:
            value = fact()
        except AssertionError as error:
            cause, seen = error, f"the last look failed: {error}"
        else:
            if value:
                return value
            seen = f"the last value was {value!r}"
        if late:
            raise AssertionError(f"{message} within {timeout:g} s; {seen}") from cause
        time.sleep(min(pause, max(end - time.monotonic(), 0)))
        pause = min(pause * 1.5, LONGEST)


def let_pass(seconds: float) -> None:
    """Wait while a fault lasts."""
    time.sleep(seconds)
