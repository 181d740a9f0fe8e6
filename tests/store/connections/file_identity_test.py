"""An SQLite file that is removed or replaced under an open connection, and paths that do not move."""

import logging
import os
import shutil
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from pacifica.dispatcher.core.errors import DatabaseReplaced
from pacifica.dispatcher.core.job import State
from pacifica.dispatcher.store.connections import file_identity
from pacifica.dispatcher.store.database import Database
from pacifica.dispatcher.store.jobs import JobStore

from ..conftest import a_job


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The folder of the file."""
    path = tmp_path / "record"
    path.mkdir()
    return path


@pytest.fixture
def database(folder: Path) -> Iterator[Database]:
    """A database that is in use."""
    with closing(Database(f"sqliteext:///{folder}/db.sqlite3", busy_timeout=0.5)) as opened:
        opened.wait_until_up(1, 0)
        JobStore(opened).add([a_job()])
        yield opened


def remove(folder: Path) -> None:
    for path in folder.iterdir():
        path.unlink()


def replace_by_backup(folder: Path) -> None:
    backup = folder / "backup"
    shutil.copy(folder / "db.sqlite3", backup)
    backup.replace(folder / "db.sqlite3")


FAULTS: dict[str, Callable[[Path], object]] = {
    "file removed": lambda folder: (folder / "db.sqlite3").unlink(),
    "all files removed": remove,
    "replaced by a backup": replace_by_backup,
    "log removed": lambda folder: (folder / "db.sqlite3-wal").unlink(),
    "index of the log removed": lambda folder: (folder / "db.sqlite3-shm").unlink(),
    "folder renamed": lambda folder: folder.rename(folder.parent / "elsewhere"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_job_is_not_accepted_into_a_file_that_is_not_in_its_place(
    database: Database, folder: Path, fault: str, caplog: pytest.LogCaptureFixture
) -> None:
    FAULTS[fault](folder)
    for _ in range(3):
        with pytest.raises(DatabaseReplaced, match="Put it back, or restart"):
            JobStore(database).add([a_job()])
    errors = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert len(errors) == 1
    assert "db.sqlite3 was removed or replaced" in errors[0].getMessage()


def test_fault_in_the_moment_of_the_commit_is_noticed(database: Database, folder: Path) -> None:
    jobs = JobStore(database)
    job = a_job()

    def change(_: object) -> None:
        remove(folder)

    with pytest.raises(DatabaseReplaced):
        database.write(change, durable=True)
    with pytest.raises(DatabaseReplaced):
        jobs.get(job.uuid)


def test_new_thread_makes_no_empty_file_in_the_place_of_a_removed_one(database: Database, folder: Path) -> None:
    remove(folder)
    errors: list[BaseException] = []

    def read() -> None:
        try:
            JobStore(database).get("x")
        except DatabaseReplaced as error:
            errors.append(error)

    thread = threading.Thread(target=read)
    thread.start()
    thread.join()
    assert len(errors) == 1
    assert list(folder.iterdir()) == []


def test_reads_are_refused_soon_after_the_file_is_gone(
    database: Database, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(file_identity, "CHECK_EVERY", 0)
    remove(folder)
    with pytest.raises(DatabaseReplaced):
        JobStore(database).get("x")


def test_file_that_is_put_back_is_used_again(
    database: Database, folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    elsewhere = folder.rename(folder.parent / "elsewhere")
    jobs = JobStore(database)
    with pytest.raises(DatabaseReplaced):
        jobs.add([a_job()])
    elsewhere.rename(folder)
    job = a_job()
    jobs.add([job])
    assert jobs.get(job.uuid).state is State.PENDING  # type: ignore[union-attr]
    assert "is in its place again" in caplog.text


def test_log_that_sqlite_removed_and_made_again_is_no_fault(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(file_identity, "CHECK_EVERY", 0)
    with closing(Database(f"sqliteext:///{folder}/db.sqlite3")) as database:
        database.wait_until_up(1, 0)
        jobs = JobStore(database)
        for _ in range(2):
            jobs.add([a_job()])
            assert jobs.get("x") is None
            database.close()
            assert not (folder / "db.sqlite3-wal").exists()


def test_relative_path_stays_where_the_process_started(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "start").mkdir()
    (tmp_path / "other").mkdir()
    monkeypatch.chdir(tmp_path / "start")
    with closing(Database("sqliteext:///db.sqlite3")) as database:
        os.chdir(tmp_path / "other")
        database.wait_until_up(1, 0)
        thread = threading.Thread(target=lambda: (JobStore(database).get("x"), database.close()))
        thread.start()
        thread.join()
        assert list((tmp_path / "other").iterdir()) == []
        assert (tmp_path / "start" / "db.sqlite3").exists()
