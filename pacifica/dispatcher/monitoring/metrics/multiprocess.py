"""The instruments of several web processes on one machine, added up through files in a shared folder.

The files are those of prometheus_client's multiprocess mode, named by a slot number instead of a process id: a
process takes the lowest free slot and goes on with the counters of the process that had it before. Nothing is lost
when a process ends, however it ends, and there are never more files than there were processes at one time.
"""

import errno
import logging
import os
import struct
import sys
import threading
from collections.abc import Iterable, Mapping
from contextlib import ExitStack, suppress
from functools import cache
from pathlib import Path
from typing import IO, Any

from prometheus_client import Metric, values
from prometheus_client.mmap_dict import mmap_key
from prometheus_client.multiprocess import MultiProcessCollector

logger = logging.getLogger(__name__)

FOLDER = "PROMETHEUS_MULTIPROC_DIR"
"""The environment variable that names the folder; prometheus_client reads it, too."""
KINDS = ("gauge_sum", "counter", "histogram")
"""The prefixes of the three files of a slot; a process that holds the locks of all three has the slot."""
SIZE = 16_384
"""The size of a new file, in bytes."""
UNREADABLE = (OSError, RuntimeError, ValueError, struct.error)
"""The errors of reading a file that was removed or damaged."""


class Slot:
    """The files of this process, whose locks the kernel releases when the process ends."""

    def __init__(self, number: int, files: Mapping[str, IO[bytes]], held: ExitStack) -> None:
        self._files = files
        self._held = held
        self._lock = threading.Lock()
        self._make = values.MultiProcessValue(lambda: number)

    def value(self, kind: str, *key: Any, multiprocess_mode: str = "", **options: Any) -> Any:
        """Make the value of one sample for prometheus_client; in memory only, if its file has no room for it.

        Tasks may make instruments of other kinds, whose files prometheus_client opens itself.
        """
        prefix = f"{kind}_{multiprocess_mode}" if multiprocess_mode else kind
        try:
            with self._lock:
                if prefix in self._files:
                    _make_room(self._files[prefix], len(mmap_key(*key)))
                return self._make(kind, *key, multiprocess_mode=multiprocess_mode, **options)
        except UNREADABLE as error:
            warn_once(f"Some metrics of this process are not reported, as its {prefix} file cannot be used: {error}")
            return values.MutexValue(kind, *key, **options)

    def close(self) -> None:
        """Free the slot; the instruments that use it must not be used any more."""
        with self._held:
            self._make.close_all_files()


class SharedCollector:
    """Collects the sum of the instruments of all processes that use the folder.

    Counters of a process that has ended stay in the sum; its gauges do not.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def collect(self) -> Iterable[Metric]:
        """All families; none if a file cannot be read."""
        files = [path for path in sorted(self._folder.glob("*.db")) if _is_current(path)]
        for path in files:  # Cleaners of temporary files read this time; a write to a mapped file may not change it.
            with suppress(OSError):
                os.utime(path)
        try:
            return list(MultiProcessCollector.merge(list(map(str, files))))
        except UNREADABLE as error:
            warn_once(f"The metrics in {self._folder} are not reported, as a file cannot be read: {error}")
            return []


def join(folder: Path) -> Slot | None:
    """Make all instruments that this process creates from now on write to the folder.

    If the folder cannot be used, they stay in memory and the result is ``None``: no request fails for a metric.
    """
    slot = None
    try:
        folder.mkdir(parents=True, exist_ok=True)
        slot = _lowest_free(folder)
    except OSError as error:
        warn_once(f"This process reports its own metrics only, as their folder cannot be used: {error}")
    os.environ[FOLDER] = str(folder)
    # prometheus_client chooses when it is first imported, which may be long before a server forks this process.
    values.ValueClass = values.MutexValue if slot is None else slot.value
    return slot


@cache
def warn_once(message: str) -> None:
    """Log the message the first time that it occurs in this process."""
    logger.warning("%s", message)


def _lowest_free(folder: Path) -> Slot:
    number = 0
    while (slot := _take(folder, number)) is None:
        number += 1
    return slot


def _take(folder: Path, number: int) -> Slot | None:
    """The slot with that number; ``None`` if another process holds one of its files."""
    with ExitStack() as held:
        files = {kind: held.enter_context((folder / f"{kind}_{number}.db").open("a+b")) for kind in KINDS}
        if not all(_lock(file.fileno()) for file in files.values()):
            return None
        for file in files.values():
            _clear_if_damaged(file)
            _allocate(file, SIZE)
        return Slot(number, files, held.pop_all())


def _clear_if_damaged(file: IO[bytes]) -> None:
    try:
        MultiProcessCollector.merge([file.name])
    except UNREADABLE:
        file.truncate(0)


def _make_room(file: IO[bytes], key: int) -> None:
    """Allocate blocks for one more sample, whose key has that length; raises ``OSError`` on a full disk.

    prometheus_client only extends the file. On a full disk the first write to its memory would then be SIGBUS.
    """
    used = int.from_bytes(os.pread(file.fileno(), 4, 0), sys.byteorder)
    size = os.fstat(file.fileno()).st_size
    if used + key + 64 > size:
        _allocate(file, 2 * size)


def _allocate(file: IO[bytes], size: int) -> None:
    if not hasattr(os, "posix_fallocate"):
        raise OSError(errno.ENOSYS, "this system cannot allocate the blocks of a file")
    os.posix_fallocate(file.fileno(), 0, max(size, os.fstat(file.fileno()).st_size))


def _lock(descriptor: int, *, shared: bool = False) -> bool:
    import fcntl  # Windows has neither this module nor gunicorn.

    try:
        fcntl.flock(descriptor, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _is_current(path: Path) -> bool:
    """Whether the file is in use, or holds counters, which stay valid after the end of their process."""
    with suppress(OSError), path.open("rb") as file:
        is_gauge = path.name.startswith("gauge_")
        return os.fstat(file.fileno()).st_size > 0 and not (is_gauge and _lock(file.fileno(), shared=True))
    return False
