"""Connections to PostgreSQL with a time limit for each answer.

Neither libpq nor the server has one: if PostgreSQL stands still, the kernel of its machine still acknowledges
packets, so that TCP's time-outs never end, and a stopped server does not obey ``statement_timeout``.
"""

import time
from contextlib import suppress
from typing import Any, TypeVar

import peewee
import psycopg
from psycopg.abc import PQGen

from ...dialect import CHANNEL

Value = TypeVar("Value")

RECONNECT = 2.0
"""Seconds between two attempts to connect a listener."""
LONGEST_PAUSE = 0.5
"""Seconds after which a listener is asked for notifications that its descriptor did not show."""


class _Connection(psycopg.Connection[Any]):
    """A connection that is closed when one answer takes longer than ``answer_timeout`` seconds."""

    answer_timeout = float("inf")

    def wait(self, gen: PQGen[Value], *args: Any, **kwargs: Any) -> Value:
        """Wait as psycopg does, which sends a 0 several times a second while no data arrives."""
        return super().wait(self._with_limit(gen), *args, **kwargs)

    def _with_limit(self, gen: PQGen[Value]) -> PQGen[Value]:
        end = time.monotonic() + self.answer_timeout
        try:
            awaited = next(gen)
            while True:
                ready = yield awaited
                if not ready and time.monotonic() > end:
                    self.pgconn.finish()  # A late answer would be taken for that of the next statement.
                    raise psycopg.OperationalError("the answer timed out") from TimeoutError()
                awaited = gen.send(ready)
        except StopIteration as answer:
            value: Value = answer.value
            return value


class TimeoutAdapter(peewee.Psycopg3Adapter):
    """PeeWee's adapter for psycopg 3, for a database with an ``answer_timeout``."""

    def connect(self, db: Any, **params: Any) -> psycopg.Connection[Any]:
        """A new connection."""
        connection = _Connection.connect(dbname=db.database, **params)
        connection.answer_timeout = db.answer_timeout
        return connection


class Listener:
    """Receives the notifications on a connection of its own, which is replaced when it is lost; for one thread."""

    def __init__(self, database: Any) -> None:
        self._database = database
        self._connection: psycopg.Connection[Any] | None = None
        self._next = float("-inf")
        self._fresh = False

    def reader(self) -> int | None:
        """A descriptor that is readable after a notification; ``None`` while there is no connection."""
        if self._connection is None and time.monotonic() >= self._next:
            self._next = time.monotonic() + RECONNECT
            with suppress(psycopg.Error):
                connection = TimeoutAdapter().connect(self._database, **self._database.connect_params)
                connection.autocommit = True
                connection.execute(f"LISTEN {CHANNEL}")
                self._connection, self._fresh = connection, True
        return None if self._connection is None else self._connection.fileno()

    def changed(self) -> bool:
        """Whether there were notifications, or may have been some that no connection received."""
        fresh, self._fresh = self._fresh, False
        if self._connection is None:
            return False
        try:
            return bool(list(self._connection.notifies(timeout=0))) or fresh
        except psycopg.Error:
            self.close()
            return True

    def pause(self) -> float:
        """The most seconds until the next call of ``changed``."""
        return LONGEST_PAUSE

    def close(self) -> None:
        """Close the connection."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None
