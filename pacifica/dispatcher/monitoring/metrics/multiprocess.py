"""How the web processes of one gunicorn add up: a folder in which each writes figures into files of its own.

The files are prometheus_client's, but named by a place instead of by a process: whoever starts takes
the first place that is free, and goes on with the figures of its predecessor. So nothing is lost when
a process ends, however it ends, and there are hardly more files than there were processes at a time.
"""

import errno
import logging
import os
import struct
import sys
import threading
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from functools import cache
from pathlib import Path
from typing import IO, Any

from prometheus_client import Metric, values
from prometheus_client.mmap_dict import MmapedDict, mmap_key
from prometheus_client.multiprocess import MultiProcessCollector

logger = logging.getLogger(__name__)

FOLDER = "PROMETHEUS_MULTIPROC_DIR"
"""The environment variable that names the folder; prometheus_client's own."""
KINDS = ("gauge_sum", "counter", "histogram")
"""What the files' names begin with; whoever holds the lock of all three has the place."""
SIZE = 16_384
"""Bytes of a new file."""
DAMAGED = (RuntimeError, ValueError, OSError, struct.error)
"""What reading a file raises that is gone, or holds something else."""


def join(folder: Path) -> "Place | None":
    """Have every instrument that this process makes from now on write into the folder.

    None, and only in memory, where the folder cannot be used: a request never fails for a figure.
    """
    place = None
    try:
        folder.mkdir(parents=True, exist_ok=True)
        place = _first_free(folder)
    except OSError as error:
        tell_once(f"This process counts for itself, as the folder of the metrics cannot be used: {error}")
    # prometheus_client chooses when it is first imported, which a server may do long before it forks.
    values.ValueClass = values.MutexValue if place is None else place.value
    return place


class Figures:
    """A file of figures that has its blocks before they are written to.

    prometheus_client's would have holes, which are filled at the first write to its memory: on a full disk
    that is SIGBUS.
    """

    def __init__(self, path: Path, file: IO[bytes]) -> None:
        _fill(file, SIZE)
        self._file = file
        self._figures: Any = MmapedDict(str(path))
        self._known: set[str] = {key for key, *_ in self._figures.read_all_values()}

    def read(self, key: str) -> float:
        """The figure; 0 where there is none, and no room for one."""
        return float(self._figures.read_value(key)[0]) if self._has(key) else 0.0

    def write(self, key: str, value: float) -> None:
        """Write it, or as soon as there is room: whoever counts knows the whole figure."""
        if self._has(key):
            self._figures.write_value(key, value, 0.0)

    def close(self) -> None:
        """Nothing is read or written any more."""
        self._figures.close()

    def _has(self, key: str) -> bool:
        if key not in self._known:
            descriptor = self._file.fileno()
            used = int.from_bytes(os.pread(descriptor, 4, 0), sys.byteorder)
            if used + 8 * len(key) + 64 > (size := os.fstat(descriptor).st_size):  # A character has four bytes at most.
                try:
                    _fill(self._file, 2 * size)
                except OSError as error:
                    tell_once(f"Some figures stay in memory, as {self._file.name} cannot grow: {error.strerror}")
                    return False
            self._known.add(key)
        return True


class Value:
    """One figure of an instrument, in a file that others read."""

    def __init__(self, figures: Figures, lock: threading.Lock, key: str) -> None:
        self._figures = figures
        self._lock = lock
        self._key = key
        with lock:
            self._value = figures.read(key)

    def inc(self, amount: float) -> None:
        """Add to it."""
        with self._lock:
            self._value += amount
            self._figures.write(self._key, self._value)

    def set(self, value: float, **_: Any) -> None:
        """Replace it."""
        with self._lock:
            self._value = value
            self._figures.write(self._key, self._value)


class Place:
    """The files of this process; the kernel frees them when it ends."""

    def __init__(self, figures: dict[str, Figures], held: ExitStack) -> None:
        self._figures = figures
        self._held = held
        self._lock = threading.Lock()

    def value(self, kind: str, *key: Any, multiprocess_mode: str = "", **_: Any) -> Value:
        """What prometheus_client makes of each sample of an instrument."""
        prefix = f"{kind}_{multiprocess_mode}" if multiprocess_mode else kind
        return Value(self._figures[prefix], self._lock, mmap_key(*key))

    def leave(self) -> None:
        """Free it for another one; nothing can be counted in it any more."""
        with self._lock, self._held:
            for figures in self._figures.values():
                figures.close()


class Sum:
    """A collector of the figures of all processes that write into the folder.

    What was counted stays when a process ends; a gauge is what a living process says.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def collect(self) -> Iterable[Metric]:
        """All families; a file that is damaged is left out."""
        files = [path for path in sorted(self._folder.glob("*.db")) if _counts(path)]
        for path in files:
            _keep_young(path)
        try:
            return _added_up(files)
        except DAMAGED as error:
            tell_once(f"A file of metrics in {self._folder} is left out, as it cannot be read: {error}")
            return _added_up([path for path in files if _reads(path)])


@cache
def tell_once(sentence: str) -> None:
    """Say it in the log, the first time in this process."""
    logger.warning("%s", sentence)


@contextmanager
def locked(path: Path) -> Iterator[bool]:
    """Hold the lock of that file, unless another thread or process does; whether it is held.

    Raises ``OSError`` where there can be no such file.
    """
    with path.open("a") as file:
        yield _lock(file.fileno())


def _first_free(folder: Path) -> Place:
    number = 0
    while (place := _take({kind: folder / f"{kind}_{number}.db" for kind in KINDS})) is None:
        number += 1
    return place


def _take(paths: dict[str, Path]) -> Place | None:
    """The place of these files, unless another process has one of them; one that is damaged begins anew."""
    with ExitStack() as held:
        files = {kind: held.enter_context(path.open("a+b")) for kind, path in paths.items()}
        if not all(_lock(file.fileno()) for file in files.values()):
            return None
        for kind, file in files.items():
            if not _reads(paths[kind]):
                file.truncate(0)
        figures = {kind: Figures(paths[kind], file) for kind, file in files.items()}
        return Place(figures, held.pop_all())


def _fill(file: IO[bytes], size: int) -> None:
    """Have at least so many bytes, all with blocks on the disk; raises ``OSError``."""
    if not hasattr(os, "posix_fallocate"):
        raise OSError(errno.ENOSYS, "this system cannot keep room for a file")
    os.posix_fallocate(file.fileno(), 0, max(size, os.fstat(file.fileno()).st_size))


def _lock(descriptor: int, *, shared: bool = False) -> bool:
    import fcntl  # Windows has none, and no gunicorn.

    try:
        fcntl.flock(descriptor, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _counts(path: Path) -> bool:
    """Whether there is something in that file, and if it holds gauges, a process that lives has it."""
    try:
        with path.open("rb") as file:
            empty = os.fstat(file.fileno()).st_size == 0
            return not empty and not (path.name.startswith("gauge_") and _lock(file.fileno(), shared=True))
    except OSError:
        return False


def _keep_young(path: Path) -> None:
    """Cleaners of temporary files take what was not touched for long, and a mapped file's writes may not count."""
    try:
        os.utime(path)
    except OSError as error:
        tell_once(f"{path} may grow too old: {error.strerror}")


def _added_up(files: list[Path]) -> Iterable[Metric]:
    added: Iterable[Metric] = MultiProcessCollector.merge(list(map(str, files)))
    return added


def _reads(path: Path) -> bool:
    try:
        _added_up([path])
    except DAMAGED:
        return False
    return True
