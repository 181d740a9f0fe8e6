"""SQLite files: the busy handler, connections that are closed at a fork, and the sync of the write-ahead log."""

import os
import sqlite3
import threading
import time
import weakref
from collections.abc import Callable
from typing import Any, Self

from ...core.interruption import UNINTERRUPTED

FIRST_PAUSE = 0.000_05
"""The first pause of the busy handler, in seconds; Linux makes it about twice as long."""
PAUSE_SHARE = 0.25
"""A later pause, as a share of the time waited so far: there are few tries, however long it takes."""
LONGEST_PAUSE = 0.025
"""The longest pause, in seconds."""

_fdatasync: Callable[[int], None] = getattr(os, "fdatasync", os.fsync)
_connections: "weakref.WeakSet[FileConnection]" = weakref.WeakSet()


class FileConnection(sqlite3.Connection):
    """A connection to a file, with a busy handler, that any thread may close.

    A statement of a cursor waits up to ``busy_timeout`` seconds while another process writes; the connection's own
    ``execute`` does not. A transaction takes a tenth of a millisecond, and SQLite's own handler sleeps for 1 ms, 2 ms,
    5 ms and so on: two workers with short jobs would sleep for much of their time. Python cannot install another
    handler, so this class executes a statement again if it finds the file busy.
    Source: https://www.sqlite.org/c3ref/busy_handler.html
    """

    closed = False
    beside: "tuple[object, ...] | None" = None
    """The identities of the files beside this one, which the connection keeps open after its first transaction."""

    def __init__(self, *args: Any, busy_timeout: float, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.busy_timeout = busy_timeout
        _connections.add(self)

    def stay_brief(self, busy_timeout: float, row_limit: int) -> None:
        """Wait at most so long for another process, and refuse to read a row of more than so many bytes."""
        self.busy_timeout = busy_timeout
        self.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, row_limit)

    def cursor(self, factory: Any = None) -> Any:
        """A cursor with the busy handler."""
        return super().cursor(factory or _Cursor)

    def close(self) -> None:
        """Close the connection, and set ``closed`` for its users in other threads."""
        super().close()
        self.closed = True


class _Cursor(sqlite3.Cursor):
    connection: FileConnection

    def execute(self, sql: str, parameters: Any = (), /) -> Self:
        start = moment = time.monotonic()
        while True:
            try:
                return super().execute(sql, parameters)
            except sqlite3.OperationalError as error:
                end = start + self.connection.busy_timeout
                if moment >= end or not self._may_wait(error):
                    # The error's traceback refers to this cursor, whose statement would keep the file open.
                    self.close()
                    raise
            time.sleep(min(max(FIRST_PAUSE, PAUSE_SHARE * (moment - start)), LONGEST_PAUSE, end - moment))
            moment = time.monotonic()

    def _may_wait(self, error: sqlite3.OperationalError) -> bool:
        """Whether the file is busy and no transaction is open.

        A transaction that has read, and would now write what another process has changed, would wait in vain.
        """
        code = getattr(error, "sqlite_errorcode", 0)  # The module's own errors have none.
        return code & 0xFF == sqlite3.SQLITE_BUSY and not self.connection.in_transaction


class _ForkGate:
    """Lets the process fork only while no other thread executes an SQLite statement.

    A child inherits SQLite's memory of its parent's locks, and would believe that it holds them: it would write to a
    log that the parent deletes when it closes the file, and its changes would be lost. The child therefore closes all
    inherited connections, which is possible only between statements.
    Source: https://www.sqlite.org/howtocorrupt.html#_carrying_an_open_database_connection_across_a_fork_
    """

    def __init__(self) -> None:
        self._reset()
        if hasattr(os, "register_at_fork"):  # Windows has no fork.
            os.register_at_fork(before=self._close, after_in_parent=self._open, after_in_child=self._after_fork)

    def __enter__(self) -> None:
        depth = self._depth()
        with self._condition:
            # A thread that is inside already may enter again: it must leave before the process can fork.
            self._condition.wait_for(lambda: depth or not self._closed)
            self._inside += 1
        self._local.depth = depth + 1

    def __exit__(self, *_: object) -> None:
        self._local.depth -= 1
        with self._condition:
            self._inside -= 1
            if self._closed:
                self._condition.notify_all()

    @property
    def closed(self) -> bool:
        """Whether a thread waits for the end of all statements, and new statements wait for that thread."""
        return self._closed

    def close_all(self) -> None:
        """Close every connection of this process once no statement runs; each is opened again on its next use.

        Does nothing inside a statement. SQLite shares an open file among all connections of a process: if the first
        of them could only read it, so can all others, until the last one is closed.
        """
        if self._depth():
            return
        self._close()
        try:
            for connection in list(_connections):
                connection.close()
        finally:
            self._open()

    def _depth(self) -> int:
        return int(getattr(self._local, "depth", 0))

    def _after_fork(self) -> None:
        UNINTERRUPTED.leave_quietly()
        self._reset()
        for connection in list(_connections):
            connection.close()

    def _reset(self) -> None:
        self._condition = threading.Condition()
        self._local = threading.local()
        self._inside = 0
        self._closed = False

    def _close(self) -> None:
        UNINTERRUPTED.enter_quietly()
        self._condition.acquire()
        self._condition.wait_for(lambda: not self._closed)
        self._closed = True
        self._condition.wait_for(lambda: self._inside == self._depth())

    def _open(self) -> None:
        self._closed = False
        self._condition.notify_all()
        self._condition.release()
        UNINTERRUPTED.leave_quietly()


FORK_GATE = _ForkGate()


class LogSync:
    """Waits until the disk has what was committed to a file, without holding the file's write lock.

    With ``synchronous=FULL`` a commit holds the write lock while it waits for the disk. Commits are therefore made
    with ``NORMAL``, which only writes to the write-ahead log; a writer that needs durability then syncs the log,
    together with all threads that have committed meanwhile. A checkpoint syncs the file before it removes frames from
    the log. ``find_log`` returns the path of the log, and is called on first use.
    Source: https://www.sqlite.org/wal.html and https://www.sqlite.org/pragma.html#pragma_synchronous
    """

    def __init__(self, find_log: Callable[[], str]) -> None:
        self._find_log = find_log
        self._path: str | None = None
        self.forget_parent()

    def forget_parent(self) -> None:
        """After a fork: the child has none of the parent's threads."""
        self._condition = threading.Condition()
        self._syncing = False
        self._begun = self._ended = self._failed = 0

    def wait(self) -> None:
        """Return when the disk has all earlier commits; raises ``OSError`` if the sync failed.

        After a failure it is unknown which commits the disk has, so every thread that waited for the sync raises.
        """
        with self._condition:
            needed = self._begun + 1  # A running sync may have begun before the commit.
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
            self._sync()
            failed = False
        finally:
            with self._condition:
                self._syncing, self._ended = False, mine
                self._failed = mine if failed else self._failed
                self._condition.notify_all()

    def _sync(self) -> None:
        if self._path is None:
            self._path = self._find_log()
        try:
            # SQLite holds no locks on its log, so closing this descriptor releases none.
            descriptor = os.open(self._path, os.O_RDWR | getattr(os, "O_BINARY", 0))
        except FileNotFoundError:
            return  # The last connection was closed, which moved the whole log into the file and synced it.
        try:
            _fdatasync(descriptor)
        finally:
            os.close(descriptor)
