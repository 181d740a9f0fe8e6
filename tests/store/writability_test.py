"""Whether the database takes writes is judged by the writes that it refused, and by the file and its disk."""

import os
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace

import pytest

from pacifica.dispatcher.core.errors import DatabaseUnavailable
from pacifica.dispatcher.store import writability
from pacifica.dispatcher.store.database import Database
from pacifica.dispatcher.store.writability import Writability


@pytest.fixture
def opened(sqlite_url: str) -> Iterator[Database]:
    with closing(Database(sqlite_url)) as database:
        database.wait_until_up(1, 0.0)
        yield database


def test_refused_write_counts_until_it_is_old(opened: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    watch, now = Writability(opened), [100.0]
    monkeypatch.setattr(writability.time, "monotonic", lambda: now[0])
    watch.check()
    watch.note("full")
    with pytest.raises(DatabaseUnavailable, match="the disk is full"):
        watch.check()
    now[0] += writability.HELD
    watch.check()
    watch.note("locked")  # A lock passes, and dispatches wait for it.
    watch.check()


def test_read_only_server_counts_by_its_refusals_alone() -> None:
    watch = Writability(SimpleNamespace(sqlite=False))  # type: ignore[arg-type]
    watch.check()
    watch.note("read_only")
    with pytest.raises(DatabaseUnavailable, match="it is read-only"):
        watch.check()


@pytest.mark.parametrize(("free", "writable", "reason"), [(15, True, "disk is full"), (16, False, "read-only")])
def test_disk_and_file_are_looked_at_without_a_write(
    opened: Database, monkeypatch: pytest.MonkeyPatch, free: int, writable: bool, reason: str
) -> None:
    watch = Writability(opened)
    disk = SimpleNamespace(f_bavail=free, f_bfree=free, f_frsize=4096)
    monkeypatch.setattr(os, "statvfs", lambda _: disk)
    monkeypatch.setattr(os, "access", lambda *_: writable)
    with pytest.raises(DatabaseUnavailable, match=reason):
        watch.check()


def test_missing_file_is_left_to_the_reads(tmp_path: Path) -> None:
    Writability(Database(f"sqlite:///{tmp_path}/missing.db")).check()
