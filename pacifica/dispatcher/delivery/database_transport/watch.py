"""Noticing new messages of the ``database://`` transport: how often to look, and when to sleep."""

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

LOOK_ANYWAY = 0.5
"""Seconds after which a look is taken although nothing was written: a lease may have run out."""
RESTLESS = 0.25
"""Seconds after a change to an SQLite file in which every look reads: the change shows when it is committed."""
SHORTEST_GAP = 0.001
"""Seconds between the first two looks after a rest; the next ones come more rarely, so that claims find more."""
FILE_PAUSE = 0.015
SERVER_PAUSE = 0.05
"""Seconds between two looks where nothing has happened for a while: at an SQLite file, at a server's table."""


class Watch:
    """Tells whether there may be messages to claim, as cheaply as the database allows.

    ``interval`` is the seconds between two looks where much is going on.
    """

    def __init__(self, store: MessageStore, interval: float) -> None:
        self._store = store
        self._interval = interval
        self._ear = None if store.log is None else Ear(store.log)
        self._mark: tuple[int, int] | None = None
        self._settled = False
        self._changed_at = 0.0
        self._looked_at = 0.0
        self._gap = SHORTEST_GAP
        self.queues: Sequence[str] = ()
        self.pause = interval
        """Seconds to wait before the next look."""

    def quiet(self) -> bool:
        """Whether a look can be spared, as an SQLite file has not changed since the last one."""
        mark, now = self._store.fingerprint(), time.monotonic()
        if mark is None:
            return False
        if mark != self._mark:
            self._mark, self._changed_at = mark, now
            self.pause = self._interval
            self._gap = min(2 * self._gap, self._interval)
        self._settled = now - self._changed_at > RESTLESS
        if self._settled:
            self._gap = min(SHORTEST_GAP, self._interval)
        return self._settled and now - self._looked_at < LOOK_ANYWAY

    def look(self) -> bool:
        """Whether one of ``queues`` has a message."""
        if self.quiet():
            return False
        self._looked_at = time.monotonic()
        found = self._store.waiting(self.queues)
        longest = SERVER_PAUSE if self._mark is None else FILE_PAUSE
        self.pause = self._interval if found else min(self.pause * 1.2, max(self._interval, longest))
        return found

    def doze(self, longest: float) -> None:
        """Sleep until it is time to ask whether all is ``quiet``; for one thread, and ``wake`` may end it."""
        if self._ear is None:
            time.sleep(min(longest, self.pause))
        elif self._settled:
            self._listen(min(longest, LOOK_ANYWAY), self.pause)
        else:
            time.sleep(min(longest, self._gap))
            self._listen(min(longest, self.pause), self.pause)

    def wake(self) -> None:
        """End a long sleep, also one that is about to begin."""
        if self._ear is not None:
            self._ear.wake()

    def close(self) -> None:
        """The thread that dozes does so no more."""
        if self._ear is not None:
            self._ear.close()

    def _listen(self, longest: float, pause: float) -> None:
        if self._ear is not None and not self._ear.listen(longest):
            time.sleep(min(longest, pause))


class Ear:
    """Hears of writes to a file by Linux's inotify, from the first time that somebody listens.

    Where there is no inotify, or no more of it to be had, it is deaf.
    """

    def __init__(self, path: Path) -> None:
        self._path = os.fsencode(path)
        self._turn = threading.Lock()
        self._inotify = self._alarm = -1
        self._poll = select.poll()
        self._file = 0
        self._deaf = sys.platform != "linux"

    def listen(self, seconds: float) -> bool:
        """Sleep until the file is written to or ``wake`` is called, and so long at most; false at once when deaf.

        As the file may have changed before it was listened to, the first time ends at once, too.
        """
        if self._deaf or not self._open():
            return False
        file = _libc().inotify_add_watch(self._inotify, self._path, IN_MODIFY)  # the file of that name may be another
        if file < 0:
            return False
        if file == self._file:
            self._poll.poll(seconds * 1000)
        self._file = file
        for heard in (self._inotify, self._alarm):
            with suppress(BlockingIOError):
                os.read(heard, 4096)
        return True

    def wake(self) -> None:
        """End a ``listen``, or the next one at once."""
        with self._turn:
            if self._alarm >= 0:
                os.eventfd_write(self._alarm, 1)

    def close(self) -> None:
        """Hear no more."""
        with self._turn:
            self._deaf = True
            for fd in (self._inotify, self._alarm):
                if fd >= 0:
                    os.close(fd)
            self._inotify = self._alarm = -1

    def _open(self) -> bool:
        with self._turn:
            if self._alarm < 0:
                self._inotify = _libc().inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
                self._deaf = self._inotify < 0
                if not self._deaf:
                    self._alarm = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
                    self._poll.register(self._inotify, select.POLLIN)
                    self._poll.register(self._alarm, select.POLLIN)
        return not self._deaf


IN_MODIFY = 2
"""From ``sys/inotify.h``."""


def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None)
