"""A connection of the ``database://`` transport: it claims messages for its channels, and delivers them."""
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
from .channel import Channel
from .leases import Leases
from .publishing import Declarations
from .watch import MessageWatch

logger = logging.getLogger(__name__)

LEASE = 30.0
POLLING_INTERVAL = 0.004
GATHER = 0.01
"""Seconds that a worker with many messages left waits for more acknowledgements before it claims."""
LONGEST_DELIVERY = 0.002
"""Seconds after which delivering pauses for the event loop, however many messages there are."""

SIGNAL_CHECK = 0.5
"""Seconds between two turns of an idle worker's loop, in which it notices signals."""


class Transport(virtual.Transport):
    """One connection: its channels, and the leases of their messages."""

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
    declarations: Declarations
    durable: bool

    def __init__(self, client: Any, **kwargs: Any) -> None:
        # Celery creates transports only to print a URL, so the options are not read here.
        super().__init__(client, **kwargs)  # type: ignore[no-untyped-call]
        self._options: Mapping[str, Any] = client.transport_options
        self._database: Database | None = None
        self._news = True
        self._backlog = False
        self._round = 0
        self._waker: _LoopWaker | None = None

    def establish_connection(self) -> Any:
        """Check that the database answers.

        Raises ``DatabaseUnavailable`` at once, so that kombu retries, and ``ConfigError`` if the options name no
        database.
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
        self.declarations = Declarations(lease)
        self.store = MessageStore(database)
        self._watch = MessageWatch(self.store, float(self._options.get("polling_interval") or POLLING_INTERVAL))
        self.leases = Leases(self.store, lease, self._watch)
        # A connection that is dropped without being closed must not keep its messages.
        weakref.finalize(self, self.leases.stop)
        return database

    def close_connection(self, connection: Any) -> None:
        """Close all channels, delete exclusive queues, and free the messages of consumers.

        A forked child does nothing: all of this is its parent's.
        """
        if self._database is None or not self.leases.ours:
            return
        waker, self._waker = self._waker, None
        if waker is not None:
            waker.close()
        super().close_connection(connection)  # type: ignore[no-untyped-call]
        self.leases.stop()
        with suppress(DatabaseUnavailable):  # The queues then expire.
            for queue in list(self.declarations.exclusive):
                self.store.forget_queue(queue)

    def as_uri(self, uri: str, include_password: bool = False, mask: str = "**") -> str:  # noqa: FBT001, FBT002
        """Return the URL unchanged: it contains no password."""
        return uri

    @property
    def default_connection_params(self) -> Mapping[str, Any]:
        """Return no parameters: the URL has no parts."""
        return {}

    def drain_events(self, connection: Any, timeout: float | None = None, **_: Any) -> None:
        """Deliver one message; raises ``TimeoutError`` if none comes within ``timeout`` seconds."""
        end = None if timeout is None else time.monotonic() + timeout
        while True:
            self._news = self._news or self._watch.check()
            if self._deliver_one():
                return
            self._watch_open_queues()
            left = self._watch.pause if end is None else end - time.monotonic()
            if left <= 0:
                raise TimeoutError
            time.sleep(min(left, self._watch.pause))

    def subscriptions_changed(self) -> None:
        """React to a channel that has begun or ended consuming a queue."""
        consumed = {queue: None for channel in self.channels for queue in channel.consumed_queues()}
        self.leases.queues = self._watch.queues = list(consumed)
        self.leases.keep_routes(self.declarations.temporary_routes(consumed))
        if consumed:
            self.leases.start()
            self._on_messages()

    def room_changed(self, *, much: bool) -> None:
        """React to a channel that can receive more messages; ``much``: enough of them to justify a claim at once."""
        if self._waker is not None and (self._news or self._backlog):
            self._waker.wake_after(0.0 if much else GATHER)

    def register_with_event_loop(self, connection: Any, loop: Hub) -> None:
        """Deliver messages from the worker's event loop; the leases' thread checks for them and wakes the loop."""
        self._waker = _LoopWaker(loop, self._deliver_for_a_moment)
        # A signal does not wake the loop: without these turns, SIGTERM would wait for the next message.
        loop.call_repeatedly(SIGNAL_CHECK, _turn_once)
        self.leases.watch(self._on_messages)

    def _on_messages(self) -> None:
        self._news = True
        if self._waker is not None:
            self._waker.wake()

    def _deliver_for_a_moment(self, waker: "_LoopWaker") -> None:
        """Deliver messages for ``LONGEST_DELIVERY``, then let the loop notice signals before the next ones.

        Where a delivery runs the task, as in a solo pool, one delivery takes all of that time.
        """
        end = time.monotonic() + LONGEST_DELIVERY
        while self._deliver_one():
            if time.monotonic() >= end:
                waker.wake()
                return
        if not self._news:
            self._watch_open_queues()
            self.leases.rearm()

    def _deliver_one(self) -> bool:
        return self._hand_out() or ((self._news or self._backlog) and self._claim() and self._hand_out())

    def _hand_out(self) -> bool:
        """Deliver a message that is already claimed, from the channels in turn."""
        self._round += 1
        start = self._round % len(self.channels) if self.channels else 0
        return any(channel.deliver_one() for channel in self.channels[start:] + self.channels[:start])

    def _claim(self) -> bool:
        """Claim all messages that the channels can receive, and return whether there were any.

        Afterwards ``_news`` is true if a queue may have more for a channel that can receive it, and ``_backlog`` if
        a channel is full.
        """
        wanted = [(channel, want) for channel in self.channels for want in channel.wanted()]
        if not self._news:  # There can only be a backlog, which consists of messages to keep.
            wanted = [(channel, want) for channel, want in wanted if want.keep]
        if not wanted:
            return False
        # Before the claim: a message that is stored during the claim is news again.
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
        """Watch only the queues whose consumers can receive a message."""
        self._watch.queues = list(dict.fromkeys(q for channel in self.channels for q in channel.open_queues()))


def _turn_once() -> None:
    """Do nothing: the loop has made a turn."""


class _LoopWaker:
    """A socket that makes an event loop call ``on_wake`` in the loop's own thread; any thread may wake it."""

    def __init__(self, loop: Hub, on_wake: Callable[["_LoopWaker"], None]) -> None:
        self._loop = loop
        self._on_wake = on_wake
        self._reader, self._writer = socket.socketpair()
        self._lock = threading.Lock()
        self._awake = False
        self._due: float | None = None
        self._fd = self._reader.fileno()
        loop.add_reader(self._fd, self._on_readable)

    def wake(self) -> None:
        """Have the loop call ``on_wake`` at its next turn."""
        with self._lock:
            if not self._awake and self._fd >= 0:
                self._awake = True
                self._writer.send(b"!")

    def wake_after(self, seconds: float) -> None:
        """Wake the loop after this time, unless something else wakes it before."""
        if not seconds:
            self.wake()
        elif self._due is None and not self._awake:
            self._due = time.monotonic() + seconds
            self._loop.call_soon(self._loop.call_later, seconds, self._wake_if_due)

    def close(self) -> None:
        """Never wake the loop again."""
        with self._lock:
            if self._loop.readers.get(self._fd, (None,))[0] == self._on_readable:
                self._loop.remove_reader(self._fd)
            self._fd = -1
            self._reader.close()
            self._writer.close()

    def _wake_if_due(self) -> None:
        """End a timer; one that ``wake`` has overtaken has no effect."""
        if self._due is not None and time.monotonic() >= self._due:
            self.wake()

    def _on_readable(self) -> None:
        with self._lock:
            if self._fd < 0:
                return
            self._reader.recv(64)
            self._awake, self._due = False, None
        self._on_wake(self)


def _database(options: Mapping[str, Any]) -> Database:
    given, url = options.get("database"), options.get("peewee_url")
    if isinstance(given, Database):
        return given
    if given is None and url:
        return _database_of(url)
    raise _fault(f"database is a {type(given).__name__}" if given else "neither database nor peewee_url is given")


@lru_cache(maxsize=64)
def _database_of(url: str) -> Database:
    """Return the same ``Database`` for the same URL: kombu opens connections without limit."""
    try:
        return Database(url)
    except ValueError as error:
        raise _fault(str(error)) from error


def _fault(message: str) -> ConfigError:
    wanted = "database:// needs the option database (a Database) or peewee_url"
    return ConfigError([ConfigFault("celery", "broker_transport_options", "{…}", f"{message}; {wanted}")])
