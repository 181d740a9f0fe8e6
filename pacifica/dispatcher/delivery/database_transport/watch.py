"""Noticing new messages of the ``database://`` transport: when to check for them, and how to sleep until then."""

import ctypes
import os
import select
import sys
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from ...store.messages import MessageStore

LONGEST_REST = 0.5
"""Seconds after which the table is checked although the file did not change: a lease may have run out."""
COMMIT_WITHIN = 0.25
"""Seconds after a change of an SQLite file in which every check reads: the change is visible once it is committed."""
SHORTEST_PAUSE = 0.001
"""Seconds between the first two checks after a rest; later ones are less frequent, so that a claim finds more."""
FILE_PAUSE = 0.015
SERVER_PAUSE = 0.05
"""The longest seconds between two checks without a message: of an SQLite file, and of a server's table."""


class MessageWatch:
    """Finds out whether there may be messages to claim, as cheaply as the database allows.

    ``interval`` is the number of seconds between two checks under load.
    """

    def __init__(self, store: MessageStore, interval: float) -> None:
        self._store = store
        self._interval = interval
        self._file_watch = None if store.log is None else FileWatch(store.log)
        self._fingerprint: tuple[int, int] | None = None
        self._at_rest = False
        self._changed_at = 0.0
        self._checked_at = 0.0
        self._short_pause = SHORTEST_PAUSE
        self.queues: Sequence[str] = ()
        self.pause = interval
        """Seconds to wait before the next check."""

    def can_rest(self) -> bool:
        """Return whether a check is not needed, as the SQLite file has not changed since the last one."""
        fingerprint, now = self._store.fingerprint(), time.monotonic()
        if fingerprint is None:
            return False
        if fingerprint != self._fingerprint:
            self._fingerprint, self._changed_at = fingerprint, now
            self.pause = self._interval
            self._short_pause = min(2 * self._short_pause, self._interval)
        self._at_rest = now - self._changed_at > COMMIT_WITHIN
        if self._at_rest:
            self._short_pause = min(SHORTEST_PAUSE, self._interval)
        return self._at_rest and now - self._checked_at < LONGEST_REST

    def check(self) -> bool:
        """Return whether one of ``queues`` has a message."""
        if self.can_rest():
            return False
        self._checked_at = time.monotonic()
        found = self._store.waiting(self.queues)
        longest = SERVER_PAUSE if self._fingerprint is None else FILE_PAUSE
        self.pause = self._interval if found else min(self.pause * 1.2, max(self._interval, longest))
        return found

    def sleep(self, longest: float) -> None:
        """Sleep until the next ``can_rest`` is due; for one thread, and ``wake`` may end the sleep."""
        if self._file_watch is None:
            time.sleep(min(longest, self.pause))
        elif self._at_rest:
            self._wait_for_write(min(longest, LONGEST_REST), self.pause)
        else:
            time.sleep(min(longest, self._short_pause))
            self._wait_for_write(min(longest, self.pause), self.pause)

    def wake(self) -> None:
        """End a long sleep, or the next one if none has begun."""
        if self._file_watch is not None:
            self._file_watch.wake()

    def close(self) -> None:
        """Release the file watch; called by the thread that sleeps."""
        if self._file_watch is not None:
            self._file_watch.close()

    def _wait_for_write(self, longest: float, pause: float) -> None:
        if self._file_watch is not None and not self._file_watch.wait(longest):
            time.sleep(min(longest, pause))


class FileWatch:
    """Waits for writes to a file by Linux's inotify; it opens inotify at the first wait.

    It is disabled where inotify does not exist, or where its limit is reached.
    """

    def __init__(self, path: Path) -> None:
        self._path = os.fsencode(path)
        self._lock = threading.Lock()
        self._inotify = self._wake_up = -1
        self._poll = select.poll()
        self._watched = 0
        self._disabled = sys.platform != "linux"

    def wait(self, seconds: float) -> bool:
        """Sleep until the file is written to or ``wake`` is called, at most for ``seconds``; false if it is disabled.

        The first wait returns at once, as the file may have changed before it was watched.
        """
        if self._disabled or not self._open():
            return False
        watched = _libc().inotify_add_watch(self._inotify, self._path, IN_MODIFY)  # A new file may have the name.
        if watched < 0:
            return False
        if watched == self._watched:
            self._poll.poll(seconds * 1000)
        self._watched = watched
        for fd in (self._inotify, self._wake_up):
            with suppress(BlockingIOError):
                os.read(fd, 4096)
        return True

    def wake(self) -> None:
        """End a ``wait``, or the next one at once."""
        with self._lock:
            if self._wake_up >= 0:
                os.eventfd_write(self._wake_up, 1)

    def close(self) -> None:
        """Close the descriptors and disable the watch."""
        with self._lock:
            self._disabled = True
            for fd in (self._inotify, self._wake_up):
                if fd >= 0:
                    os.close(fd)
            self._inotify = self._wake_up = -1

    def _open(self) -> bool:
        with self._lock:
            if self._wake_up < 0:
                self._inotify = _libc().inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
                self._disabled = self._inotify < 0
                if not self._disabled:
                    self._wake_up = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
                    self._poll.register(self._inotify, select.POLLIN)
                    self._poll.register(self._wake_up, select.POLLIN)
        return not self._disabled


IN_MODIFY = 2
"""From ``sys/inotify.h``."""


def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None)
