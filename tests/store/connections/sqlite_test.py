"""The busy handler: waiting for the transaction of another process, with a clock that only pauses advance."""

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from functools import partial
from pathlib import Path

import pytest

from pacifica.dispatcher.store.connections import sqlite

from ...openfiles import open_files

Open = Callable[..., sqlite3.Cursor]


class Clock:
    """Replaces the module ``time``; ``during`` is called in each pause."""

    def __init__(self) -> None:
        self.pauses: list[float] = []
        self.during: Callable[[], object] = lambda: None

    def monotonic(self) -> float:
        return 1000.0 + sum(self.pauses)

    def sleep(self, seconds: float) -> None:
        self.pauses.append(seconds)
        self.during()


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(sqlite, "time", made)
    return made


@pytest.fixture
def connect(tmp_path: Path) -> Iterator[Open]:
    """Cursors of connections to one file with a table and a log; they wait a second by default."""
    with ExitStack() as stack:

        def one(busy_timeout: float = 1.0) -> sqlite3.Cursor:
            factory = partial(sqlite.FileConnection, busy_timeout=busy_timeout)
            connection = sqlite3.connect(tmp_path / "a.db", isolation_level=None, timeout=0, factory=factory)
            return stack.enter_context(closing(connection)).cursor()

        maker = one()
        maker.execute("PRAGMA journal_mode = wal")
        maker.execute("CREATE TABLE a (b)")
        maker.connection.close()
        yield one


def test_a_transaction_begins_as_soon_as_the_file_is_free(connect: Open, clock: Clock) -> None:
    mine, other = connect(), connect()
    other.execute("BEGIN IMMEDIATE")
    clock.during = lambda: other.execute("COMMIT") if len(clock.pauses) == 3 else None
    mine.execute("BEGIN IMMEDIATE")
    assert mine.connection.in_transaction
    assert clock.pauses == [sqlite.FIRST_PAUSE] * 3


def test_a_statement_outside_a_transaction_waits_as_well(connect: Open, clock: Clock) -> None:
    mine, other = connect(), connect()
    other.execute("BEGIN IMMEDIATE")
    clock.during = lambda: other.execute("COMMIT") if other.connection.in_transaction else None
    mine.execute("INSERT INTO a VALUES (?)", (7,))
    assert other.execute("SELECT b FROM a").fetchall() == [(7,)]


def test_pauses_grow_and_end_with_the_busy_timeout(connect: Open, clock: Clock) -> None:
    mine, other = connect(busy_timeout=0.5), connect()
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(sqlite3.OperationalError, match="locked"):
        mine.execute("BEGIN IMMEDIATE")
    *grown, last = clock.pauses
    assert grown == sorted(grown)
    assert (grown[0], grown[-1]) == (sqlite.FIRST_PAUSE, sqlite.LONGEST_PAUSE)
    assert 0 < last <= sqlite.LONGEST_PAUSE
    assert sum(clock.pauses) == pytest.approx(0.5)
    assert len(clock.pauses) < 60


def test_without_a_busy_timeout_a_statement_is_tried_once(connect: Open, clock: Clock) -> None:
    mine, other = connect(busy_timeout=0.0), connect()
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(sqlite3.OperationalError, match="locked"):
        mine.execute("BEGIN IMMEDIATE")
    assert sum(clock.pauses) == 0


def test_a_stale_snapshot_is_refused_without_waiting(connect: Open, clock: Clock) -> None:
    mine, other = connect(), connect()
    mine.execute("BEGIN")
    mine.execute("SELECT * FROM a").fetchall()
    other.execute("INSERT INTO a VALUES (1)")
    with pytest.raises(sqlite3.OperationalError, match="locked"):
        mine.execute("INSERT INTO a VALUES (2)")
    assert clock.pauses == []


def test_a_kept_error_does_not_keep_the_file_open(connect: Open, clock: Clock, tmp_path: Path) -> None:
    mine, other = connect(busy_timeout=0.0), connect()
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(sqlite3.OperationalError) as kept:
        mine.execute("BEGIN IMMEDIATE")
    for one in (mine, other):
        one.connection.close()
    assert (kept.value.sqlite_errorname, open_files(tmp_path)) == ("SQLITE_BUSY", [])


@pytest.mark.parametrize("sql", ["SELECT * FROM missing", "SELECT"])
def test_an_error_other_than_busy_is_raised_at_once(connect: Open, clock: Clock, sql: str) -> None:
    with pytest.raises(sqlite3.OperationalError):
        connect().execute(sql)
    assert clock.pauses == []


def test_an_error_after_a_pause_is_raised_at_once(connect: Open, clock: Clock) -> None:
    mine, other = connect(), connect()
    other.execute("BEGIN IMMEDIATE")
    other.execute("DROP TABLE a")
    clock.during = lambda: other.execute("COMMIT") if other.connection.in_transaction else None
    with pytest.raises(sqlite3.OperationalError, match="no such table"):
        mine.execute("INSERT INTO a VALUES (2)")
    assert len(clock.pauses) == 1
