"""Closing all that a process has open of SQLite files, and forking one, as a prefork worker does."""

import os
import threading
import weakref
from typing import Any

from .sqlite import PatientConnection


class FileConnection(PatientConnection):
    """A connection to an SQLite file that others than its own thread can find and close."""

    closed = False

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        _connections.add(self)

    def close(self) -> None:
        """Close it; whoever holds it sees that it is ``closed``."""
        super().close()
        self.closed = True


_connections: weakref.WeakSet[FileConnection] = weakref.WeakSet()


class _ForkGate:
    """Lets the process fork only while none of its other threads is inside an SQLite statement.

    A child inherits what SQLite remembers of the locks of its parent, and would believe that it holds
    them: it would then write to a log that the parent deletes when it closes the file, and nobody
    would ever see it. So the child closes all that it inherited, which it can outside of statements.

    Source: https://www.sqlite.org/howtocorrupt.html#_carrying_an_open_database_connection_across_a_fork_
    """

    def __init__(self) -> None:
        self._reset()
        if hasattr(os, "register_at_fork"):  # Windows has no fork.
            os.register_at_fork(before=self._close, after_in_parent=self._open, after_in_child=self._start_afresh)

    def __enter__(self) -> None:
        depth = self._depth()
        with self._condition:
            # Who is inside already must get out before anybody can fork.
            self._condition.wait_for(lambda: depth or not self._forking)
            self._inside += 1
        self._own.depth = depth + 1

    def __exit__(self, *_: object) -> None:
        self._own.depth -= 1
        with self._condition:
            self._inside -= 1
            if self._forking:
                self._condition.notify_all()

    @property
    def busy(self) -> bool:
        """Whether somebody waits for all statements to end, and others wait for that."""
        return self._forking

    def close_all(self) -> None:
        """Close every connection of this process, once no thread is inside a statement; each is then opened anew.

        Not from inside a statement. SQLite shares what it opened of a file among the connections of a
        process: when the first of them could only read it, so can all, until the last of them is closed.
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
        return int(getattr(self._own, "depth", 0))

    def _start_afresh(self) -> None:
        self._reset()
        for connection in list(_connections):
            connection.close()

    def _reset(self) -> None:
        self._condition = threading.Condition()
        self._own = threading.local()
        self._inside = 0
        self._forking = False

    def _close(self) -> None:
        self._condition.acquire()
        self._condition.wait_for(lambda: not self._forking)
        self._forking = True
        self._condition.wait_for(lambda: self._inside == self._depth())

    def _open(self) -> None:
        self._forking = False
        self._condition.notify_all()
        self._condition.release()


FORKS = _ForkGate()
