"""A connection of the ``database://`` transport: it claims for its channels, and delivers."""
# ruff: noqa: ARG002 - these signatures are kombu's

import logging
import socket
import threading
import time
import weakref
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import lru_cache
from typing import Any

from kombu.asynchronous import Hub
from kombu.transport import virtual

from ...core.errors import ConfigError, DatabaseUnavailable
from ...core.faults import ConfigFault
from ...store.database import Database
from ...store.messages import MessageStore
from . import DRIVER
from .channel import Declared
from .consuming import Channel
from .leases import Leases
from .watch import Watch

logger = logging.getLogger(__name__)

LEASE = 30.0
POLLING_INTERVAL = 0.004
GATHER = 0.01
"""Seconds that a worker waits for more acknowledgements before it claims, while it still has much to do."""
TURN = 0.002
"""Seconds after which the event loop has its turn, however many messages there are to deliver."""

HEAR_SIGNALS = 0.5
"""Seconds after which an idle worker looks whether it was asked to end."""


class Transport(virtual.Transport):
    """One connection: its channels, and the leases of what they have been given."""

    Channel = Channel
    can_parse_url = True
    driver_type = "sql"
    driver_name = DRIVER
    implements = virtual.Transport.implements.extend(
        asynchronous=True, batch_publish=True, exchange_type=frozenset(["direct", "topic", "fanout"])
    )
    connection_errors = (*virtual.Transport.connection_errors, DatabaseUnavailable)  # type: ignore[assignment]
    recoverable_connection_errors = connection_errors
    recoverable_channel_errors = ()

    store: MessageStore
    leases: Leases
    declared: Declared
    durable: bool

    def __init__(self, client: Any, **kwargs: Any) -> None:
        # Celery makes transports only to print a URL, so the options are not looked at here.
        super().__init__(client, **kwargs)  # type: ignore[no-untyped-call]
        self._options: Mapping[str, Any] = client.transport_options
        self._database: Database | None = None
        self._news = True
        self._backlog = False
        self._round = 0
        self._bell: _Bell | None = None

    def establish_connection(self) -> Any:
        """Raises ``DatabaseUnavailable`` at once when the database is away, so that kombu waits and tries again.

        Raises ``ConfigError`` when the options name no database.
        """
        if self._database is None:
            self._database = self._open(_database(self._options))
        if self._options.get("database") is None:
            self._database.wait_until_up(1, 0.0)
        self.store.waiting([""])
        return super().establish_connection()  # type: ignore[no-untyped-call]

    def _open(self, database: Database) -> Database:
        lease = float(self._options.get("lease") or LEASE)
        self.durable = bool(self._options.get("durable", False))
        self.declared = Declared(lease)
        self.store = MessageStore(database)
        self._watch = Watch(self.store, float(self._options.get("polling_interval") or POLLING_INTERVAL))
        self.leases = Leases(self.store, lease, self._watch)
        # A connection that is dropped without being closed must not hold its messages for ever.
        weakref.finalize(self, self.leases.stop)
        return database

    def close_connection(self, connection: Any) -> None:
        """Close all channels and delete exclusive queues; what consumers held is free for others.

        In a forked child it does nothing: bell, queues and messages are the parent's.
        """
        if self._database is None or not self.leases.ours:
            return
        bell, self._bell = self._bell, None
        if bell is not None:
            bell.close()
        super().close_connection(connection)  # type: ignore[no-untyped-call]
        self.leases.stop()
        with suppress(DatabaseUnavailable):  # then they end by themselves
            for queue in list(self.declared.exclusive):
                self.store.forget_queue(queue)

    def as_uri(self, uri: str, include_password: bool = False, mask: str = "**") -> str:  # noqa: FBT001, FBT002
        """As it was given: it holds no password."""
        return uri

    @property
    def default_connection_params(self) -> Mapping[str, Any]:
        """None: the URL has no parts."""
        return {}

    def drain_events(self, connection: Any, timeout: float | None = None, **_: Any) -> None:
        """Deliver one message; raises ``socket.timeout`` when none came within ``timeout`` seconds."""
        end = None if timeout is None else time.monotonic() + timeout
        while True:
            self._news = self._news or self._watch.look()
            if self._deliver_one():
                return
            self._watch_open_queues()
            left = self._watch.pause if end is None else end - time.monotonic()
            if left <= 0:
                raise TimeoutError
            time.sleep(min(left, self._watch.pause))

    def subscriptions_changed(self) -> None:
        """A channel consumes other queues than before."""
        consumed = {queue: None for channel in self.channels for queue in channel.consumed_queues()}
        self.leases.queues = self._watch.queues = list(consumed)
        self.leases.keep_routes(self.declared.temporary_routes(consumed))
        if consumed:
            self.leases.start()
            self._alarm()

    def room_changed(self, *, much: bool) -> None:
        """A channel may take more messages than before; ``much``: enough to make a claim worth its while."""
        if self._bell is not None and (self._news or self._backlog):
            self._bell.ring_after(0.0 if much else GATHER)

    def register_with_event_loop(self, connection: Any, loop: Hub) -> None:
        """Deliver from the worker's event loop; the leases' thread looks for messages and rings."""
        self._bell = _Bell(loop, self._on_bell)
        # A signal does not wake the loop, so a worker would be deaf to SIGTERM until a message comes.
        loop.call_repeatedly(HEAR_SIGNALS, _turn_once)
        self.leases.watch(self._alarm)

    def _alarm(self) -> None:
        self._news = True
        if self._bell is not None:
            self._bell.ring()

    def _on_bell(self, bell: "_Bell") -> None:
        """Deliver messages for a moment, so that the worker sees signals in between; ring again if there may be more.

        Where a delivery runs the task, as in a solo pool, one takes that moment.
        """
        end = time.monotonic() + TURN
        while self._deliver_one():
            if time.monotonic() >= end:
                bell.ring()
                return
        if not self._news:
            self._watch_open_queues()
            self.leases.calm()

    def _deliver_one(self) -> bool:
        return self._hand_out() or ((self._news or self._backlog) and self._claim() and self._hand_out())

    def _hand_out(self) -> bool:
        """Deliver what has been claimed already, the channels in turn."""
        self._round += 1
        start = self._round % len(self.channels) if self.channels else 0
        return any(channel.deliver_one() for channel in self.channels[start:] + self.channels[:start])

    def _claim(self) -> bool:
        """Claim as much as all channels may take; whether anything was there.

        Afterwards there is news when a queue may have more for a channel that may take it, and a backlog when
        a channel may take no more.
        """
        wanted = [(channel, want) for channel in self.channels for want in channel.wanted()]
        if not self._news:  # then the backlog, which is of messages to keep, is all that there can be
            wanted = [(channel, want) for channel, want in wanted if want.keep]
        if not wanted:
            return False
        # Before the claim: what is stored while it runs is news again.
        self._news = False
        try:
            claimed = self.leases.turn_over([want for _, want in wanted])
        except DatabaseUnavailable:
            self._news = True
            raise
        for (channel, want), found in zip(wanted, claimed, strict=True):
            channel.receive(want, found)
            may_have_more = len(found) == want.limit
            self._news = self._news or (may_have_more and not (want.keep and channel.is_full()))
        self._backlog = any(channel.is_full() for channel in self.channels)
        return any(claimed)

    def _watch_open_queues(self) -> None:
        """Of a queue whose consumers are full there is nothing to know before one of them has room again."""
        self._watch.queues = list(dict.fromkeys(q for channel in self.channels for q in channel.open_queues()))


def _turn_once() -> None:
    """Nothing to do: the loop has turned."""


class _Bell:
    """Something readable that makes an event loop call back in its own thread; any thread may ring."""

    def __init__(self, loop: Hub, on_ring: Callable[["_Bell"], None]) -> None:
        self._loop = loop
        self._on_ring = on_ring
        self._ear, self._clapper = socket.socketpair()
        self._turn = threading.Lock()
        self._ringing = False
        self._due: float | None = None
        self._fd = self._ear.fileno()
        loop.add_reader(self._fd, self._rung)

    def ring(self) -> None:
        """Have the loop call back at its next turn."""
        with self._turn:
            if not self._ringing and self._fd >= 0:
                self._ringing = True
                self._clapper.send(b"!")

    def ring_after(self, seconds: float) -> None:
        """Ring then, unless it rings before."""
        if not seconds:
            self.ring()
        elif self._due is None and not self._ringing:
            self._due = time.monotonic() + seconds
            self._loop.call_soon(self._loop.call_later, seconds, self._ring_if_due)

    def close(self) -> None:
        """Be silent for ever."""
        with self._turn:
            if self._loop.readers.get(self._fd, (None,))[0] == self._rung:
                self._loop.remove_reader(self._fd)
            self._fd = -1
            self._ear.close()
            self._clapper.close()

    def _ring_if_due(self) -> None:
        """A timer that was overtaken by a ring is not taken back, and has nothing to say."""
        if self._due is not None and time.monotonic() >= self._due:
            self.ring()

    def _rung(self) -> None:
        with self._turn:
            if self._fd < 0:
                return
            self._ear.recv(64)
            self._ringing, self._due = False, None
        self._on_ring(self)


def _database(options: Mapping[str, Any]) -> Database:
    given, url = options.get("database"), options.get("peewee_url")
    if isinstance(given, Database):
        return given
    if given is None and url:
        return _opened(url)
    raise _fault(f"database is a {type(given).__name__}" if given else "neither database nor peewee_url is given")


@lru_cache(maxsize=64)
def _opened(url: str) -> Database:
    """One ``Database`` for each URL: kombu makes connections as it likes."""
    try:
        return Database(url)
    except ValueError as error:
        raise _fault(str(error)) from error


def _fault(message: str) -> ConfigError:
    wanted = "database:// needs the option database, a Database, or peewee_url"
    return ConfigError([ConfigFault("celery", "broker_transport_options", "{…}", f"{message}; {wanted}")])
