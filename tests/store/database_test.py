"""Connections and transactions on each database: lost, replaced, refused and repeated ones."""

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import peewee
import pytest

from pacifica.dispatcher.core.errors import DatabaseUnavailable
from pacifica.dispatcher.store.database import Database

from ..processes import free_port
from ..services import MYSQL, POSTGRESQL
from .conftest import all_at_once
from .queries import add_event, count_events, one

SERVERS = (POSTGRESQL, MYSQL)
SECRETS = ("/", "SELECT", "INSERT", "127.0.0.1", "localhost")


def hang_up(url: str, victim: Database) -> None:
    """Let the server end the connection of the calling thread."""
    if victim.mysql:
        number = victim.peewee.execute_sql("SELECT CONNECTION_ID()").fetchone()[0]
        statement = f"KILL {number}"
    else:
        number = victim.peewee.execute_sql("SELECT pg_backend_pid()").fetchone()[0]
        statement = f"SELECT pg_terminate_backend({number}, 5000)"
    with closing(Database(url)) as killer:
        killer.read(lambda db: db.execute_sql(statement).fetchall())


@pytest.fixture(params=SERVERS)
def server_url(request: pytest.FixtureRequest, make_database: Callable[[str], str]) -> str:
    """A fresh database on each server."""
    return make_database(request.param)


@pytest.mark.parametrize("scheme", ["postgresql", "postgresql+pool", "mysql", "mysql+pool"])
def test_waiting_for_an_absent_server_ends(scheme: str, caplog: pytest.LogCaptureFixture) -> None:
    database = Database(f"{scheme}://me:secret@127.0.0.1:{free_port()}/db")
    with pytest.raises(DatabaseUnavailable, match="it cannot be reached") as caught:
        database.wait_until_up(3, 0.0)
    assert not any(secret in str(caught.value) for secret in (*SECRETS, "secret"))
    assert [record.levelname for record in caplog.records] == ["WARNING"] * 2
    assert "secret" not in caplog.text


@pytest.mark.parametrize("work", ["read", "write"])
def test_a_dropped_connection_is_replaced(server_url: str, work: str) -> None:
    with closing(Database(server_url)) as database:
        database.wait_until_up(1, 0.0)
        assert one(database) == 1
        hang_up(server_url, database)
        if work == "read":
            assert one(database) == 1
        else:
            database.write(add_event)
            assert count_events(database) == 1


def test_a_connection_dropped_during_a_change_is_an_error(server_url: str) -> None:
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


def test_a_change_is_made_once_if_its_connection_was_dropped(server_url: str) -> None:
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


def test_a_connection_dropped_at_the_commit_is_an_error(server_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
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
def test_an_exhausted_pool_is_an_error(make_database: Callable[[str], str]) -> None:
    url = make_database(POSTGRESQL).replace("postgresql://", "postgresql+pool://") + "?max_connections=1"
    with closing(Database(url)) as database:

        def inside(_: peewee.Database) -> None:
            with pytest.raises(DatabaseUnavailable, match="all its connections are in use"):
                all_at_once(database, [lambda: one(database)])

        database.read(inside)
        database.peewee.close_all()


def test_commits_of_other_connections_are_visible(database_url: str) -> None:
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


def test_a_failed_change_is_rolled_back(database_url: str) -> None:
    with closing(Database(database_url)) as database:
        database.wait_until_up(1, 0.0)

        def change(db: peewee.Database) -> None:
            add_event(db)
            raise KeyError

        with pytest.raises(KeyError):
            database.write(change)
        assert count_events(database) == 0


@pytest.mark.parametrize("durable", [True, False])
def test_a_file_that_stays_locked_is_an_error_until_it_is_free(tmp_path: Path, durable: bool) -> None:
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


def test_a_read_only_file_is_read_and_refuses_writes(tmp_path: Path) -> None:
    path = tmp_path / "db.sqlite3"
    with closing(Database(f"sqlite:///{path}")) as database:
        database.wait_until_up(1, 0.0)
        database.write(add_event)
        database.peewee.connect(reuse_if_open=True)
        database.peewee.execute_sql("PRAGMA query_only = 1")
        with pytest.raises(DatabaseUnavailable, match="it is read-only"):
            database.write(add_event)
        assert count_events(database) == 1


def test_a_damaged_file_is_reported_at_once(tmp_path: Path) -> None:
    path = tmp_path / "db.sqlite3"
    path.write_text("x\n" * 500, encoding="utf-8")
    with closing(Database(f"sqlite:///{path}")) as database, pytest.raises(DatabaseUnavailable) as caught:
        database.wait_until_up(3, 60.0)
    assert str(caught.value) == "The database cannot do that now (its file is not an SQLite database)."

    path.unlink()
    with closing(Database(f"sqlite:///{path}")) as database:
        database.wait_until_up(1, 0.0)
        with pytest.raises(peewee.IntegrityError):
            database.write(lambda db: db.execute_sql("INSERT INTO job (uuid) VALUES (NULL)"))
        database.peewee.execute_sql("PRAGMA writable_schema = 1")
        database.peewee.execute_sql("UPDATE sqlite_schema SET rootpage = 9999 WHERE name = 'event'")
    with closing(Database(f"sqlite:///{path}")) as database, pytest.raises(DatabaseUnavailable, match="is damaged"):
        count_events(database)


def test_a_missing_database_and_an_unknown_user_are_distinguished(server_url: str) -> None:
    address = urlsplit(server_url)
    for url, why in (
        (address._replace(path="/nosuch"), "there is no database with this name"),
        (
            address._replace(netloc=f"nosuch:x@{address.hostname}:{address.port or ''}".rstrip(":")),
            "denies access to this user",
        ),
    ):
        with closing(Database(urlunsplit(url))) as database, pytest.raises(DatabaseUnavailable, match=why):
            one(database)


def test_a_read_only_server_is_read_and_refuses_writes(server_url: str) -> None:
    with closing(Database(server_url)) as database:
        database.wait_until_up(1, 0.0)
        off = "SET SESSION TRANSACTION READ ONLY" if database.mysql else "SET default_transaction_read_only = on"
        database.read(lambda db: db.execute_sql(off))
        with pytest.raises(DatabaseUnavailable) as caught:
            database.write(add_event)
        assert not any(secret in str(caught.value) for secret in SECRETS)
        database.write(add_event)  # The connection was replaced.
        assert count_events(database) == 1


def test_a_missing_folder_is_reported_without_its_path(tmp_path: Path) -> None:
    with (
        closing(Database(f"sqlite:///{tmp_path}/missing/db.sqlite3")) as database,
        pytest.raises(DatabaseUnavailable, match="its file cannot be opened") as caught,
    ):
        database.wait_until_up(1, 0.0)
    assert str(tmp_path) not in str(caught.value)


def test_eight_threads_write_at_once(database_url: str) -> None:
    with closing(Database(database_url, busy_timeout=5.0)) as database:
        database.wait_until_up(1, 0.0)
        all_at_once(database, [lambda: [database.write(add_event) for _ in range(20)]] * 8)
        assert count_events(database) == 160
