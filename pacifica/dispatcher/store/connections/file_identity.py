"""Notices that the SQLite file was removed or replaced while the service uses it.

An open connection goes on with a removed file: it would accept jobs that no other process sees, and that are gone
with the last connection. A connection that is opened later would create an empty file at the same path. The same holds
for the files beside it (``-wal`` and ``-shm``): as long as a connection is open, SQLite itself does not remove them.
Source: https://www.sqlite.org/howtocorrupt.html#_unlinking_or_renaming_a_database_file_while_in_use
"""

import logging
import os
import time
from contextlib import suppress

from ...core.errors import DatabaseReplaced
from .sqlite import FileConnection

logger = logging.getLogger(__name__)

CHECK_EVERY = 0.25
"""Seconds between two checks of files that were in their place, unless a check is to be made at once."""
LOG = "-wal"
BESIDE = (LOG, "-shm")
"""The suffixes of the files that a connection in WAL mode keeps open."""
SENTENCE = "The database file was removed or replaced. Put it back, or restart the service; its log names the file."
ADVICE = (
    "Put it back, or stop web servers and workers, put the right file there, and start them again; see "
    "docs/operations.md, section Restore."
)
Identity = tuple[int, int] | None


class FileIdentity:
    """The file at ``path``, as this process has first connected to it."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._real = path
        self._known: Identity = None
        self._replaced = False
        self._checked = float("-inf")

    def note(self) -> None:
        """Note the file after the first connection to it."""
        if self._known is None:
            self._real = os.path.realpath(self._path)  # SQLite names the files beside it after the real file.
            self._known = _identity(self._path)

    def note_beside(self, connection: FileConnection) -> None:
        """Note the files that the connection keeps open, after it has committed a transaction."""
        if connection.beside is None and None not in (beside := self._beside()):
            connection.beside = beside

    def touch_log(self) -> None:
        """Tell those who watch the log of a commit: SQLite writes to it page by page, and before the commit counts."""
        with suppress(OSError):  # Its last connection was closed, or another user owns it.
            os.utime(self._real + LOG)

    def check(self, connection: FileConnection | None, *, at_once: bool = False) -> None:
        """Raise ``DatabaseReplaced`` if the file, or one that the connection keeps open, is not in its place.

        ``connection`` is ``None`` before one is opened, which is always checked.
        """
        moment = time.monotonic()
        if not (at_once or self._replaced or connection is None or moment >= self._checked + CHECK_EVERY):
            return
        self._checked = moment
        replaced = self._is_replaced(connection)
        if replaced and not self._replaced:
            logger.error("The SQLite file %s was removed or replaced. %s", self._path, ADVICE)
        elif self._replaced and not replaced:
            logger.warning("The SQLite file %s is in its place again.", self._path)
        self._replaced = replaced
        if replaced:
            raise DatabaseReplaced(SENTENCE)

    def _is_replaced(self, connection: FileConnection | None) -> bool:
        if self._known is None:
            return False
        if _identity(self._path) != self._known:
            return True
        return connection is not None and connection.beside not in {None, self._beside()}

    def _beside(self) -> tuple[Identity, ...]:
        return tuple(_identity(self._real + suffix) for suffix in BESIDE)


def _identity(path: str) -> Identity:
    try:
        found = os.stat(path)  # noqa: PTH116 - before each commit; a path object would cost more than the call
    except OSError:
        return None
    return found.st_dev, found.st_ino
