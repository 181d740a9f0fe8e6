"""The built-in tasks, which every service has, for trying it out."""

import time
from collections.abc import Callable
from typing import Annotated

from pydantic import Field

from .task import task

Value = int | float | str
MAX_BITS = 4096
"""The largest integer that ``add`` and ``mul`` compute, in bits."""
MAX_BITS_OF_COUNT = 31
"""The largest count for repeating text, in bits; Python refuses larger ones even if the result is empty."""
MAX_TEXT = 65_536
"""The longest text that ``add`` and ``mul`` return, in characters."""


def _check_add(x: Value, y: Value) -> None:
    if isinstance(x, str) != isinstance(y, str):
        raise ValueError("x and y must both be numbers, or both be text")
    if isinstance(x, str) and isinstance(y, str):
        _bound_text(len(x) + len(y))
    else:
        _bound_numbers(x, y, lambda a, b: max(a, b) + 1)


def _check_mul(x: Value, y: Value) -> None:
    if isinstance(x, str) and isinstance(y, str):
        raise ValueError("at most one of x and y may be text")
    if isinstance(x, str) or isinstance(y, str):
        text, count = (x, y) if isinstance(x, str) else (y, x)
        if not isinstance(count, int):
            raise ValueError("text can be repeated only a whole number of times")
        if count.bit_length() > MAX_BITS_OF_COUNT:
            raise ValueError(f"text can be repeated fewer than 2**{MAX_BITS_OF_COUNT} times")
        _bound_text(len(str(text)) * max(count, 0))
    else:
        _bound_numbers(x, y, lambda a, b: a + b)


def _bound_text(length: int) -> None:
    if length > MAX_TEXT:
        raise ValueError(f"the result would have too many characters; {MAX_TEXT} are allowed")


def _bound_numbers(x: Value, y: Value, bits: Callable[[int, int], int]) -> None:
    """Refuse numbers whose result would be too large, before the work is done; floats cannot grow too large."""
    if isinstance(x, int) and isinstance(y, int) and (size := bits(x.bit_length(), y.bit_length())) > MAX_BITS:
        raise ValueError(f"the result would have up to {size} bits; {MAX_BITS} are allowed")
    for name, value in (("x", x), ("y", y)):
        if isinstance(value, int) and value.bit_length() > MAX_BITS:
            raise ValueError(f"{name} has {value.bit_length()} bits; {MAX_BITS} are allowed")


@task(name="add", check=_check_add)
def add(x: Value, y: Value) -> Value:
    """The sum of two numbers, or two texts joined."""
    return x + y  # type: ignore[operator]


@task(name="mul", check=_check_mul)
def mul(x: Value, y: Value) -> Value:
    """The product of two numbers, or a text repeated."""
    return x * y  # type: ignore[operator]


@task(name="sleep")
def sleep(seconds: Annotated[float, Field(ge=0, le=86_400)] = 1.0) -> float:
    """Do nothing for some seconds; returns how many."""
    time.sleep(seconds)
    return seconds


@task(name="fail")
def fail(message: Annotated[str, Field(max_length=1000)] = "It was asked to fail.") -> None:
    """Fail with a ``RuntimeError`` of this message."""
    raise RuntimeError(message)
