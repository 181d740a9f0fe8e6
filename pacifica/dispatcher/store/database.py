"""Connections and transactions: every statement of the store runs inside ``read`` or ``write``."""

import logging
import os
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from itertools import islice
from typing import Any, TypeVar

import peewee
from playhouse.pool import MaxConnectionsExceeded, PooledDatabase

from ..core.backoff import backoff
from ..core.errors import DatabaseUnavailable
from ..core.interruption import UNINTERRUPTED
from ..core.waiter import BLOCKING, Waiter
from ..dialect import CHANNEL, is_mysql, is_sqlite
from ..migrations.schema import Schema, Step, create, exclusive, read, steps, walk
from .connections import driver_errors
from .connections.connect import open_database
from .connections.file_identity import FileIdentity
from .connections.sqlite import FORK_GATE, LogSync

logger = logging.getLogger(__name__)
Value = TypeVar("Value")

UNREACHABLE = (peewee.OperationalError, peewee.InterfaceError, peewee.InternalError, MaxConnectionsExceeded)
"""PeeWee raises these if the server is gone, the file is locked, full or read-only, or the pool is exhausted.

For a file that is damaged or is not a database it raises plain ``DatabaseError``, the base class of the others.
"""
DEADLOCK_RETRIES = 4
"""How often a transaction is repeated that the server rolled back because of a deadlock."""
LOOP_BUSY_TIMEOUT = 0.01
"""The longest time, in seconds, that a loop waits for a locked file, such as one that is recovered after a crash."""
LOOP_ROW_LIMIT = 100_000
"""The largest row, in bytes, that a loop reads itself; another thread reads a larger one."""
SHORTEST_WRITER_TIMEOUT = 0.5
"""The least time, in seconds, that a writer waits for other writers of its process, even if ``busy_timeout`` is less.

A dispatch may wait this long twice: for earlier dispatches, and for the other writers of its process.
"""


class Database:
    """The service's database: a connection for each thread, short transactions, one kind of error.

    ``url`` is a PeeWee URL; ``busy_timeout`` and ``answer_timeout`` are those of ``open_database``. A thread connects
    on its first statement, and no connection is used across a fork. A statement that the database cannot execute now
    raises ``DatabaseUnavailable``; ``on_failure`` is called with the kind of each such failure.
    """

    def __init__(
        self, url: str, busy_timeout: float = 30.0, answer_timeout: float = 5.0, waiter: Waiter = BLOCKING
    ) -> None:
        self.waiter = waiter
        self.peewee = open_database(url, busy_timeout, answer_timeout)
        self.sqlite = is_sqlite(self.peewee)
        self.mysql = is_mysql(self.peewee)
        self.postgresql = not (self.sqlite or self.mysql)
        self._pooled = isinstance(self.peewee, PooledDatabase)
        self._gate: AbstractContextManager[None] = FORK_GATE if self.sqlite else nullcontext()
        # SQLite has no queue for writers that find the file busy; this lock makes those of the process take turns.
        self._writers = threading.RLock()
        self._connecting = threading.Lock()
        self._log_sync = LogSync(self._log_path)
        self._file = FileIdentity(self.peewee.database) if self.sqlite else None
        self._silent_at = float("-inf")
        self.on_failure: Callable[[str], object] = lambda _: None
        self.writer_timeout = max(busy_timeout, SHORTEST_WRITER_TIMEOUT)
        if hasattr(os, "register_at_fork"):  # Windows has no fork.
            os.register_at_fork(after_in_child=self._forget_parent)

    def __repr__(self) -> str:
        """Omits the URL, as Celery logs its settings; kombu distinguishes its pools by the address."""
        return f"<Database {type(self.peewee).__name__} at {id(self):#x}>"

    __json__ = __repr__
    """kombu calls it when remote control asks a worker for its settings."""

    def read(self, query: Callable[[peewee.Database], Value]) -> Value:
        """Return the result of ``query``, executed outside a transaction.

        A connection that the server has dropped is replaced once, and the query repeated. For an event loop, another
        thread executes a query that would have to wait, or that reads a large row.
        """
        if not self.waiter.on_loop():
            with UNINTERRUPTED:
                return self._read(query)
        heavy = False
        if self.sqlite and not (self._pooled or FORK_GATE.closed):  # The limits of a loop stay with a connection.
            try:
                with self._gate, self._connected():
                    return query(self.peewee)
            except (peewee.DataError, sqlite3.DataError) as error:
                heavy = driver_errors.is_too_large(error)
                if not heavy:
                    raise
            except DatabaseUnavailable:
                logger.debug("Another thread repeats a query of the loop.", exc_info=True)
        return self.waiter.run(lambda: self._read(query), heavy=heavy)

    def _read(self, query: Callable[[peewee.Database], Value]) -> Value:
        for attempt in (1, 2):
            fresh = self.peewee.is_closed()
            try:
                with self._gate, self._connected():
                    return query(self.peewee)
            except DatabaseUnavailable as error:
                if fresh or attempt == 2 or driver_errors.kind(error) == "silent":
                    self.on_failure(driver_errors.kind(error))
                    raise
        raise AssertionError("unreachable")

    def rows(self, query: peewee.Query) -> list[tuple[Any, ...]]:
        """Read all rows of a query."""
        return self.read(lambda db: list(query.tuples().execute(db)))

    def write(self, change: Callable[[peewee.Database], Value], *, durable: bool = False) -> Value:
        """Return the result of ``change`` once its transaction is committed.

        ``durable`` waits on SQLite until the disk has the commit (servers always do); if that fails, the change may be
        committed all the same. A dropped connection is replaced once if it fails before the commit, so that no change
        is applied twice. A transaction that the server rolled back because of a deadlock is repeated.
        """
        if self.waiter.on_loop():
            return self.waiter.run(lambda: self._write(change, durable=durable))
        with UNINTERRUPTED:
            return self._write(change, durable=durable)

    def _write(self, change: Callable[[peewee.Database], Value], *, durable: bool) -> Value:
        pauses: Iterator[float] | None = None
        while True:
            try:
                value = self._transact(change)
                if durable and self.sqlite:
                    self._wait_for_disk()
            except DatabaseUnavailable as error:
                if self.sqlite and driver_errors.kind(error) == "read_only":
                    FORK_GATE.close_all()
                pauses = pauses or islice(backoff(0.01, 0.3, factor=3, jitter=1), DEADLOCK_RETRIES)
                pause = next(pauses, None) if driver_errors.is_rolled_back(error) else None
                if pause is None:
                    self.on_failure(driver_errors.kind(error))
                    raise
                time.sleep(pause)
            else:
                return value

    def wait_until_up(self, attempts: int, wait: float) -> None:
        """Connect, and create the tables of an empty database, in up to ``attempts`` tries, ``wait`` seconds apart.

        Raises ``DatabaseUnavailable`` if the last try fails, or at once if the file is damaged; ``SchemaMismatch`` at
        once if the tables are those of another version.
        """
        for attempt in range(1, attempts + 1):
            try:
                with self._gate, self._connected():
                    self._use_wal()
                    create(self.peewee)
            except DatabaseUnavailable as error:
                if attempt == attempts or driver_errors.kind(error) == "damaged":
                    raise
                logger.warning("%s Attempt %d of %d; the next in %g s.", error, attempt, attempts, wait)
                time.sleep(wait)
            else:
                return

    def schema(self) -> Schema:
        """The schema's version, found and expected; costs two small reads."""
        return self.read(read)

    def steps(self, target: int | None = None) -> list[Step]:
        """The steps that ``sync`` would take now; raises ``SchemaMismatch``."""
        return self.read(lambda db: steps(db, target))

    def sync(self, target: int | None = None, on_step: Callable[[Step, float], None] = lambda *_: None) -> None:
        """Migrate the schema to the version ``target`` (default: the newest), excluding other processes.

        ``on_step`` is called after each step with its seconds. Raises ``MigrationFailed``, ``SchemaMismatch`` and
        ``DatabaseUnavailable``. A finite ``answer_timeout`` interrupts a step that takes longer.
        """
        with self._gate, self._turn() if self.sqlite else nullcontext(), self._connected():
            self._use_wal()
            with exclusive(self.peewee):
                walk(self.peewee, steps(self.peewee, target), on_step)

    def notify(self) -> None:
        """Wake the workers that wait for jobs, once the caller's transaction is committed; only PostgreSQL can."""
        if self.postgresql:
            self.peewee.execute_sql(f"NOTIFY {CHANNEL}")

    def close(self) -> None:
        """Close the calling thread's connection, if it has one."""
        with UNINTERRUPTED, self._gate:
            if not self.peewee.is_closed():
                self.peewee.close()

    def _transact(self, change: Callable[[peewee.Database], Value]) -> Value:
        if self.sqlite:
            with self._gate, self._turn(), self._connected():
                with self.peewee.atomic():
                    value = change(self.peewee)
                if self._file is not None:
                    self._file.note_beside(self.peewee.connection())
                    self._file.touch_log()
                return value
        for attempt in (1, 2):
            held = not (self._pooled or self.peewee.is_closed())
            committing = False
            try:
                with self._connected(), self.peewee.atomic():
                    value = change(self.peewee)
                    committing = True
            except DatabaseUnavailable as error:
                if committing or attempt == 2 or not (held and driver_errors.may_be_dropped(error)):
                    raise
            else:
                return value
        raise AssertionError("unreachable")

    def _use_wal(self) -> None:
        """Switch the file to a write-ahead log, permanently."""
        if self.sqlite and self.peewee.execute_sql("PRAGMA journal_mode").fetchone()[0] != "wal":
            self.peewee.execute_sql("PRAGMA journal_mode = wal")

    def _forget_parent(self) -> None:
        """After a fork: use no connection of the parent, and free the locks that its threads held."""
        self._writers = threading.RLock()
        self._connecting = threading.Lock()
        self._log_sync.forget_parent()
        # A thread of the parent that was connecting holds PeeWee's locks, for which dispose() would wait forever.
        pool = threading.RLock()
        free = {"_lock": threading.Lock(), "_pool_lock": pool, "_pool_available": threading.Condition(pool)}
        vars(self.peewee).update((name, lock) for name, lock in free.items() if hasattr(self.peewee, name))
        self.peewee.dispose()

    @contextmanager
    def _turn(self) -> Iterator[None]:
        """Exclude the other writers of this process; waits for them for ``writer_timeout``."""
        writers = self._writers  # A fork replaces the attribute.
        if not writers.acquire(timeout=self.writer_timeout):
            busy = driver_errors.WritersBusy()
            raise _unavailable(busy) from busy
        try:
            yield
        finally:
            writers.release()

    @contextmanager
    def _connected(self) -> Iterator[None]:
        try:
            self._connect()
            yield
        except (*UNREACHABLE, peewee.DatabaseError) as error:
            if not isinstance(error, UNREACHABLE) and type(error) is not peewee.DatabaseError:
                raise
            with suppress(peewee.PeeweeException):
                self.close()
            logger.debug("database error", exc_info=True)
            raise _unavailable(error) from error
        finally:
            if self._pooled:
                self.close()

    def _connect(self) -> None:
        """Connect unless connected; if the server does not answer, all threads that wait to connect raise as well.

        PeeWee connects one thread at a time, so each thread would wait for the time-outs of all threads before it.
        """
        if self.sqlite and not self.peewee.is_closed() and self.peewee.connection().closed:
            self.peewee.dispose()
        if not self.peewee.is_closed():
            if self._file is not None:
                self._file.check(self.peewee.connection())
            return
        start = time.monotonic()
        with self._connecting:
            if start < self._silent_at:
                raise _unavailable(TimeoutError("timed out"))
            try:
                if self._file is not None:
                    self._file.check(None)
                self.peewee.connect()
                if self._file is not None:
                    self._file.note()
                if self.sqlite and self.waiter.on_loop():
                    self.peewee.connection().stay_brief(LOOP_BUSY_TIMEOUT, LOOP_ROW_LIMIT)
            except UNREACHABLE as error:
                if driver_errors.kind(error) == "silent":
                    self._silent_at = time.monotonic()
                raise

    def _wait_for_disk(self) -> None:
        try:
            self._log_sync.wait()
        except OSError as error:
            raise _unavailable(error) from error
        if self._file is not None and not self.peewee.is_closed():
            self._file.check(self.peewee.connection(), at_once=True)

    def _log_path(self) -> str:
        """The path of SQLite's log, which has the file's real name even if the URL names a link."""
        with self._gate, self._connected():
            files = self.peewee.execute_sql("PRAGMA database_list").fetchall()
        return f"{next(path for _, name, path in files if name == 'main')}-wal"


def _unavailable(error: BaseException) -> DatabaseUnavailable:
    return DatabaseUnavailable(f"The database cannot do that now ({driver_errors.reason(error)}).")
