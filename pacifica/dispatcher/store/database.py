"""Connections and transactions: every statement of the record layer runs inside ``read`` or ``write``."""

import logging
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from itertools import islice
from typing import TypeVar

import peewee
from playhouse.pool import MaxConnectionsExceeded

from ..core.errors import DatabaseUnavailable
from ..core.pausing import here
from ..core.retry import backoff
from ..dialect import is_mysql, is_sqlite
from ..migrations.schema import Schema, Step, alone, create, read, steps, walk
from .connections import driver_errors
from .connections.connect import is_pooled, open_database
from .connections.disk import Disk
from .connections.forks import FORKS

logger = logging.getLogger(__name__)
Value = TypeVar("Value")

UNREACHABLE = (peewee.OperationalError, peewee.InterfaceError, peewee.InternalError, MaxConnectionsExceeded)
"""What PeeWee raises when the server is gone, the file is locked, full or read-only, or the pool is empty.

Of a file that is damaged, or another program's, it raises plain ``DatabaseError``, the base of all of its others.
"""
DEADLOCK_RETRIES = 4
"""How often a transaction is run again that the server rolled back to resolve a deadlock."""
PATIENCE_OF_A_LOOP = 0.05
"""Seconds that a loop waits for a file that cannot be read, such as one that is recovered after a crash."""
SHORTEST_TURN = 0.5
"""Seconds that a writer waits for the others of its process, however short its own ``busy_timeout`` is.

A dispatch waits so long for the dispatches before it, and once more for the other writers of its process.
"""


class Database:
    """The service's database: a connection for each thread, short transactions, one kind of error.

    ``url`` is a PeeWee URL; ``busy_timeout`` and ``answer_timeout`` as in ``open_database``. Nothing is
    connected before the first statement, and never across a fork. Raises ``DatabaseUnavailable`` from
    any statement that the database cannot carry out now; ``on_failure`` is told the kind of each such failure.
    """

    def __init__(self, url: str, busy_timeout: float = 30.0, answer_timeout: float = 5.0) -> None:
        self.peewee = open_database(url, busy_timeout, answer_timeout)
        self.sqlite = is_sqlite(self.peewee)
        self.mysql = is_mysql(self.peewee)
        self.postgresql = not (self.sqlite or self.mysql)
        self._pooled = is_pooled(self.peewee)
        self._gate: AbstractContextManager[None] = FORKS if self.sqlite else nullcontext()
        # Who finds the file busy sleeps and does not queue; a lock keeps this process's writers in turn.
        self._writers = threading.RLock()
        self._connecting = threading.Lock()
        self._disk = Disk(self._log_path)
        self._silent = float("-inf")
        self.on_failure: Callable[[str], object] = lambda _: None
        self.longest_turn = max(busy_timeout, SHORTEST_TURN)
        if hasattr(os, "register_at_fork"):  # Windows has no fork.
            os.register_at_fork(after_in_child=self._forget_parent)

    def __repr__(self) -> str:
        """Without the URL, as Celery prints its settings; with the address, as kombu tells its pools apart by it."""
        return f"<Database {type(self.peewee).__name__} at {id(self):#x}>"

    def __json__(self) -> str:
        """What kombu sends of it when remote control asks a worker for its settings."""
        return repr(self)

    def read(self, query: Callable[[peewee.Database], Value]) -> Value:
        """What ``query`` returns, outside any transaction of ours.

        A held connection that the server has dropped is replaced once, and the query run again. A loop that others
        wait for is not kept waiting: another thread does what it cannot do at once.
        """
        host = here.host
        if host is None:
            return self._read(query)
        if self.sqlite and not FORKS.busy:
            try:
                return self._read(query)
            except DatabaseUnavailable as error:
                if not driver_errors.is_lock(error):
                    raise
        return host.elsewhere(lambda: self._read(query))

    def _read(self, query: Callable[[peewee.Database], Value]) -> Value:
        for attempt in (1, 2):
            fresh = self.peewee.is_closed()
            try:
                with self._gate, self._connected():
                    return query(self.peewee)
            except DatabaseUnavailable as error:
                if fresh or attempt == 2 or driver_errors.is_silence(error):
                    self.on_failure(driver_errors.kind(error))
                    raise
        raise AssertionError("unreachable")

    def write(self, change: Callable[[peewee.Database], Value], *, durable: bool = False, alone: bool = False) -> Value:
        """What ``change`` returns, after its transaction has been committed.

        ``alone``: the change is one statement, which a server commits by itself.

        ``durable`` waits until the disk has it (SQLite; the servers do so in any case); what was committed and the
        disk did not take may be there all the same. A held connection that the server has dropped is replaced once
        when that shows before the commit, so that no change is ever applied twice. A transaction that the
        server ended to untie a deadlock was rolled back whole, so it is run again.
        """
        if here.host is not None:
            return here.host.elsewhere(lambda: self.write(change, durable=durable, alone=alone))
        pauses = backoff(0.01, 0.3, factor=3, jitter=1)
        for pause in (*islice(pauses, DEADLOCK_RETRIES), None):
            try:
                value = self._transact(change, alone=alone)
                if durable and self.sqlite:
                    self._wait_for_disk()
            except DatabaseUnavailable as error:
                if self.sqlite and driver_errors.is_read_only(error):
                    FORKS.close_all()
                if pause is None or not driver_errors.is_sacrifice(error):
                    self.on_failure(driver_errors.kind(error))
                    raise
                time.sleep(pause)
            else:
                return value
        raise AssertionError("unreachable")

    def wait_until_up(self, attempts: int, wait: float) -> None:
        """Connect and create an empty database's tables, trying ``attempts`` times, ``wait`` seconds apart.

        Raises ``DatabaseUnavailable`` when the last attempt fails, too, and at once when the file is damaged;
        at once ``SchemaTooOld`` or ``SchemaTooNew`` when the tables are those of another version.
        """
        for attempt in range(1, attempts + 1):
            try:
                with self._gate, self._connected():
                    self._keep_log()
                    create(self.peewee)
            except DatabaseUnavailable as error:
                if attempt == attempts or driver_errors.is_damage(error):
                    raise
                logger.warning("%s Attempt %d of %d; the next in %g s.", error, attempt, attempts, wait)
                time.sleep(wait)
            else:
                return

    def schema(self) -> Schema:
        """The schema's version, found and expected; costs two small reads."""
        return self.read(read)

    def steps(self, target: int | None = None) -> list[Step]:
        """What ``sync`` would walk now; raises ``SchemaTooNew``."""
        return self.read(lambda db: steps(db, target))

    def sync(self, target: int | None = None, tell: Callable[[Step, float], None] = lambda *_: None) -> None:
        """Walk the schema to the version ``target`` (the newest), alone, and ``tell`` of each step with its seconds.

        Raises ``MigrationFailed``, ``SchemaTooNew``, ``DatabaseUnavailable``. A database that was opened with an
        ``answer_timeout`` ends a step that takes longer.
        """
        with self._gate, self._turn() if self.sqlite else nullcontext(), self._connected():
            self._keep_log()
            with alone(self.peewee):
                walk(self.peewee, steps(self.peewee, target), tell)

    def close(self) -> None:
        """Close the calling thread's connection, if it has one."""
        with self._gate:
            if not self.peewee.is_closed():
                self.peewee.close()

    def _transact(self, change: Callable[[peewee.Database], Value], *, alone: bool) -> Value:
        if self.sqlite:
            with self._gate, self._turn(), self._connected(), self.peewee.atomic():
                return change(self.peewee)
        for attempt in (1, 2):
            held = not (self._pooled or self.peewee.is_closed())
            committing = alone
            try:
                with self._connected(), nullcontext() if alone else self.peewee.atomic():
                    value = change(self.peewee)
                    committing = True
            except DatabaseUnavailable as error:
                if committing or attempt == 2 or not (held and driver_errors.may_be_dropped(error)):
                    raise
            else:
                return value
        raise AssertionError("unreachable")

    def _keep_log(self) -> None:
        """Have the file keep a write-ahead log, which it remembers."""
        if self.sqlite and self.peewee.execute_sql("PRAGMA journal_mode").fetchone()[0] != "wal":
            self.peewee.execute_sql("PRAGMA journal_mode = wal")

    def _forget_parent(self) -> None:
        """After a fork: a connection is never shared, and a lock that a thread of the parent held is free."""
        self._writers = threading.RLock()
        self._connecting = threading.Lock()
        self._disk.forget_parent()
        # A thread that was connecting holds PeeWee's own locks for that long, and its dispose() would wait for them.
        pool = threading.RLock()
        free = {"_lock": threading.Lock(), "_pool_lock": pool, "_pool_available": threading.Condition(pool)}
        vars(self.peewee).update((name, lock) for name, lock in free.items() if hasattr(self.peewee, name))
        self.peewee.dispose()

    @contextmanager
    def _turn(self) -> Iterator[None]:
        """Wait for this process's other writers, and not for all that each of them waits for another process."""
        writers = self._writers  # After a fork it is another one.
        if not writers.acquire(timeout=self.longest_turn):
            raise DatabaseUnavailable("The database cannot do that now (it is locked by another writer).")
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
            self._discard()
            logger.debug("database error", exc_info=True)
            raise _unavailable(error) from error
        finally:
            if self._pooled:
                self.close()

    def _connect(self) -> None:
        """Have a connection; a server's silence is told to all who waited for their turn to ask it.

        PeeWee connects one thread at a time, so that each would wait for all before it.
        """
        if self.sqlite and not self.peewee.is_closed() and self.peewee.connection().closed:
            self.peewee.dispose()
        if not self.peewee.is_closed():
            return
        asked = time.monotonic()
        with self._connecting:
            if asked < self._silent:
                raise _unavailable(TimeoutError("timed out"))
            try:
                self.peewee.connect()
                if self.sqlite and here.host is not None:
                    self.peewee.connection().patience = PATIENCE_OF_A_LOOP
            except UNREACHABLE as error:
                if driver_errors.is_silence(error):
                    self._silent = time.monotonic()
                raise

    def _wait_for_disk(self) -> None:
        try:
            self._disk.wait()
        except OSError as error:
            raise _unavailable(error) from error

    def _log_path(self) -> str:
        """SQLite's own log; it knows the file by its real name, also where the URL names a link."""
        with self._gate, self._connected():
            files = self.peewee.execute_sql("PRAGMA database_list").fetchall()
        return f"{next(path for _, name, path in files if name == 'main')}-wal"

    def _discard(self) -> None:
        try:
            self.close()
        except peewee.PeeweeException:
            logger.debug("closing a broken connection failed", exc_info=True)


def _unavailable(error: BaseException) -> DatabaseUnavailable:
    return DatabaseUnavailable(f"The database cannot do that now ({driver_errors.reason(error)}).")
