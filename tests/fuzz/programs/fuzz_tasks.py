"""Tasks with each kind of parameter."""

from typing import Literal

from pacifica.dispatcher import task


@task(name="echo")
def echo(value, *more: int, **named: str):
    """Return the arguments."""
    return [value, list(more), named]


@task(name="mix")
def mix(first: list[int], /, kind: Literal["a", "b"] = "a", *, flags: dict[str, bool | None] | None = None) -> int:
    """Return the length of the list."""
    return len(first)
