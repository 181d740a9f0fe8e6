"""Noticing by Linux's inotify that a file was touched."""

import ctypes
import os
import sys
from contextlib import suppress
from functools import lru_cache
from pathlib import Path

IN_ATTRIB = 4
"""From ``sys/inotify.h``: the times of the file were set, or its mode or owner."""


class Inotify:
    """Watches one file, which may be replaced; without inotify, or at the limit of its instances, it watches nothing.

    Python's standard library has no inotify; the C library is called through ``ctypes``.
    """

    def __init__(self, path: Path) -> None:
        self._path = os.fsencode(path)
        self._descriptor = _libc().inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC) if sys.platform == "linux" else -1

    def watch(self) -> int | None:
        """Watch the file that has the name now.

        Returns a descriptor that a touch makes readable; ``None`` if the file does not exist, or cannot be watched.
        """
        if self._descriptor < 0 or _libc().inotify_add_watch(self._descriptor, self._path, IN_ATTRIB) < 0:
            return None
        return int(self._descriptor)

    def drain(self) -> None:
        """Forget the touches so far."""
        with suppress(OSError):
            os.read(self._descriptor, 65_536)

    def close(self) -> None:
        """Close the descriptor; nothing is watched any more."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


@lru_cache(maxsize=1)
def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None)
