"""The write-ahead log of an SQLite file, and its sync."""

import errno
import os
import sqlite3
import threading
from contextlib import closing, suppress
from pathlib import Path

import pytest

from pacifica.dispatcher import orm
from pacifica.dispatcher.core.errors import DatabaseUnavailable
from pacifica.dispatcher.store.connections import sqlite
from pacifica.dispatcher.store.connections.connect import sqlite_file
from pacifica.dispatcher.store.database import Database

from ...eventually import eventually
from ..queries import add_event, count_events


def test_only_a_durable_change_is_synced_after_its_commit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "link.sqlite3").symlink_to(file := tmp_path / "db.sqlite3")
    synced: list[tuple[str, int]] = []
    with closing(Database(f"sqlite:///{tmp_path}/link.sqlite3")) as database:
        database.wait_until_up(1, 0.0)

        def sync(descriptor: int) -> None:
            name = next(each.name for each in tmp_path.iterdir() if os.path.sameopenfile(descriptor, opened[each.name]))
            with closing(sqlite3.connect(file)) as other:
                synced.append((name, other.execute("SELECT count(*) FROM event").fetchone()[0]))

        opened = {each.name: os.open(each, os.O_RDONLY) for each in tmp_path.iterdir()}
        monkeypatch.setattr(sqlite, "_fdatasync", sync)
        database.write(add_event, durable=True)
        database.write(add_event)
        with suppress(ZeroDivisionError):
            database.write(lambda db: 1 // 0, durable=True)
        database.write(add_event, durable=True)
        for each in opened.values():
            os.close(each)
    assert synced == [("db.sqlite3-wal", 1), ("db.sqlite3-wal", 3)]


def test_a_failed_sync_is_an_error(sqlite_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: int) -> None:
        raise OSError(errno.EIO, "Input/output error")

    with closing(Database(sqlite_url)) as database:
        database.wait_until_up(1, 0.0)
        with monkeypatch.context() as broken:
            broken.setattr(sqlite, "_fdatasync", fail)
            with pytest.raises(DatabaseUnavailable):
                database.write(add_event, durable=True)
        database.write(add_event, durable=True)


def test_threads_share_the_next_sync(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "log").touch()
    log = sqlite.LogSync(lambda: str(tmp_path / "log"))
    go = threading.Event()
    outcomes = iter([None, OSError("the second one")])
    synced: list[int] = []
    raised: list[str] = []

    def sync(descriptor: int) -> None:
        synced.append(descriptor)
        outcome = next(outcomes)
        assert go.wait(20)
        if outcome is not None:
            raise outcome

    def wait() -> None:
        try:
            log.wait()
        except OSError as error:
            raised.append(type(error).__name__)

    monkeypatch.setattr(sqlite, "_fdatasync", sync)
    first = threading.Thread(target=wait, daemon=True)
    first.start()
    eventually(lambda: len(synced) == 1)
    others = [threading.Thread(target=wait, daemon=True) for _ in range(5)]
    for other in others:
        other.start()
    waiters = log._condition._waiters  # type: ignore[attr-defined]  # noqa: SLF001 - a sleep would be less certain
    eventually(lambda: len(waiters) == 5)
    go.set()
    for thread in (first, *others):
        thread.join(20)
    assert len(synced) == 2  # A running sync does not cover commits that came after its start.
    assert raised == ["OSError"] * 5


def test_an_sqlite_file_uses_a_write_ahead_log(sqlite_url: str) -> None:
    with closing(Database(sqlite_url)) as database:
        database.wait_until_up(1, 0)
        assert database.read(lambda db: db.execute_sql("PRAGMA journal_mode").fetchone()[0]) == "wal"


def test_the_log_is_checkpointed_only_after_many_megabytes(sqlite_url: str) -> None:
    file = sqlite_file(sqlite_url)
    assert file is not None
    with closing(Database(sqlite_url)) as database:
        database.wait_until_up(1, 0)
        before = file.stat().st_size
        database.write(orm.Event.insert(job="j", at=1, kind="PENDING", data="x" * 20_000_000).execute)
        assert file.stat().st_size == before
        database.write(orm.Event.insert(job="j", at=1, kind="PENDING", data="x" * 30_000_000).execute)
        assert file.stat().st_size > 50_000_000
        assert count_events(database) == 2
