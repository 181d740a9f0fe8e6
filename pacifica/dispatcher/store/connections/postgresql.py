"""Connections to PostgreSQL with a time limit for each answer.

Neither libpq nor the server has one: if PostgreSQL stands still, the kernel of its machine still acknowledges
packets, so that TCP's time-outs never end, and a stopped server does not obey ``statement_timeout``.
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
