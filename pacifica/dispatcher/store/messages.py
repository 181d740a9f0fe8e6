"""The queues of the ``database://`` transport: all its SQL.

A message is free (``visible`` is 0), or held by an owner until ``visible``, the end of its lease. It
is deleted when it is acknowledged, and free again when its lease has run out. Only the clock of the
database's own machine is ever looked at.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import peewee

from .database import Database

PRIORITIES = 10
"""Priorities are 0 to 9, and the higher goes first."""
SECOND = 1_000_000
LONGEST_LIST = 500
"""Ids in one statement: SQLite's number of parameters has a limit."""

# One statement for all databases: NOW, LIST and LOCK are filled in for each.
_CLOCKS = {
    "sqlite": "CAST((julianday('now') - 2440587.5) * 86400000000 AS INTEGER)",
    # A clock that stands still during a statement can be compared by an index.
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
    "WHERE queue = ? AND visible <= NOW ORDER BY visible, precedence, id LIMIT ? LOCK"
)
_HOLD = "UPDATE message SET visible = NOW + ?, owner = ?, deliveries = deliveries + 1 WHERE id IN (LIST)"
_RENEW = "UPDATE message SET visible = NOW + ? WHERE owner = ? AND id IN (LIST)"
_RELEASE = "UPDATE message SET visible = 0, owner = '' WHERE owner = ? AND id IN (LIST)"
_ACKNOWLEDGE = "DELETE FROM message WHERE owner = ? AND id IN (LIST)"
_DELETE = "DELETE FROM message WHERE id IN (LIST)"
_LAPSED = "SELECT 1 FROM message WHERE queue IN (LIST) AND visible > 0 AND visible <= NOW LIMIT 1"
_FREE_LAPSED = "UPDATE message SET visible = 0, owner = '' WHERE queue IN (LIST) AND visible > 0 AND visible <= NOW"
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
_FORGET_EXCHANGE = "DELETE FROM binding WHERE exchange = ?"
_STALE = "SELECT DISTINCT queue FROM binding WHERE expires <= NOW"
_UNBIND_STALE = "DELETE FROM binding WHERE queue = ? AND expires <= NOW"
_BOUND = "SELECT 1 FROM binding WHERE queue = ? LIMIT 1"
_FORGET_BINDINGS = "DELETE FROM binding WHERE queue = ?"
_FORGET_MESSAGES = "DELETE FROM message WHERE queue = ?"


@dataclass(frozen=True, slots=True)
class Letter:
    """A message to be stored; ``ttl`` is in milliseconds, ``None`` for ever."""

    queue: str
    payload: str
    priority: int = 0
    ttl: int | None = None


@dataclass(frozen=True, slots=True)
class Wanted:
    """At most ``limit`` messages of these queues, the first named first; not ``keep``: acknowledged at once."""

    queues: Sequence[str]
    limit: int
    keep: bool = True


@dataclass(frozen=True, slots=True)
class Delivery:
    """A claimed message; ``deliveries`` counts this one, too."""

    id: int
    queue: str
    payload: str
    deliveries: int


@dataclass(frozen=True, slots=True)
class Route:
    """A queue that hears an exchange; ``message_ttl`` in milliseconds, ``lifetime`` in microseconds."""

    exchange: str
    routing_key: str
    queue: str
    message_ttl: int | None = None
    lifetime: int | None = None


class MessageStore:
    """The queues of one database; every method raises ``DatabaseUnavailable`` when it cannot be done now."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._kind = "sqlite" if database.sqlite else "mysql" if database.mysql else "postgresql"
        self.log = Path(f"{Path(database.peewee.database).resolve()}-wal") if database.sqlite else None
        """The file to which whoever changes an SQLite database writes; it has the file's real name, not a link's."""

    def put(self, letters: Sequence[Letter], *, durable: bool = False) -> None:
        """Store all of these or none; ``durable`` as in ``Database.write``."""

        def change(db: peewee.Database) -> None:
            for letter in letters:
                ttl = None if letter.ttl is None else letter.ttl * 1000
                self._run(db, _PUT, (letter.queue, PRIORITIES - 1 - letter.priority, ttl, letter.payload))

        self._database.write(change, durable=durable)

    def fingerprint(self) -> tuple[int, int] | None:
        """A value that moves soon before any change to an SQLite file shows, for next to nothing; else ``None``.

        It is the time and size of the log, where a writer puts its change before it commits it. SQLite's
        own ``data_version`` moves exactly with the commit, and costs three times as much to ask for.
        """
        if self.log is None:
            return None
        try:
            seen = self.log.stat()
        except OSError:
            return 0, 0
        return seen.st_mtime_ns, seen.st_size

    def waiting(self, queues: Sequence[str]) -> bool:
        """Whether any of these queues has a message to claim; takes no lock."""
        return bool(queues) and self._read(_WAITING, queues, len(queues)) != []

    def turn_over(
        self, owner: str, lease: float, done: Sequence[int], wanted: Sequence[Wanted]
    ) -> list[list[Delivery]]:
        """Acknowledge what is ``done`` and claim what is ``wanted``, in one transaction.

        ``lease`` is in seconds. One list for each of ``wanted``, shorter than its limit only when its
        queues have no more.
        """

        def change(db: peewee.Database) -> list[list[Delivery]]:
            self._run_listed(db, _ACKNOWLEDGE, (owner,), done)
            return [self._claim(db, owner, lease, want) for want in wanted]

        return self._database.write(change)

    def acknowledge(self, owner: str, ids: Sequence[int]) -> None:
        """Delete those of these messages that the owner still holds."""
        self._database.write(lambda db: self._run_listed(db, _ACKNOWLEDGE, (owner,), ids))

    def release(self, owner: str, ids: Sequence[int]) -> None:
        """Make those of these messages free that the owner still holds; each keeps its place in the queue."""
        self._database.write(lambda db: self._run_listed(db, _RELEASE, (owner,), ids))

    def renew(self, owner: str, lease: float, ids: Sequence[int]) -> int:
        """Hold these messages for ``lease`` seconds from now; how many of them the owner still held."""
        return self._database.write(lambda db: self._run_listed(db, _RENEW, (int(lease * SECOND), owner), ids))

    def free_lapsed(self, queues: Sequence[str]) -> bool:
        """Give messages whose lease has run out their old place in the queue; whether there were any."""
        if not queues or not self._read(_LAPSED, queues, len(queues)):
            return False
        return self._database.write(lambda db: self._run(db, _FREE_LAPSED, queues, len(queues))) > 0

    def size(self, queue: str) -> int:
        """How many messages are free."""
        return int(self._read(_SIZE, (queue,))[0][0])

    def purge(self, queue: str) -> int:
        """Delete the free messages; how many they were."""
        return self._database.write(lambda db: self._run(db, _PURGE, (queue,)))

    def routes(self, exchange: str) -> list[Route]:
        """The queues that hear an exchange now."""
        return [Route(exchange, key, queue, ttl) for key, queue, ttl in self._read(_ROUTES, (exchange,))]

    def is_declared(self, queue: str) -> bool:
        """Whether the queue has been declared, and has not ended since."""
        return self._read(_DECLARED, (queue, queue)) != []

    def bind(self, routes: Sequence[Route]) -> None:
        """Add these routes, or renew them: one with a lifetime ends when it has not been renewed for so long."""
        statement = _BIND + (_OR_RENEW_MYSQL if self._database.mysql else _OR_RENEW)

        def change(db: peewee.Database) -> None:
            for one in sorted(routes, key=lambda route: (route.exchange, route.routing_key, route.queue)):
                values = (one.exchange, one.routing_key, one.queue, one.message_ttl, one.lifetime, one.lifetime)
                self._run(db, statement, values)

        self._database.write(change)

    def unbind(self, exchange: str, routing_key: str, queue: str) -> None:
        """Remove this route, if it is there."""
        self._database.write(lambda db: self._run(db, _UNBIND, (exchange, routing_key, queue)))

    def forget_exchange(self, exchange: str) -> None:
        """Remove all routes of an exchange; its queues stay."""
        self._database.write(lambda db: self._run(db, _FORGET_EXCHANGE, (exchange,)))

    def forget_queue(self, queue: str) -> None:
        """Delete a queue with its routes and all its messages, also those that somebody holds."""

        def change(db: peewee.Database) -> None:
            self._run(db, _FORGET_BINDINGS, (queue,))
            self._run(db, _FORGET_MESSAGES, (queue,))

        self._database.write(change)

    def sweep(self) -> int:
        """Delete temporary queues whose consumer has not come by for their lifetime; how many they were."""
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
        """The first free messages of a queue, locked; those that have expired are deleted on the way."""
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
        """Run it for the ids, some at a time and in one order, so that two owners never wait for each other."""
        ordered = sorted(ids)
        pieces = [ordered[start : start + LONGEST_LIST] for start in range(0, len(ordered), LONGEST_LIST)]
        return sum(self._run(db, statement, (*values, *piece), len(piece)) for piece in pieces)


@lru_cache(maxsize=2048)
def _sql(kind: str, statement: str, length: int) -> str:
    """The statement as this kind of database takes it, with ``length`` places in its list."""
    text = statement.replace("NOW", _CLOCKS[kind]).replace("LIST", ", ".join("?" * length))
    text = text.replace("LOCK", "" if kind == "sqlite" else "FOR UPDATE SKIP LOCKED")
    return text if kind == "sqlite" else text.replace("?", "%s")
