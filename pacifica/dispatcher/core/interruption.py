"""Where an exception from a signal handler may interrupt a thread: in a task's function, between this package's calls.

Python runs a signal handler between any two instructions of the main thread. An exception that the handler raises
inside a transaction, or while a lock is acquired, would leave the transaction open or the lock held, so that no other
process can write to the record. Such an exception is therefore held until the thread is where it may be raised; if
the attempt ends first, it is dropped.
"""

import threading


class _Uninterrupted(threading.local):
    """A context manager, which may be nested, for code that must not be interrupted; each thread has its own state."""

    def __init__(self) -> None:
        self._depth = 0
        self.in_attempt = False
        self._allowed = False
        self._pending: Exception | None = None

    def __enter__(self) -> None:
        self._depth += 1

    def __exit__(self, *_: object) -> None:
        self._depth -= 1
        if self._pending is not None:
            self._raise_pending()

    def begin_attempt(self) -> None:
        """Hold the interruptions that arrive from now on, until the attempt allows them."""
        self._pending = None
        self._allowed = False
        self.in_attempt = True

    def end_attempt(self) -> None:
        """Drop a held interruption."""
        self.in_attempt = self._allowed = False
        self._pending = None

    def allow(self) -> None:
        """Allow interruptions from now on; raises the one that has arrived since the attempt began."""
        self._allowed = True
        if self._pending is not None:
            self._raise_pending()

    def forbid(self) -> None:
        """Allow no interruption any more."""
        self._allowed = False

    def interrupt(self, error: Exception) -> None:
        """Raise ``error`` in this attempt, now or when it may be interrupted; an attempt is interrupted once."""
        self._pending = error
        self._raise_pending()

    def enter_quietly(self) -> None:
        """Begin uninterrupted code whose end cannot raise, such as a hook around ``os.fork``."""
        self._depth += 1

    def leave_quietly(self) -> None:
        """End what ``enter_quietly`` began; a held exception is raised after the next uninterrupted code."""
        self._depth -= 1

    def _raise_pending(self) -> None:
        if self._allowed and not self._depth and self._pending is not None:
            error, self._pending = self._pending, None
            self._allowed = False
            raise error


UNINTERRUPTED = _Uninterrupted()
