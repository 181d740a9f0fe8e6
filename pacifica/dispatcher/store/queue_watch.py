"""Noticing that a job may be due, as cheaply as the database allows."""

import selectors
import socket
import time
from contextlib import suppress
from pathlib import Path
from typing import Protocol

from ..core.errors import DatabaseUnavailable
from .connections.file_watch import Inotify
from .database import Database

LONGEST_PAUSE = 0.5
"""Seconds after which a source is asked again although nothing has happened."""
FILE_PAUSE = 0.015
"""Seconds between two looks at an SQLite file that cannot be watched."""
SERVER_PAUSE = 0.04
"""Seconds between two looks for jobs on a server that does not notify."""

# A descriptor that was closed may have its number again; an epoll object would not notice that.
_SELECTOR: type[selectors.BaseSelector] = getattr(selectors, "PollSelector", selectors.SelectSelector)


class ChangeSource(Protocol):
    """A way to notice changes of the record; all methods are for one thread."""

    def reader(self) -> int | None:
        """The descriptor that becomes readable after a change; ``None`` while nothing can be watched."""

    def changed(self) -> bool:
        """Whether a job may have become due since the last call."""

    def pause(self) -> float:
        """The most seconds until the next call of ``changed``."""

    def close(self) -> None:
        """Release the descriptors."""


class QueueWatch:
    """Sleeps until another process may have made a job due; one thread calls ``wait`` and ``close``."""

    def __init__(self, database: Database) -> None:
        self._source = _source(database)
        self._bell, self._ringer = socket.socketpair()
        self._bell.settimeout(0)
        self._ringer.settimeout(0)
        self._rung = False
        self._reader: int | None = None
        self._selector = self._select(None)

    def wait(self, seconds: float) -> None:
        """Sleep until a job may have become due, or ``wake`` is called, for at most that many seconds."""
        end = time.monotonic() + seconds
        while True:
            reader = self._source.reader()  # First, so that no change after the look is missed.
            if self._source.changed() or (left := end - time.monotonic()) <= 0:
                return
            if reader != self._reader:
                self._selector.close()
                self._selector, self._reader = self._select(reader), reader
            if any(key.fileobj is self._bell for key, _ in self._selector.select(min(left, self._source.pause()))):
                self._bell.recv(64)
                self._rung = False
                return

    def wake(self) -> None:
        """End a ``wait``, or the next one at once; for any thread."""
        if not self._rung:
            self._rung = True
            with suppress(OSError):  # It is closed.
                self._ringer.send(b"\0")

    def close(self) -> None:
        """Release all descriptors."""
        self._selector.close()
        self._source.close()
        self._bell.close()
        self._ringer.close()

    def _select(self, reader: int | None) -> selectors.BaseSelector:
        selector = _SELECTOR()
        selector.register(self._bell, selectors.EVENT_READ)
        if reader is not None:
            selector.register(reader, selectors.EVENT_READ)
        return selector


class _LogFile:
    """Each process touches SQLite's log after a commit; ``data_version`` says whether it was one of another thread.

    The version is that of the calling thread's connection, and its own commits do not change it.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._inotify: Inotify | None = None
        self._watched = False
        self._version: int | None = None

    def reader(self) -> int | None:
        if self._inotify is None:
            # SQLite names the log after the real file, not after a link to it.
            self._inotify = Inotify(Path(f"{Path(str(self._database.peewee.database)).resolve()}-wal"))
        descriptor = self._inotify.watch()
        self._watched = descriptor is not None
        self._inotify.drain()
        return descriptor

    def changed(self) -> bool:
        version: int | None = None
        with suppress(DatabaseUnavailable):
            version = self._database.read(lambda db: db.execute_sql("PRAGMA data_version").fetchone()[0])
        changed, self._version = version not in {None, self._version}, version
        return changed

    def pause(self) -> float:
        return FILE_PAUSE if not self._watched and self._version is not None else LONGEST_PAUSE

    def close(self) -> None:
        if self._inotify is not None:
            self._inotify.close()


class _Polling:
    """MySQL notifies of nothing."""

    def __init__(self) -> None:
        self._next = float("-inf")

    def reader(self) -> int | None:
        return None

    def changed(self) -> bool:
        if (moment := time.monotonic()) < self._next:
            return False
        self._next = moment + SERVER_PAUSE
        return True

    def pause(self) -> float:
        return max(0.0, self._next - time.monotonic())

    def close(self) -> None:
        pass


def _source(database: Database) -> ChangeSource:
    if database.sqlite:
        return _LogFile(database)
    if database.mysql:
        return _Polling()
    from .connections.postgresql import Listener

    return Listener(database.peewee)
