"""Waiting until the disk has what was committed to an SQLite file, outside of the lock of its writers.

With ``synchronous=NORMAL`` a commit ends once its frames are in the write-ahead log, and with ``FULL`` once the
disk has them, too: others who want to write wait for the disk with it. So commits are made with ``NORMAL``, and
whoever needs to be sure syncs the log before going on, together with all who committed meanwhile.

What a checkpoint has taken out of the log is on the disk already: it syncs the file before the log is begun anew,
or deleted. Source: https://www.sqlite.org/wal.html and https://www.sqlite.org/pragma.html#pragma_synchronous
"""

import os
import threading
from collections.abc import Callable

_sync: Callable[[int], None] = getattr(os, "fdatasync", os.fsync)


class Disk:
    """The disk that holds the log ``path``; ``path`` is asked for when it is first needed."""

    def __init__(self, path: Callable[[], str]) -> None:
        self._ask_path = path
        self._path: str | None = None
        self.forget_parent()

    def forget_parent(self) -> None:
        """After a fork: none of the parent's threads is here."""
        self._condition = threading.Condition()
        self._syncing = False
        self._begun = self._ended = self._failed = 0

    def wait(self) -> None:
        """Return when the disk has all that was committed before; raises ``OSError`` when it did not take it.

        After a failure nobody can tell what the disk has of what was to be synced, so all who waited for it are told.
        """
        with self._condition:
            needed = self._begun + 1  # The one that is under way may have begun before the commit.
            while self._syncing and self._ended < needed:
                self._condition.wait()
            if self._ended >= needed:
                if self._failed >= needed:
                    raise OSError("another thread's sync of the log failed")
                return
            self._syncing = True
            self._begun = mine = self._begun + 1
        failed = True
        try:
            self._sync_log()
            failed = False
        finally:
            with self._condition:
                self._syncing, self._ended = False, mine
                self._failed = mine if failed else self._failed
                self._condition.notify_all()

    def _sync_log(self) -> None:
        if self._path is None:
            self._path = self._ask_path()
        try:
            # SQLite holds no locks on its log, so that closing it here takes none away.
            descriptor = os.open(self._path, os.O_RDWR | getattr(os, "O_BINARY", 0))
        except FileNotFoundError:
            return  # The last connection of all was closed, which takes everything over into the file, and syncs it.
        try:
            _sync(descriptor)
        finally:
            os.close(descriptor)
