"""Watches who takes the write lock of an SQLite file: ``python -m bench.locks FILE SECONDS``, which prints JSON.

SQLite in WAL mode holds a POSIX lock on byte 120 of the ``-shm`` file while a transaction writes. Asking the kernel
who holds it takes about a microsecond, so that hardly any transaction is overlooked. ``PRAGMA data_version`` says
beside it whether one was committed, and takes no lock that a writer would notice.
"""

import fcntl
import json
import sqlite3
import struct
import sys
import time
from pathlib import Path

FLOCK = "hhqqi4x"
WRITE_LOCK = 120
"""The first byte of the locks of a WAL index: (22 + 8) * 4 (SQLite, os_unix.c and wal.c)."""
ASKED = struct.pack(FLOCK, fcntl.F_WRLCK, 0, WRITE_LOCK, 1, 0)
LOOKS = 500
"""At the lock, between two at the version."""


def watch(file: Path, seconds: float) -> dict[str, float]:
    """How often per second the lock was taken, and something committed."""
    taken = commits = looks = 0
    held = False
    connection = sqlite3.connect(file)
    with Path(f"{file}-shm").open("rb") as shared:
        begun = time.monotonic()
        version = _version(connection)
        while time.monotonic() < begun + seconds:
            for _ in range(LOOKS):
                now_held = struct.unpack(FLOCK, fcntl.fcntl(shared, fcntl.F_GETLK, ASKED))[0] != fcntl.F_UNLCK
                taken += now_held and not held
                held = now_held
            looks += LOOKS
            if (now := _version(connection)) != version:
                version = now
                commits += 1
    connection.close()
    return {"locks": taken / seconds, "commits": commits / seconds, "looks": looks / seconds}


def _version(connection: sqlite3.Connection) -> int:
    return int(connection.execute("PRAGMA data_version").fetchone()[0])


if __name__ == "__main__":
    print(json.dumps(watch(Path(sys.argv[1]), float(sys.argv[2]))))  # noqa: T201 - its answer
