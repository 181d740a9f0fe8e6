"""The tasks."""

from huey import SqliteHuey

huey = SqliteHuey(filename="huey.sqlite3")


@huey.task()
def add(x: int, y: int) -> int:
    """The work."""
    return x + y
