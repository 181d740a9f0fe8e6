"""A database that several processes use, started or forked."""

import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path

import pytest

from pacifica.dispatcher import orm
from pacifica.dispatcher.core.errors import DatabaseUnavailable
from pacifica.dispatcher.store.database import Database
from pacifica.dispatcher.store.jobs import JobStore

from ..eventually import eventually
from .conftest import a_job, all_at_once
from .queries import add_event, count_events, one

CREATE_TABLES = Path(__file__).parent / "programs" / "create_tables.py"


@pytest.mark.slow
def test_four_processes_create_the_tables_at_once(database_url: str, tmp_path: Path) -> None:
    started = [
        subprocess.Popen(
            [sys.executable, str(CREATE_TABLES), database_url],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )
        for _ in range(4)
    ]  # fmt: skip
    for process in started:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in started:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    ends = [process.communicate(timeout=60) for process in started]
    assert [process.returncode for process in started] == [0] * 4, ends
    with closing(Database(database_url)) as database:
        JobStore(database).add([job := a_job()])
        assert JobStore(database).get(job.uuid) == job
        assert {index.name for index in database.read(lambda db: db.get_indexes("job"))} >= set(orm.JOB_INDEXES)


def in_a_child(action: Callable[[], bool]) -> int:
    """The exit code of a forked child: 0 if the action returns true."""
    child = os.fork()
    if child == 0:
        code = 3
        with suppress(BaseException):
            code = 0 if action() else 1
        os._exit(code)
    status = 0

    def ended() -> bool:
        nonlocal status
        done, status = os.waitpid(child, os.WNOHANG)
        return done == child

    try:
        eventually(ended, 30, "the child did not end")
    except BaseException:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        raise
    return os.waitstatus_to_exitcode(status)


@pytest.mark.slow
def test_a_child_does_not_share_its_parents_connection(database_url: str) -> None:
    with closing(Database(database_url)) as database:
        database.wait_until_up(1, 0.0)
        database.write(add_event)

        def child() -> bool:
            closed = database.peewee.is_closed()
            database.write(add_event)
            seen = count_events(database)
            database.close()
            return closed and seen == 2

        assert in_a_child(child) == 0
        database.write(add_event)
        assert count_events(database) == 3


@pytest.mark.slow
def test_a_process_forks_while_its_threads_write(sqlite_url: str) -> None:
    with closing(Database(sqlite_url)) as database:
        database.wait_until_up(1, 0.0)

        def child() -> bool:
            database.write(add_event)
            database.close()
            return True

        def write() -> int:
            for _ in range(30):
                database.write(add_event)
            return 0

        codes = all_at_once(database, [write, write, lambda: max(in_a_child(child) for _ in range(5))])
        assert codes == [0] * 3
        assert count_events(database) == 65
        assert one(database) == 1


@pytest.mark.parametrize("scheme", ["postgresql", "postgresql+pool", "mysql", "mysql+pool"])
def test_a_process_forks_while_a_thread_connects(scheme: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        database = Database(f"{scheme}://root@127.0.0.1:{silent.getsockname()[1]}/none")

        def connect() -> None:
            with suppress(DatabaseUnavailable):
                database.read(lambda _: None)

        thread = threading.Thread(target=connect, daemon=True)
        thread.start()
        with silent.accept()[0]:
            assert in_a_child(database.peewee.is_closed) == 0
    thread.join(30)
    assert not thread.is_alive()
