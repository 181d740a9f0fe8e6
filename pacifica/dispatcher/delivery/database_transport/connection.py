"""A connection of the ``database://`` transport."""
# ruff: noqa: ARG002 - these signatures are kombu's

import time
from collections.abc import Mapping
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
from .receiver import Receiver

LEASE = 30.0
SIGNAL_CHECK = 0.5
"""Seconds between two turns of an idle worker's loop, in which it notices signals."""


class Transport(virtual.Transport):
    """One connection: its channels, and the receiver of their messages."""

    Channel = Channel
    can_parse_url = True
    driver_type = "database"
    driver_name = DRIVER
    implements = virtual.Transport.implements.extend(
        asynchronous=True, exchange_type=frozenset(["direct", "topic", "fanout"])
    )
    connection_errors = (*virtual.Transport.connection_errors, DatabaseUnavailable)  # type: ignore[assignment]
    recoverable_connection_errors = connection_errors
    recoverable_channel_errors = ()

    store: MessageStore
    receiver: Receiver
    lease: float
    exclusive: set[str]
    _loop: Hub | None = None

    def establish_connection(self) -> Any:
        """Check that the database answers.

        Raises ``DatabaseUnavailable`` at once, so that kombu retries, and ``ConfigError`` if the options name no
        database.
        """
        # Not in the constructor: Celery creates transports only to print a URL, without options.
        options: Mapping[str, Any] = self.client.transport_options  # type: ignore[union-attr]
        database = _database(options)
        if options.get("database") is None:
            database.wait_until_up(1, 0.0)
        self.lease = float(options.get("lease") or LEASE)
        self.store = MessageStore(database)
        self.store.waiting([""])
        self.receiver = Receiver(self.store, self.lease)
        self.exclusive = set()
        return super().establish_connection()  # type: ignore[no-untyped-call]

    def close_connection(self, connection: Any) -> None:
        """Close all channels, delete exclusive queues, and free the messages of consumers.

        A forked child does nothing: all of this is its parent's.
        """
        if not self.receiver.ours:
            return
        if self._loop is not None:
            self._loop.remove_reader(self.receiver.reader.fileno())
            self._loop = None
        super().close_connection(connection)  # type: ignore[no-untyped-call]
        self.receiver.stop()
        with suppress(DatabaseUnavailable):  # The queues then expire.
            for queue in self.exclusive:
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
            # Zero would mean not to wait, and to raise another error.
            self.receiver.reader.settimeout(None if end is None else max(end - time.monotonic(), 0.001))
            self.receiver.reader.recv(1)
            if self.receiver.deliver_one():
                return

    def register_with_event_loop(self, connection: Any, loop: Hub) -> None:
        """Deliver messages from a worker's event loop, one in each turn."""
        self._loop = loop
        self.receiver.reader.settimeout(0)
        loop.add_reader(self.receiver.reader.fileno(), self._on_readable)
        # A signal does not wake the loop: without these turns, SIGTERM would wait for the next message.
        loop.call_repeatedly(SIGNAL_CHECK, lambda: None)

    def _on_readable(self) -> None:
        with suppress(BlockingIOError):
            self.receiver.reader.recv(1)
            self.receiver.deliver_one()


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
