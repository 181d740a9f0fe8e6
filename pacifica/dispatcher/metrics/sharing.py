"""How the web processes of one gunicorn add up: a folder in which each writes figures into files of its own.

The files are prometheus_client's, but named by a place instead of by a process: whoever starts takes
the first place that is free, and goes on with the figures of its predecessor. So nothing is lost when
a process ends, however it ends, and there are never more files than there were processes at a time.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from prometheus_client import CollectorRegistry, values
from prometheus_client.multiprocess import MultiProcessCollector

FOLDER = "PROMETHEUS_MULTIPROC_DIR"
"""The environment variable that names the folder; prometheus_client's own."""


def join(folder: Path) -> None:
    """Have every instrument that this process makes from now on write into the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    os.environ[FOLDER] = str(folder)
    place = _take_place(folder)
    # prometheus_client chooses when it is first imported, which a server may do long before it forks.
    values.ValueClass = values.MultiProcessValue(lambda: place)


def sum_up(registry: CollectorRegistry, folder: Path) -> None:
    """Have the registry tell the figures of all processes that write into the folder."""
    MultiProcessCollector(registry, str(folder))


@contextmanager
def locked(path: Path) -> Iterator[bool]:
    """Hold the lock of that file, unless another thread or process does; whether it is held."""
    with path.open("a") as file:
        yield _lock(file.fileno())


def _take_place(folder: Path) -> int:
    """The first free place; the kernel frees it when the process ends."""
    number = 0
    while not _lock(descriptor := os.open(folder / f"place-{number}", os.O_RDWR | os.O_CREAT)):
        os.close(descriptor)
        number += 1
    return number


def _lock(descriptor: int) -> bool:
    import fcntl  # Windows has none, and no gunicorn.

    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
