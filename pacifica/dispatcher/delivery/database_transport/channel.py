"""A channel of the ``database://`` transport: its queues and routes, publishing, and consumers."""
# ruff: noqa: ARG002, FBT001, FBT002 - these signatures are kombu's

import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from kombu.exceptions import ChannelError
from kombu.transport import virtual
from kombu.transport.base import to_rabbitmq_queue_arguments
from kombu.utils.json import dumps, loads
from kombu.utils.uuid import uuid

from ...store.messages import SECOND, Delivery, Letter, MessageStore, Route
from .receiver import QueueConsumer, Receiver

logger = logging.getLogger(__name__)

DEFAULT_EXPIRES = 60_000
"""Milliseconds that a temporary queue lives without its consumer, unless ``x-expires`` says otherwise."""
NAME_LENGTH = 191
"""The longest name of a queue, exchange or routing key, in characters."""
PERSISTENT = 2


class Channel(virtual.Channel):
    """Publishes to queues in the database; the type of an exchange is known to the connections that declared it."""

    supports_fanout = True

    def __init__(self, connection: Any, **kwargs: Any) -> None:
        super().__init__(connection, **kwargs)  # type: ignore[no-untyped-call]
        self._receiver: Receiver = connection.receiver
        self._store: MessageStore = connection.store
        self._lifetimes: dict[str, int | None] = {}
        self._message_ttls: dict[str, int | None] = {}
        self.prefetch = 0

    def close(self) -> None:
        """Cancel the consumers, and return all unacknowledged messages."""
        super().close()  # type: ignore[no-untyped-call]
        self._receiver.settle(self._receiver.held_by(self), requeue=True)

    def encode_body(self, body: Any, encoding: str | None = None) -> tuple[Any, str | None]:
        """Keep text; encode bytes, like those of a compressed body, as kombu's other transports do."""
        if isinstance(body, str):
            return body, None
        encoded: tuple[Any, str | None] = super().encode_body(body, encoding)  # type: ignore[no-untyped-call]
        return encoded

    def prepare_queue_arguments(self, arguments: Mapping[str, Any] | None, **kwargs: Any) -> Mapping[str, Any]:
        """Name the arguments like RabbitMQ; ``x-expires`` and ``x-message-ttl`` are obeyed."""
        prepared: Mapping[str, Any] = to_rabbitmq_queue_arguments(arguments or {}, **kwargs)
        return prepared

    def queue_declare(self, queue: str | None = None, passive: bool = False, **kwargs: Any) -> Any:
        """Declare a queue; an exclusive one starts empty, without the messages of an earlier owner of its name."""
        name = _name(queue or f"amq.gen-{uuid()}")
        return super().queue_declare(name, passive=passive, exists=passive, **kwargs)  # type: ignore[no-untyped-call]

    def queue_bind(
        self, queue: str, exchange: str | None = None, routing_key: str = "", arguments: Any = None, **_: Any
    ) -> None:
        """Add a route."""
        self._add_route(exchange or "amq.direct", routing_key or "", queue)

    def queue_unbind(
        self, queue: str, exchange: str | None = None, routing_key: str = "", arguments: Any = None, **_: Any
    ) -> None:
        """Remove a route, if it exists; the queue's other routes are kept until they expire."""
        self._receiver.drop_routes(queue)
        self._store.unbind(exchange or "amq.direct", routing_key or "", queue)

    def queue_delete(self, queue: str, if_unused: bool = False, if_empty: bool = False, **_: Any) -> None:
        """Delete a queue, whichever connection declared it; ``if_unused`` is ignored, as consumers are not recorded."""
        if not (if_empty and self._size(queue)):
            self._receiver.drop_routes(queue)
            self.connection.exclusive.discard(queue)
            self._store.forget_queue(queue)

    def get_table(self, exchange: str) -> list[tuple[str, str | None, str]]:
        """The routes of an exchange, whichever connection declared them."""
        routes = self._store.routes(exchange)
        self._message_ttls.update((route.queue, route.message_ttl) for route in routes)
        prepare = self.typeof(exchange).prepare_bind  # type: ignore[no-untyped-call]
        return [prepare(route.queue, exchange, route.routing_key, {}) for route in routes]

    def basic_consume(
        self, queue: str, no_ack: bool, callback: Callable[[virtual.Message], Any], consumer_tag: str, **_: Any
    ) -> None:
        """Give the messages of a queue to ``callback``."""

        def deliver(delivery: Delivery) -> None:
            if (message := self._parse(delivery)) is not None:
                callback(message)

        self._consumers.add(consumer_tag)
        self._receiver.subscribe(consumer_tag, QueueConsumer(self, queue, no_ack, deliver))

    def basic_cancel(self, consumer_tag: str) -> None:
        """Remove a consumer, and return its messages that it has not been called with."""
        self._consumers.discard(consumer_tag)
        self._receiver.cancel(consumer_tag)

    def basic_get(self, queue: str, no_ack: bool = False, **_: Any) -> virtual.Message | None:
        """Claim one message, regardless of the prefetch limit; ``None`` if the queue is empty."""
        delivery = self._receiver.get(self, queue, no_ack=no_ack)
        return None if delivery is None else self._parse(delivery)

    def basic_ack(self, delivery_tag: int, multiple: bool = False) -> None:
        """Acknowledge a message, with ``multiple`` also those that were received before it."""
        held = self._receiver.held_by(self) if multiple else []
        self._receiver.settle([*held[: held.index(delivery_tag) + 1 if held else 0], delivery_tag], requeue=False)

    def basic_reject(self, delivery_tag: int, requeue: bool = False) -> None:
        """Drop the message, or with ``requeue`` return it to its old place in the queue."""
        self._receiver.settle([delivery_tag], requeue=requeue)

    def basic_recover(self, requeue: bool = False) -> None:
        """Return all unacknowledged messages to their queues."""
        self._receiver.settle(self._receiver.held_by(self), requeue=True)

    def basic_qos(self, prefetch_size: int = 0, prefetch_count: int = 0, apply_global: bool = False) -> None:
        """Set the prefetch limit; Celery raises it by one for each message that waits for its ``eta``."""
        self.prefetch = prefetch_count or 0
        self._receiver.wake()

    def _put(self, queue: str, message: Mapping[str, Any], **_: Any) -> None:
        self._put_all([queue], message)

    def _put_fanout(self, exchange: str, message: Mapping[str, Any], routing_key: str, **_: Any) -> None:
        self._put_all([queue for _, _, queue in self.get_table(exchange)], message)

    def _put_all(self, queues: Sequence[str], message: Mapping[str, Any]) -> None:
        payload = dumps(message)
        priority: int = self._get_message_priority(message)  # type: ignore[no-untyped-call]
        letters = [Letter(_name(queue), payload, priority, self._ttl(queue, message)) for queue in queues]
        if letters:
            self._store.put(letters, durable=message["properties"].get("delivery_mode") == PERSISTENT)

    def _ttl(self, queue: str, message: Mapping[str, Any]) -> int | None:
        """The time to live in milliseconds: the shorter of the message's and its queue's."""
        limits = (message["properties"].get("expiration"), self._message_ttls.get(queue))
        return min((int(limit) for limit in limits if limit is not None), default=None)

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
        if exclusive and queue not in self.connection.exclusive:
            self._store.forget_queue(queue)
            self.connection.exclusive.add(queue)
        self._message_ttls[queue] = given.get("x-message-ttl")
        self._lifetimes[queue] = None if expires is None else max(expires * 1000, int(self.connection.lease * SECOND))
        self._add_route("", queue, queue)

    def _add_route(self, exchange: str, routing_key: str, queue: str) -> None:
        ttl, lifetime = self._message_ttls.get(queue), self._lifetimes.get(queue)
        route = Route(_name(exchange), _name(routing_key), _name(queue), ttl, lifetime)
        self._store.bind([route])
        if lifetime is not None:
            self._receiver.keep_route(route)

    def _has_queue(self, queue: str, **_: Any) -> bool:
        return self._store.is_declared(queue)

    def _size(self, queue: str) -> int:
        return self._store.size(queue)

    def _purge(self, queue: str) -> int:
        return self._store.purge(queue)

    def _parse(self, delivery: Delivery) -> virtual.Message | None:
        """The message as kombu's class; ``None`` for one that cannot be read, which is deleted."""
        try:
            raw = loads(delivery.payload)
            raw["properties"]["delivery_tag"] = delivery.id
            raw["properties"]["delivery_info"]["redelivered"] = delivery.deliveries > 1
            return self.Message(raw, channel=self)  # type: ignore[no-untyped-call]
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            logger.exception("Deleting message %d of queue %s, which cannot be read.", delivery.id, delivery.queue)
            self._receiver.settle([delivery.id], requeue=False)
            return None


def _name(name: str) -> str:
    if len(name) > NAME_LENGTH:
        raise ChannelError(
            f"PRECONDITION_FAILED - a name has {len(name)} characters; at most {NAME_LENGTH} are allowed: {name}"
        )
    return name
