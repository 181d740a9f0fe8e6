"""The queues of the ``database://`` transport: all its SQL.

A message is held by an owner until ``visible``, the end of its lease; before, and after, it is free. It is deleted
when it is acknowledged. All times are those of the database's clock.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Any

import peewee

from .database import Database

PRIORITIES = 10
"""The number of priorities; a higher one goes first."""
SECOND = 1_000_000
LONGEST_LIST = 500
"""The most ids in one statement, as SQLite limits the number of parameters."""

# One statement for all databases: NOW, LIST and LOCK are replaced for each.
_CLOCKS = {
    "sqlite": "CAST((julianday('now') - 2440587.5) * 86400000000 AS INTEGER)",
    # The time is constant during a statement, so that an index can be used.
    "postgresql": "CAST(extract(epoch FROM statement_timestamp()) * 1000000 AS bigint)",
    "mysql": "TIMESTAMPDIFF(MICROSECOND, '1970-01-01', UTC_TIMESTAMP(6))",
}
_PUT = (
    "INSERT INTO message (queue, precedence, visible, owner, deliveries, expires, payload) "
    "VALUES (?, ?, 0, '', 0, NOW + ?, ?)"
)
_WAITING = "SELECT 1 FROM message WHERE queue IN (LIST) AND visible <= NOW LIMIT 1"
_NEXT = (
    "SELECT id, payload, deliveries, CASE WHEN expires <= NOW THEN 1 ELSE 0 END FROM message "
    "WHERE queue = ? AND visible <= NOW ORDER BY precedence, id LIMIT ? LOCK"
)
_HOLD = "UPDATE message SET visible = NOW + ?, owner = ?, deliveries = deliveries + 1 WHERE id IN (LIST)"
_RENEW = "UPDATE message SET visible = NOW + ? WHERE owner = ? AND id IN (LIST)"
_RELEASE = "UPDATE message SET visible = 0, owner = '' WHERE owner = ? AND id IN (LIST)"
_ACKNOWLEDGE = "DELETE FROM message WHERE owner = ? AND id IN (LIST)"
_DELETE = "DELETE FROM message WHERE id IN (LIST)"
_SIZE = "SELECT count(*) FROM message WHERE queue = ? AND visible <= NOW AND (expires IS NULL OR expires > NOW)"
_PURGE = "DELETE FROM message WHERE queue = ? AND visible <= NOW"

_ROUTES = (
    "SELECT routing_key, queue, message_ttl FROM binding WHERE exchange = ? AND (expires IS NULL OR expires > NOW) "
    "ORDER BY queue, routing_key"
)
_DECLARED = (
    "SELECT 1 FROM binding WHERE exchange = '' AND routing_key = ? AND queue = ? "
    "AND (expires IS NULL OR expires > NOW) LIMIT 1"
)
_BIND = (
    "INSERT INTO binding (exchange, routing_key, queue, message_ttl, lifetime, expires) VALUES (?, ?, ?, ?, ?, NOW + ?)"
)
_OR_RENEW = (
    " ON CONFLICT (exchange, routing_key, queue) DO UPDATE SET message_ttl = excluded.message_ttl, "
    "lifetime = excluded.lifetime, expires = excluded.expires"
)
_OR_RENEW_MYSQL = (
    " ON DUPLICATE KEY UPDATE message_ttl = VALUES(message_ttl), lifetime = VALUES(lifetime), expires = VALUES(expires)"
)
_UNBIND = "DELETE FROM binding WHERE exchange = ? AND routing_key = ? AND queue = ?"
_STALE = "SELECT DISTINCT queue FROM binding WHERE expires <= NOW"
_UNBIND_STALE = "DELETE FROM binding WHERE queue = ? AND expires <= NOW"
_BOUND = "SELECT 1 FROM binding WHERE queue = ? LIMIT 1"
_FORGET_BINDINGS = "DELETE FROM binding WHERE queue = ?"
_FORGET_MESSAGES = "DELETE FROM message WHERE queue = ?"


@dataclass(frozen=True, slots=True)
class Letter:
    """A message to store; ``ttl`` is in milliseconds, ``None`` for no limit."""

    queue: str
    payload: str
    priority: int = 0
    ttl: int | None = None


@dataclass(frozen=True, slots=True)
class Wanted:
    """A request for at most ``limit`` messages of these queues; without ``keep`` they are acknowledged at once."""

    queues: Sequence[str]
    limit: int
    keep: bool = True


@dataclass(frozen=True, slots=True)
class Delivery:
    """A claimed message; ``deliveries`` includes this delivery."""

    id: int
    queue: str
    payload: str
    deliveries: int


@dataclass(frozen=True, slots=True)
class Route:
    """A queue bound to an exchange; ``message_ttl`` is in milliseconds, ``lifetime`` in microseconds."""

    exchange: str
    routing_key: str
    queue: str
    message_ttl: int | None = None
    lifetime: int | None = None


class MessageStore:
    """The queues of one database; raises ``DatabaseUnavailable`` as ``JobStore`` does."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._kind = "sqlite" if database.sqlite else "mysql" if database.mysql else "postgresql"

    def put(self, letters: Sequence[Letter], *, durable: bool = False) -> None:
        """Store all of these messages or none; ``durable`` is that of ``Database.write``."""

        def change(db: peewee.Database) -> None:
            for letter in letters:
                ttl = None if letter.ttl is None else letter.ttl * 1000
                self._run(db, _PUT, (letter.queue, PRIORITIES - 1 - letter.priority, ttl, letter.payload))

        self._database.write(change, durable=durable)

    def waiting(self, queues: Sequence[str]) -> bool:
        """Whether any of these queues has a free message; takes no lock."""
        return bool(queues) and self._read(_WAITING, queues, len(queues)) != []

    def turn_over(
        self,
        owner: str,
        lease: float,
        *,
        done: Sequence[int] = (),
        returned: Sequence[int] = (),
        wanted: Sequence[Wanted] = (),
    ) -> list[list[Delivery]]:
        """Delete the messages ``done``, free those ``returned``, and claim those ``wanted``, in one transaction.

        Only messages that the owner still holds are deleted or freed; a freed one keeps its place in its queue.
        ``lease`` is in seconds. Returns a list for each of ``wanted``.
        """

        def change(db: peewee.Database) -> list[list[Delivery]]:
            self._run_listed(db, _ACKNOWLEDGE, (owner,), done)
            self._run_listed(db, _RELEASE, (owner,), returned)
            return [self._claim(db, owner, lease, want) for want in wanted]

        return self._database.write(change)

    def renew(self, owner: str, lease: float, ids: Sequence[int]) -> int:
        """Extend the lease, in seconds, of the messages that the owner still holds; returns how many."""
        return self._database.write(lambda db: self._run_listed(db, _RENEW, (int(lease * SECOND), owner), ids))

    def size(self, queue: str) -> int:
        """The number of free messages."""
        return int(self._read(_SIZE, (queue,))[0][0])

    def purge(self, queue: str) -> int:
        """Delete the free messages; returns how many."""
        return self._database.write(lambda db: self._run(db, _PURGE, (queue,)))

    def routes(self, exchange: str) -> list[Route]:
        """The queues that are bound to an exchange."""
        return [Route(exchange, key, queue, ttl) for key, queue, ttl in self._read(_ROUTES, (exchange,))]

    def is_declared(self, queue: str) -> bool:
        """Whether the queue is declared and has not expired."""
        return self._read(_DECLARED, (queue, queue)) != []

    def bind(self, routes: Sequence[Route]) -> None:
        """Add or renew these routes; one with a lifetime expires unless it is renewed within that time."""
        statement = _BIND + (_OR_RENEW_MYSQL if self._database.mysql else _OR_RENEW)

        def change(db: peewee.Database) -> None:
            for one in sorted(routes, key=lambda route: (route.exchange, route.routing_key, route.queue)):
                values = (one.exchange, one.routing_key, one.queue, one.message_ttl, one.lifetime, one.lifetime)
                self._run(db, statement, values)

        self._database.write(change)

    def unbind(self, exchange: str, routing_key: str, queue: str) -> None:
        """Remove this route, if it exists."""
        self._database.write(lambda db: self._run(db, _UNBIND, (exchange, routing_key, queue)))

    def forget_queue(self, queue: str) -> None:
        """Delete a queue with its routes and all its messages, including those that are held."""

        def change(db: peewee.Database) -> None:
            self._run(db, _FORGET_BINDINGS, (queue,))
            self._run(db, _FORGET_MESSAGES, (queue,))

        self._database.write(change)

    def sweep(self) -> int:
        """Delete temporary queues that no consumer has renewed in time; returns how many."""
        stale = [queue for (queue,) in self._read(_STALE)]
        return sum(self._database.write(partial(self._forget_stale, queue=queue)) for queue in stale)

    def close(self) -> None:
        """Close the calling thread's connection."""
        self._database.close()

    def _forget_stale(self, db: peewee.Database, *, queue: str) -> int:
        if not self._run(db, _UNBIND_STALE, (queue,)) or self._rows(db, _BOUND, (queue,)):
            return 0
        self._run(db, _FORGET_MESSAGES, (queue,))
        return 1

    def _claim(self, db: peewee.Database, owner: str, lease: float, want: Wanted) -> list[Delivery]:
        found: list[Delivery] = []
        for queue in want.queues:
            if len(found) < want.limit:
                found += self._free(db, queue, want.limit - len(found))
        statement, values = (_HOLD, (int(lease * SECOND), owner)) if want.keep else (_DELETE, ())
        self._run_listed(db, statement, values, [delivery.id for delivery in found])
        return found

    def _free(self, db: peewee.Database, queue: str, limit: int) -> list[Delivery]:
        """Lock the first free messages of a queue; expired ones are deleted on the way."""
        while True:
            rows = self._rows(db, _NEXT, (queue, limit))
            expired = [row[0] for row in rows if row[3]]
            if not expired:
                return [Delivery(id_, queue, payload, deliveries + 1) for id_, payload, deliveries, _ in rows]
            self._run_listed(db, _DELETE, (), expired)

    def _read(self, statement: str, values: Sequence[Any] = (), length: int = 0) -> list[Any]:
        return self._database.read(lambda db: self._rows(db, statement, values, length))

    def _rows(self, db: peewee.Database, statement: str, values: Sequence[Any] = (), length: int = 0) -> list[Any]:
        return list(db.execute_sql(_sql(self._kind, statement, length), tuple(values)).fetchall())

    def _run(self, db: peewee.Database, statement: str, values: Sequence[Any], length: int = 0) -> int:
        return int(db.execute_sql(_sql(self._kind, statement, length), tuple(values)).rowcount)

    def _run_listed(self, db: peewee.Database, statement: str, values: Sequence[Any], ids: Sequence[int]) -> int:
        """Execute the statement for the ids, some at a time, in one order, so that two owners cannot deadlock."""
        ordered = sorted(ids)
        pieces = [ordered[start : start + LONGEST_LIST] for start in range(0, len(ordered), LONGEST_LIST)]
        return sum(self._run(db, statement, (*values, *piece), len(piece)) for piece in pieces)


@lru_cache(maxsize=2048)
def _sql(kind: str, statement: str, length: int) -> str:
    """The statement for this kind of database, with ``length`` placeholders in its list."""
    text = statement.replace("NOW", _CLOCKS[kind]).replace("LIST", ", ".join("?" * length))
    text = text.replace("LOCK", "" if kind == "sqlite" else "FOR UPDATE SKIP LOCKED")
    return text if kind == "sqlite" else text.replace("?", "%s")
