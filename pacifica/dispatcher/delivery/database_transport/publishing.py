"""The publishing half of a channel of the ``database://`` transport, with its queues and routes."""
# ruff: noqa: ARG002, FBT001, FBT002 - these signatures are kombu's

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from kombu.exceptions import ChannelError
from kombu.transport import virtual
from kombu.transport.base import to_rabbitmq_queue_arguments
from kombu.utils.json import dumps
from kombu.utils.uuid import uuid

from ...store.messages import SECOND, Letter, MessageStore, Route

DEFAULT_EXPIRES = 60_000
"""Milliseconds that a temporary queue lives without its consumer, unless ``x-expires`` says otherwise."""
NAME_LENGTH = 191
"""The longest name of a queue, exchange or routing key, in characters."""
PERSISTENT = 2


class Declarations:
    """The queues and routes that one connection has declared.

    ``shortest`` is the least lifetime of a temporary queue, in seconds.
    """

    def __init__(self, shortest: float) -> None:
        self._shortest = int(shortest * SECOND)
        self._lifetimes: dict[str, int | None] = {}
        self._routes: dict[str, dict[Route, None]] = {}
        self.exclusive: set[str] = set()

    def __contains__(self, queue: str) -> bool:
        return queue in self._lifetimes

    def add_queue(self, queue: str, expires: int | None, *, exclusive: bool) -> None:
        """Add a queue that lives ``expires`` milliseconds without a consumer, or permanently for ``None``."""
        self._lifetimes[queue] = None if expires is None else max(expires * 1000, self._shortest)
        if exclusive:
            self.exclusive.add(queue)

    def lifetime(self, queue: str) -> int | None:
        """The lifetime in microseconds; ``None`` for a permanent queue, or one that another connection declared."""
        return self._lifetimes.get(queue)

    def add_route(self, route: Route) -> None:
        """Add a route that has been stored."""
        self._routes.setdefault(route.queue, {})[route] = None

    def drop_route(self, exchange: str, routing_key: str, queue: str) -> None:
        """Forget a route that has been removed."""
        routes = self._routes.get(queue, {})
        for route in [one for one in routes if (one.exchange, one.routing_key) == (exchange, routing_key)]:
            del routes[route]

    def drop_queue(self, queue: str) -> None:
        """Forget a queue that has been deleted with all its routes."""
        self._lifetimes.pop(queue, None)
        self._routes.pop(queue, None)
        self.exclusive.discard(queue)

    def temporary_routes(self, queues: Iterable[str]) -> list[Route]:
        """The routes of these queues that expire unless they are renewed."""
        routes = (route for queue in queues for route in self._routes.get(queue, ()))
        return [route for route in routes if route.lifetime is not None]


class PublishingChannel(virtual.Channel):
    """Publishes to queues and routes in the database; an exchange is known only to the connection that declared it."""

    supports_fanout = True

    def __init__(self, connection: Any, **kwargs: Any) -> None:
        super().__init__(connection, **kwargs)  # type: ignore[no-untyped-call]
        self._store: MessageStore = connection.store
        self._declarations: Declarations = connection.declarations
        self._durable: bool = connection.durable
        self._batch: PublishBatch | None = None
        self._message_ttls: dict[str, int | None] = {}

    def create_publish_batch(self, max_size: int) -> "PublishBatch":
        """Return the batch for ``Producer.batch()``."""
        return PublishBatch(self, max_size)

    def publish_in(self, batch: "PublishBatch", message: dict[str, Any], **kwargs: Any) -> None:
        """Publish like ``basic_publish``, but let the batch store the message; errors are raised at once."""
        self._batch = batch
        try:
            self.basic_publish(message, **kwargs)  # type: ignore[no-untyped-call]
        finally:
            self._batch = None

    def store(self, letters: Sequence[Letter], *, durable: bool) -> None:
        """Store all of these messages or none; ``durable`` matters only if the connection's option is set."""
        self._store.put(letters, durable=self._durable and durable)

    def encode_body(self, body: Any, encoding: str | None = None) -> tuple[Any, str | None]:
        """Keep text; encode bytes, like those of a compressed body, as kombu's other transports do."""
        if isinstance(body, str):
            return body, None
        encoded: tuple[Any, str | None] = super().encode_body(body, encoding)  # type: ignore[no-untyped-call]
        return encoded

    def _put(self, queue: str, message: Mapping[str, Any], **_: Any) -> None:
        self._put_all([queue], message)

    def _put_fanout(self, exchange: str, message: Mapping[str, Any], routing_key: str, **_: Any) -> None:
        self._put_all([queue for _, _, queue in self.get_table(exchange)], message)

    def _put_all(self, queues: Sequence[str], message: Mapping[str, Any]) -> None:
        payload = dumps(message)
        priority: int = self._get_message_priority(message)  # type: ignore[no-untyped-call]
        letters = [Letter(_name(queue), payload, priority, self._ttl(queue, message)) for queue in queues]
        persistent = message["properties"].get("delivery_mode") == PERSISTENT
        if self._batch is not None:
            self._batch.add(letters, durable=persistent)
        elif letters:
            self.store(letters, durable=persistent)

    def _ttl(self, queue: str, message: Mapping[str, Any]) -> int | None:
        """The time to live in milliseconds: the shorter of the message's and its queue's."""
        limits = (message["properties"].get("expiration"), self._message_ttls.get(queue))
        return min((int(limit) for limit in limits if limit is not None), default=None)

    def prepare_queue_arguments(self, arguments: Mapping[str, Any] | None, **kwargs: Any) -> Mapping[str, Any]:
        """Name the arguments like RabbitMQ; ``x-expires`` and ``x-message-ttl`` are obeyed."""
        prepared: Mapping[str, Any] = to_rabbitmq_queue_arguments(arguments or {}, **kwargs)
        return prepared

    def queue_declare(self, queue: str | None = None, passive: bool = False, **kwargs: Any) -> Any:
        """Declare a queue; an exclusive one starts empty, without the messages of an earlier owner of its name."""
        name = _name(queue or f"amq.gen-{uuid()}")
        return super().queue_declare(name, passive=passive, exists=passive, **kwargs)  # type: ignore[no-untyped-call]

    def queue_bind(
        self,
        queue: str,
        exchange: str | None = None,
        routing_key: str = "",
        arguments: Any = None,
        **_: Any,
    ) -> None:
        """Add a route; raises ``ChannelError`` for an exchange that this connection has not declared."""
        exchange = exchange or "amq.direct"
        if exchange not in self.state.exchanges:
            raise ChannelError(f"NOT_FOUND - no exchange {exchange!r}", (50, 20), "Queue.bind", "404")
        self._add_route(exchange, routing_key or "", queue)

    def queue_unbind(
        self,
        queue: str,
        exchange: str | None = None,
        routing_key: str = "",
        arguments: Any = None,
        **_: Any,
    ) -> None:
        """Remove a route, if it exists."""
        route = (exchange or "amq.direct", routing_key or "", queue)
        self._declarations.drop_route(*route)
        self._store.unbind(*route)

    def queue_delete(
        self,
        queue: str,
        if_unused: bool = False,
        if_empty: bool = False,
        **_: Any,
    ) -> None:
        """Delete a queue, whichever connection declared it; ``if_unused`` is ignored, as consumers are not recorded."""
        if not (if_empty and self._size(queue)):
            self._declarations.drop_queue(queue)
            self._store.forget_queue(queue)

    def exchange_delete(self, exchange: str, if_unused: bool = False, nowait: bool = False) -> None:
        """Delete an exchange and its routes; its queues stay, like on RabbitMQ."""
        self.state.exchanges.pop(exchange, None)
        self._store.forget_exchange(exchange)

    def get_table(self, exchange: str) -> list[tuple[str, str | None, str]]:
        """The routes of an exchange, whichever connection declared them."""
        routes = self._store.routes(exchange)
        self._message_ttls.update((route.queue, route.message_ttl) for route in routes)
        prepare = self.typeof(exchange).prepare_bind  # type: ignore[no-untyped-call]
        return [prepare(route.queue, exchange, route.routing_key, {}) for route in routes]

    def _new_queue(
        self,
        queue: str,
        *,
        auto_delete: bool = False,
        exclusive: bool = False,
        arguments: Mapping[str, Any] | None = None,
        exists: bool = False,
        **_: Any,
    ) -> None:
        if exists:
            return
        given = arguments or {}
        expires = given.get("x-expires", DEFAULT_EXPIRES if auto_delete or exclusive else None)
        if exclusive and queue not in self._declarations:
            self._store.forget_queue(queue)
        self._message_ttls[queue] = given.get("x-message-ttl")
        self._declarations.add_queue(queue, expires, exclusive=exclusive)
        self._add_route("", queue, queue)

    def _add_route(self, exchange: str, routing_key: str, queue: str) -> None:
        ttl, lifetime = self._message_ttls.get(queue), self._declarations.lifetime(queue)
        route = Route(_name(exchange), _name(routing_key), _name(queue), ttl, lifetime)
        self._store.bind([route])
        self._declarations.add_route(route)

    def _has_queue(self, queue: str, **_: Any) -> bool:
        return self._store.is_declared(queue)

    def _size(self, queue: str) -> int:
        return self._store.size(queue)

    def _purge(self, queue: str) -> int:
        return self._store.purge(queue)


class PublishBatch:
    """Messages that one transaction stores, all or none; it has the methods that ``kombu.messaging`` calls."""

    def __init__(self, channel: PublishingChannel, max_size: int) -> None:
        self.channel = channel
        self._max_size = max_size
        self._letters: list[Letter] = []
        self._durable = False

    def publish(self, message: dict[str, Any], **kwargs: Any) -> None:
        """Add a message, and store the batch if it is full."""
        self.channel.publish_in(self, message, **kwargs)
        if len(self._letters) >= self._max_size:
            self.flush()

    def add(self, letters: Sequence[Letter], *, durable: bool) -> None:
        """Add the copies of one message, one for each of its queues."""
        self._letters.extend(letters)
        self._durable = self._durable or durable

    def flush(self) -> None:
        """Store the messages; a failure drops them and is raised to the publisher."""
        letters, self._letters = self._letters, []
        if letters:
            self.channel.store(letters, durable=self._durable)

    def discard(self) -> None:
        """Drop the messages that have not been stored."""
        self._letters.clear()

    def close(self) -> None:
        """Do nothing: there is nothing to release."""


def _name(name: str) -> str:
    if len(name) > NAME_LENGTH:
        raise ChannelError(
            f"PRECONDITION_FAILED - a name has {len(name)} characters; at most {NAME_LENGTH} are allowed: {name}"
        )
    return name
