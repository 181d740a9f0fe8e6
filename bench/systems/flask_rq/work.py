"""The tasks."""


def add(x: int, y: int) -> int:
    """The work."""
    return x + y
