"""Whether the database takes writes, judged without a write: reads also work on a full disk and a read-only file."""

import os
import time
from pathlib import Path

from ..core.errors import DatabaseUnavailable
from .connections import driver_errors
from .database import Database

HELD = 10.0
"""Seconds for which a refused write counts as the state of the database."""
LEAST = 65_536
"""The least free space of a disk, in bytes, with which SQLite can store jobs."""
REFUSALS = frozenset({"full", "read_only"})
"""The kinds of failure that concern every write and no read."""


class Writability:
    """Remembers the writes that the database refused, and looks at the file and the disk of SQLite."""

    def __init__(self, database: Database) -> None:
        self._path = Path(str(database.peewee.database)) if database.sqlite else None
        self._refused = ""
        self._at = float("-inf")

    def note(self, kind: str) -> None:
        """Note the kind of a failed statement."""
        if kind in REFUSALS:
            self._refused, self._at = kind, time.monotonic()

    def check(self) -> None:
        """Raise ``DatabaseUnavailable`` if a dispatch would be refused."""
        kind = _refusal_of_file(self._path) if self._path is not None else ""
        if not kind and time.monotonic() < self._at + HELD:
            kind = self._refused
        if kind:
            raise DatabaseUnavailable(f"The database cannot do that now ({driver_errors.SENTENCES[kind]}).")


def _refusal_of_file(path: Path) -> str:
    if not path.exists():  # A read finds that.
        return ""
    if hasattr(os, "statvfs"):  # Windows has none.
        disk = os.statvfs(path)
        free = disk.f_bavail if os.geteuid() else disk.f_bfree  # A part is reserved for root.
        if free * disk.f_frsize < LEAST:
            return "full"
    return "" if os.access(path, os.W_OK) else "read_only"
