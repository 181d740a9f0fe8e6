"""Connections and transactions on each database: what is lost, what is replaced, what is told."""

import errno
import os
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import peewee
import pytest

from pacifica.dispatcher import orm
from pacifica.dispatcher.core.errors import DatabaseUnavailable
from pacifica.dispatcher.store.connections import sqlite
from pacifica.dispatcher.store.connections.connect import SCHEMES, open_database, sqlite_file
from pacifica.dispatcher.store.database import Database
from pacifica.dispatcher.store.jobs import JobStore
from pacifica.dispatcher.store.prepared import Prepared, insert, slot

from ..eventually import eventually
from ..processes import free_port
from ..services import MYSQL, POSTGRESQL
from .conftest import a_job, all_at_once

SERVERS = (POSTGRESQL, MYSQL)
SECRETS = ("/", "SELECT", "INSERT", "127.0.0.1", "localhost")


def one(database: Database) -> int:
    """A look at the database."""
    found: int = database.read(lambda db: db.execute_sql("SELECT 1").fetchone()[0])
    return found


def hang_up(url: str, victim: Database) -> None:
    """Have the server end the connection of the calling thread."""
    if victim.mysql:
        number = victim.peewee.execute_sql("SELECT CONNECTION_ID()").fetchone()[0]
        statement = f"KILL {number}"
    else:
        number = victim.peewee.execute_sql("SELECT pg_backend_pid()").fetchone()[0]
        statement = f"SELECT pg_terminate_backend({number}, 5000)"
    with closing(Database(url)) as killer:
        killer.read(lambda db: db.execute_sql(statement).fetchall())


def add_event(db: peewee.Database, kind: str = "PENDING") -> None:
    """A row that needs no other."""
    orm.Event.insert(job="j", at=1, kind=kind).execute(db)


def count_events(database: Database) -> int:
    """How many rows there are."""
    return int(database.read(orm.Event.select().count))


@pytest.fixture(params=SERVERS)
def server_url(request: pytest.FixtureRequest, make_database: Callable[[str], str]) -> str:
    """A fresh database on each server."""
    return make_database(request.param)


# URLs


@pytest.mark.parametrize("pool", ["", "+pool"])
def test_every_scheme_opens_and_makes_its_tables(database_url: str, pool: str) -> None:
    scheme, _, rest = database_url.partition("://")
    with closing(Database(f"{scheme}{pool}://{rest}")) as database:
        database.wait_until_up(1, 0.0)
        database.wait_until_up(1, 0.0)
        JobStore(database).add([job := a_job(args=["😀"])])
        assert JobStore(database).get(job.uuid) == job
        assert database.peewee.is_closed() == bool(pool)


def test_sqlite_is_also_sqliteext(tmp_path: Path) -> None:
    for scheme in ("sqlite", "sqliteext", "sqlite+pool", "sqliteext+pool"):
        with closing(Database(f"{scheme}:///{tmp_path}/same.db")) as database:
            database.wait_until_up(1, 0.0)
            assert one(database) == 1


def test_escapes_in_user_and_password_are_decoded_and_a_bare_percent_stays() -> None:
    for url, password in (
        ("postgresql://us%40er:p%40ss%2Fw%3Ard@h:5/db", "p@ss/w:rd"),
        ("mysql+pool://us%40er:100%@h:5/db", "100%"),
    ):
        parameters = open_database(url).connect_params
        assert (parameters["user"], parameters["password"], parameters["host"], parameters["port"]) == (
            "us@er", password, "h", 5
        )  # fmt: skip


def test_a_relative_path_is_relative_to_the_working_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with closing(Database("sqlite:///here.db")) as database:
        database.wait_until_up(1, 0.0)
    assert (tmp_path / "here.db").exists()


NO_URLS = ["", "nope", "db.sqlite3", "oracle://h/db", "SELECT 1", "sqlite", "postgres://h/db", "sqlite:///"]
NO_URLS += ["sqlite:///:memory:", "sqliteext://", "sqlite+pool:///:memory:", "postgresql://h:port/db"]


@pytest.mark.parametrize("url", [*NO_URLS, "postgresql://[::1/db"])
def test_a_url_that_cannot_be_used_is_a_value_error_with_a_sentence(url: str) -> None:
    with pytest.raises(ValueError, match=r"\w+ \w+"):
        Database(url)


def test_a_refusal_lists_the_schemes() -> None:
    with pytest.raises(ValueError, match="the scheme is oracle") as caught:
        Database("oracle://h/db")
    assert all(scheme in str(caught.value) for scheme in SCHEMES)


def test_the_password_is_in_no_repr() -> None:
    assert "secret" not in repr(Database("postgresql://me:secret@h/db"))


# A database that is away


@pytest.mark.parametrize("scheme", ["postgresql", "postgresql+pool", "mysql", "mysql+pool"])
def test_waiting_for_a_server_that_is_not_there_ends(scheme: str, caplog: pytest.LogCaptureFixture) -> None:
    database = Database(f"{scheme}://me:secret@127.0.0.1:{free_port()}/db")
    with pytest.raises(DatabaseUnavailable, match="it cannot be reached") as caught:
        database.wait_until_up(3, 0.0)
    assert not any(secret in str(caught.value) for secret in (*SECRETS, "secret"))
    assert [record.levelname for record in caplog.records] == ["WARNING"] * 2
    assert "secret" not in caplog.text


@pytest.mark.parametrize("work", ["read", "write"])
def test_a_connection_that_the_server_has_dropped_is_replaced(server_url: str, work: str) -> None:
    with closing(Database(server_url)) as database:
        database.wait_until_up(1, 0.0)
        assert one(database) == 1
        hang_up(server_url, database)
        if work == "read":
            assert one(database) == 1
        else:
            database.write(add_event)
            assert count_events(database) == 1


def test_a_connection_that_is_dropped_within_a_change_is_an_error_and_the_next_change_works(server_url: str) -> None:
    with closing(Database(server_url)) as database:
        database.wait_until_up(1, 0.0)

        def change(db: peewee.Database) -> None:
            add_event(db)
            hang_up(server_url, database)
            add_event(db)

        with pytest.raises(DatabaseUnavailable) as caught:
            database.write(change)
        assert not any(secret in str(caught.value) for secret in SECRETS)
        database.write(add_event)
        assert count_events(database) == 1


def test_a_change_in_which_the_connection_is_dropped_once_is_made_once(server_url: str) -> None:
    with closing(Database(server_url)) as database:
        database.wait_until_up(1, 0.0)
        assert one(database) == 1
        drops = iter([True, False])

        def change(db: peewee.Database) -> None:
            add_event(db)
            if next(drops):
                hang_up(server_url, database)
            add_event(db)

        database.write(change)
        assert count_events(database) == 2


def test_a_connection_that_is_dropped_at_the_commit_is_an_error(
    server_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with closing(Database(server_url)) as database:
        database.wait_until_up(1, 0.0)
        assert one(database) == 1

        def commit() -> None:
            committed()
            raise peewee.OperationalError("server closed the connection unexpectedly")

        committed = database.peewee.commit
        with monkeypatch.context() as cut:
            cut.setattr(database.peewee, "commit", commit)
            with pytest.raises(DatabaseUnavailable):
                database.write(add_event)
        assert count_events(database) == 1


@pytest.mark.slow
def test_a_pool_that_is_used_up_says_so(make_database: Callable[[str], str]) -> None:
    url = make_database(POSTGRESQL).replace("postgresql://", "postgresql+pool://") + "?max_connections=1"
    with closing(Database(url)) as database:

        def inside(_: peewee.Database) -> None:
            with pytest.raises(DatabaseUnavailable, match="all its connections are in use"):
                all_at_once(database, [lambda: one(database)])

        database.read(inside)
        database.peewee.close_all()


def test_what_another_connection_has_committed_is_seen(database_url: str) -> None:
    with closing(Database(database_url)) as database, closing(Database(database_url)) as other:
        database.wait_until_up(1, 0.0)
        for number in range(3):
            assert count_events(database) == number
            other.write(add_event)


def test_a_read_leaves_no_transaction_open(server_url: str) -> None:
    with closing(Database(server_url)) as database:
        database.wait_until_up(1, 0.0)
        count_events(database)
        assert not database.peewee.in_transaction()
        with closing(Database(server_url)) as other:
            other.write(lambda db: db.execute_sql("ALTER TABLE event ADD COLUMN extra INTEGER"))


def test_a_change_that_fails_leaves_nothing(database_url: str) -> None:
    with closing(Database(database_url)) as database:
        database.wait_until_up(1, 0.0)

        def change(db: peewee.Database) -> None:
            add_event(db)
            raise KeyError

        with pytest.raises(KeyError):
            database.write(change)
        assert count_events(database) == 0


# SQLite files


@pytest.mark.parametrize("durable", [True, False])
def test_a_file_that_is_locked_for_too_long_is_unavailable_and_recovers(tmp_path: Path, durable: bool) -> None:
    path = tmp_path / "db.sqlite3"
    with closing(Database(f"sqlite:///{path}", busy_timeout=0.05)) as database:
        database.wait_until_up(1, 0.0)
        with closing(sqlite3.connect(path, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            with pytest.raises(DatabaseUnavailable, match="it is locked by another writer") as caught:
                database.write(add_event, durable=durable)
            assert not any(secret in str(caught.value) for secret in (*SECRETS, str(tmp_path)))
            assert count_events(database) == 0
            other.execute("COMMIT")
        database.write(add_event, durable=durable)
        assert count_events(database) == 1


def test_a_file_that_is_read_only_is_read_and_refuses_to_be_written(tmp_path: Path) -> None:
    path = tmp_path / "db.sqlite3"
    with closing(Database(f"sqlite:///{path}")) as database:
        database.wait_until_up(1, 0.0)
        database.write(add_event)
        database.peewee.connect(reuse_if_open=True)
        database.peewee.execute_sql("PRAGMA query_only = 1")
        with pytest.raises(DatabaseUnavailable, match="it is read-only"):
            database.write(add_event)
        assert count_events(database) == 1


def test_a_file_that_is_no_database_is_told_at_once_and_mistakes_of_ours_stay_what_they_are(tmp_path: Path) -> None:
    path = tmp_path / "db.sqlite3"
    path.write_text("x\n" * 500, encoding="utf-8")
    with closing(Database(f"sqlite:///{path}")) as database, pytest.raises(DatabaseUnavailable) as told:
        database.wait_until_up(3, 60.0)
    assert str(told.value) == "The database cannot do that now (its file is no SQLite database)."

    path.unlink()
    with closing(Database(f"sqlite:///{path}")) as database:
        database.wait_until_up(1, 0.0)
        with pytest.raises(peewee.IntegrityError):
            database.write(lambda db: db.execute_sql("INSERT INTO job (uuid) VALUES (NULL)"))
        database.peewee.execute_sql("PRAGMA writable_schema = 1")
        database.peewee.execute_sql("UPDATE sqlite_schema SET rootpage = 9999 WHERE name = 'event'")
    with closing(Database(f"sqlite:///{path}")) as database, pytest.raises(DatabaseUnavailable, match="is damaged"):
        count_events(database)


def test_a_server_without_that_database_or_that_user_says_which(server_url: str) -> None:
    address = urlsplit(server_url)
    for url, why in (
        (address._replace(path="/nosuch"), "there is no database of that name"),
        (address._replace(netloc=f"nosuch:x@{address.hostname}:{address.port or ''}".rstrip(":")), "let that user in"),
    ):
        with closing(Database(urlunsplit(url))) as database, pytest.raises(DatabaseUnavailable, match=why):
            one(database)


def test_a_server_that_is_read_only_is_read_and_refuses_to_be_written(server_url: str) -> None:
    with closing(Database(server_url)) as database:
        database.wait_until_up(1, 0.0)
        off = "SET SESSION TRANSACTION READ ONLY" if database.mysql else "SET default_transaction_read_only = on"
        database.read(lambda db: db.execute_sql(off))
        with pytest.raises(DatabaseUnavailable) as caught:
            database.write(add_event)
        assert not any(secret in str(caught.value) for secret in SECRETS)
        database.write(add_event)  # The connection was replaced.
        assert count_events(database) == 1


def test_a_folder_that_is_not_there_is_unavailable_without_its_path(tmp_path: Path) -> None:
    with (
        closing(Database(f"sqlite:///{tmp_path}/missing/db.sqlite3")) as database,
        pytest.raises(DatabaseUnavailable, match="its file cannot be opened") as caught,
    ):
        database.wait_until_up(1, 0.0)
    assert str(tmp_path) not in str(caught.value)


def test_a_durable_change_is_synced_once_it_is_committed_and_no_other_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
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


def test_what_the_disk_did_not_take_is_not_said_to_be_kept(sqlite_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: int) -> None:
        raise OSError(errno.EIO, "Input/output error")

    with closing(Database(sqlite_url)) as database:
        database.wait_until_up(1, 0.0)
        with monkeypatch.context() as broken:
            broken.setattr(sqlite, "_fdatasync", fail)
            with pytest.raises(DatabaseUnavailable):
                database.write(add_event, durable=True)
        database.write(add_event, durable=True)


def test_threads_share_the_sync_that_begins_after_they_came(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "log").touch()
    log = sqlite.LogSync(lambda: str(tmp_path / "log"))
    go = threading.Event()
    outcomes = iter([None, OSError("the second one")])
    synced: list[int] = []
    told: list[str] = []

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
            told.append(type(error).__name__)

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
    assert len(synced) == 2  # The one that was under way says nothing of what came after it had begun.
    assert told == ["OSError"] * 5


def test_the_file_is_a_write_ahead_log(sqlite_url: str) -> None:
    with closing(Database(sqlite_url)) as database:
        database.wait_until_up(1, 0)
        assert database.read(lambda db: db.execute_sql("PRAGMA journal_mode").fetchone()[0]) == "wal"


def test_the_log_takes_many_megabytes_before_they_go_into_the_file(sqlite_url: str) -> None:
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


def test_eight_threads_write_without_a_lock_in_the_way(database_url: str) -> None:
    with closing(Database(database_url, busy_timeout=5.0)) as database:
        database.wait_until_up(1, 0.0)
        all_at_once(database, [lambda: [database.write(add_event) for _ in range(20)]] * 8)
        assert count_events(database) == 160


# Processes

CREATE = """
import sys
import threading
from pacifica.dispatcher.store.database import Database
print("ready", flush=True)
sys.stdin.readline()
database = Database(sys.argv[1])
database.wait_until_up(1, 0.0)
database.close()
"""


@pytest.mark.slow
def test_four_processes_make_the_tables_at_once(database_url: str, tmp_path: Path) -> None:
    started = [
        subprocess.Popen(
            [sys.executable, "-c", CREATE, database_url],
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
    """The exit code of a forked child: 0 when the action says yes."""
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


# Prepared statements


def test_a_prepared_statement_runs_with_new_values_each_time(database_url: str) -> None:
    with closing(Database(database_url)) as database:
        database.wait_until_up(1, 0.0)
        add = Prepared(database.peewee, insert(orm.Event, ("job", "at", "kind", "data")))
        query = orm.Event.select(orm.Event.kind).where(orm.Event.job == slot("job"), orm.Event.at == 5)
        find = Prepared(database.peewee, query)
        for job in ("a", "b'; --", "%s"):
            database.write(lambda _, job=job: add.run({"job": job, "at": 5, "kind": f"k{job}", "data": None}))
        for job in ("a", "b'; --", "%s"):
            found = database.read(lambda _, job=job: find.run({"job": job}).fetchall())
            assert [row[0] for row in found] == [f"k{job}"]


def test_a_prepared_statement_wants_a_value_for_each_slot(sqlite_url: str) -> None:
    with closing(Database(sqlite_url)) as database:
        database.wait_until_up(1, 0.0)
        query = Prepared(database.peewee, orm.Event.select().where(orm.Event.job == slot("job")))
        with pytest.raises(KeyError, match="job"):
            database.read(lambda _: query.run({}))
