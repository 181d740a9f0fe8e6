"""The tasks."""

from huey import SqliteHuey

huey = SqliteHuey(filename="huey.sqlite3")


@huey.task()
def add(x: int, y: int) -> int:
    """Add two numbers."""
    return x + y
