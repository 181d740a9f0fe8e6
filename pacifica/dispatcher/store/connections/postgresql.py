"""Connections to PostgreSQL whose every answer comes in time, or not at all.

Nothing that libpq or the server offers does that: the kernel of a machine whose PostgreSQL stands still
acknowledges what it is sent, so TCP's own time-outs never end, and a stopped server obeys no
``statement_timeout``.
"""

import time
from typing import Any, TypeVar

import peewee
import psycopg
from psycopg.abc import PQGen

Value = TypeVar("Value")


class _Connection(psycopg.Connection[Any]):
    """A connection that is closed when one answer takes longer than ``answer_timeout`` seconds."""

    answer_timeout = float("inf")

    def wait(self, gen: PQGen[Value], *args: Any, **kwargs: Any) -> Value:
        """As psycopg's own, which sends a 0 several times in a second while nothing comes."""
        return super().wait(self._in_time(gen), *args, **kwargs)

    def _in_time(self, gen: PQGen[Value]) -> PQGen[Value]:
        end = time.monotonic() + self.answer_timeout
        try:
            awaited = next(gen)
            while True:
                ready = yield awaited
                if not ready and time.monotonic() > end:
                    self.pgconn.finish()  # Whatever it would still say is the answer to this.
                    raise psycopg.OperationalError("the answer timed out")
                awaited = gen.send(ready)
        except StopIteration as answer:
            value: Value = answer.value
            return value


class InTime(peewee.Psycopg3Adapter):
    """PeeWee's way to psycopg, with a limit for each answer."""

    def __init__(self, answer_timeout: float) -> None:
        super().__init__()
        self._answer_timeout = answer_timeout

    def connect(self, db: peewee.Database, **params: Any) -> psycopg.Connection[Any]:
        """A new connection."""
        connection = _Connection.connect(dbname=db.database, **params)
        connection.answer_timeout = self._answer_timeout
        return connection
