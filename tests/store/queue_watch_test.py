"""A worker that waits for jobs is woken by a job that becomes due, on each database."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import peewee
import pytest

from pacifica.dispatcher.core.errors import DatabaseUnavailable
from pacifica.dispatcher.core.job import now
from pacifica.dispatcher.core.work import WantedJobs
from pacifica.dispatcher.store import queue_watch
from pacifica.dispatcher.store.connections.file_watch import Inotify
from pacifica.dispatcher.store.database import Database
from pacifica.dispatcher.store.jobs import JobStore
from pacifica.dispatcher.store.queue_watch import QueueWatch
from pacifica.dispatcher.store.work_queue import WorkQueue

from ..eventually import eventually
from ..services import POSTGRESQL, fresh_database
from .conftest import a_job
from .queries import add_event

Q = "dispatcher"
LONG = 30.0


@pytest.fixture
def watch(database: Database) -> Iterator[QueueWatch]:
    """A watch that has noticed everything so far."""
    with closing(QueueWatch(database)) as opened:
        settle(opened)
        yield opened


@pytest.fixture
def file(sqlite_url: str) -> Iterator[Database]:
    """An SQLite file with its tables."""
    with closing(Database(sqlite_url, busy_timeout=0.1)) as opened:
        opened.wait_until_up(1, 0.0)
        yield opened


def seconds(watch: QueueWatch, longest: float = LONG) -> float:
    """The seconds that a wait takes."""
    begin = time.monotonic()
    watch.wait(longest)
    return time.monotonic() - begin


def settle(watch: QueueWatch) -> None:
    """Wait until the watch has noticed what happened before."""
    watch.wait(0.3)
    watch.wait(0.3)


def in_thread(database: Database, action: Callable[[], object]) -> threading.Thread:
    """Run the action in a thread with a connection of its own."""

    def run() -> None:
        try:
            action()
        finally:
            database.close()

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    return thread


def waits_until_due(watch: QueueWatch, database: Database) -> None:
    """Wait as a worker does until a job is due."""
    queue = WorkQueue(database)
    end = time.monotonic() + LONG
    while not queue.ready([Q], now()):
        assert time.monotonic() < end, "the job was not noticed"
        watch.wait(LONG)


def test_worker_notices_a_job_of_another_process(watch: QueueWatch, database: Database) -> None:
    jobs = JobStore(database, row_queue=True)
    for _ in range(3):
        adding = in_thread(database, lambda: jobs.add([a_job(target_queue=Q)]))
        waits_until_due(watch, database)
        adding.join()
        wanted = WantedJobs([Q], 5)
        assert len(WorkQueue(database).turn([], wanted, [], token="t", worker="w", holder="h", at=now()).rows) == 1


def test_wake_ends_a_wait_even_before_it_begins(watch: QueueWatch) -> None:
    watch.wake()
    watch.wake()
    assert seconds(watch) < LONG / 2
    rung = threading.Event()
    waking = threading.Timer(0.1, lambda: (rung.set(), watch.wake()))
    waking.start()
    begin = time.monotonic()
    while not rung.is_set():  # A change of the record may end it earlier.
        watch.wait(LONG)
    waking.join()
    assert time.monotonic() - begin < LONG / 2


def test_closed_watch_may_still_be_woken(database: Database) -> None:
    watch = QueueWatch(database)
    watch.close()
    watch.wake()


@pytest.mark.parametrize("watched", [True, False], ids=["inotify", "no inotify"])
def test_own_commits_of_sqlite_end_no_wait_and_those_of_others_do(
    file: Database, watched: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if watched:
        monkeypatch.setattr(queue_watch, "LONGEST_PAUSE", LONG)  # So that the watch does not look by itself.
    else:
        monkeypatch.setattr(Inotify, "watch", lambda _: None)
    with closing(QueueWatch(file)) as watch:
        settle(watch)
        file.write(add_event)
        assert seconds(watch, 0.3) >= 0.3
        writing = in_thread(file, lambda: file.write(add_event))
        assert seconds(watch) < LONG / 2
        writing.join()


def test_write_to_the_log_before_the_commit_does_not_end_the_watch(file: Database) -> None:
    written, committing = threading.Event(), threading.Event()

    def change(db: peewee.Database) -> None:
        db.execute_sql("PRAGMA cache_size = 1")  # So that the pages are in the log before the commit.
        for _ in range(100):
            add_event(db, "x" * 32)
        db.execute_sql("UPDATE event SET data = ?", ("x" * 10_000,))
        written.set()
        assert committing.wait(LONG)

    with closing(QueueWatch(file)) as watch:
        settle(watch)
        writing = in_thread(file, lambda: file.write(change))
        assert written.wait(LONG)
        watch.wait(0.3)
        threading.Timer(0.1, committing.set).start()
        assert seconds(watch) < LONG / 2
        writing.join()


def test_log_that_was_removed_and_made_again_is_watched(file: Database) -> None:
    with closing(QueueWatch(file)) as watch:
        settle(watch)
        log = Path(f"{file.peewee.database}-wal")
        file.close()
        assert not log.exists()
        settle(watch)
        writing = in_thread(file, lambda: file.write(add_event))
        assert seconds(watch) < LONG / 2
        writing.join()


def test_idle_watch_of_sqlite_takes_no_lock(file: Database) -> None:
    locked, done = threading.Event(), threading.Event()

    def change(_: peewee.Database) -> None:
        locked.set()
        done.wait(LONG)

    with closing(QueueWatch(file)) as watch:
        settle(watch)
        writing = in_thread(file, lambda: file.write(change))
        assert locked.wait(LONG)
        assert 0.2 <= seconds(watch, 0.2) < LONG / 2
        assert not WorkQueue(file).ready([Q], now())
        done.set()
        writing.join()


def test_wait_of_an_unavailable_database_lasts_its_time(file: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: object) -> None:
        raise DatabaseUnavailable("no")

    with closing(QueueWatch(file)) as watch:
        settle(watch)
        with monkeypatch.context() as patched:
            patched.setattr(file, "read", fail)
            assert seconds(watch, 0.2) >= 0.2
        assert seconds(watch) < LONG / 2


@pytest.mark.slow
def test_watch_of_postgresql_listens_again_after_its_connection_was_lost() -> None:
    ours = "query ~ '^LISTEN' AND datname = current_database()"
    ended = f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE {ours}"
    with fresh_database(POSTGRESQL) as url, closing(Database(url)) as database, closing(QueueWatch(database)) as watch:
        settle(watch)
        assert database.read(lambda db: db.execute_sql(ended).fetchall()) == [(True,)]
        settle(watch)

        def noticed() -> bool:
            notifying = in_thread(database, lambda: database.write(lambda _: database.notify()))
            found = seconds(watch, 1.0) < 0.9
            notifying.join()
            return found

        eventually(noticed)
