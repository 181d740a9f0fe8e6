"""A channel of the ``database://`` transport: it publishes, and gives messages to its consumers."""
# ruff: noqa: ARG002, FBT001, FBT002 - these signatures are kombu's

import logging
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from kombu.transport import virtual
from kombu.utils.json import loads

from ...store.messages import Delivery, Wanted
from .leases import Leases
from .publishing import PublishingChannel

logger = logging.getLogger(__name__)

BATCH = 32
"""The most messages in one claim for a channel without a prefetch limit."""


@dataclass(frozen=True, slots=True)
class _Subscription:
    queue: str
    no_ack: bool
    callback: Callable[[virtual.Message], Any]


class QoS(virtual.QoS):
    """The unacknowledged messages of a channel; unlike in kombu's own class, any thread may use it."""

    def __init__(self, channel: "Channel", prefetch_count: int = 0) -> None:
        # kombu's constructor is not called: its exit hook would keep every channel alive until the process ends.
        self.channel: Channel = channel
        self.prefetch_count = prefetch_count or 0
        self._delivered: dict[int, virtual.Message] = {}  # type: ignore[assignment]

    def room(self) -> int:
        """The number of messages that the channel may still receive."""
        if not self.prefetch_count:
            return BATCH
        return max(0, self.prefetch_count - len(self._delivered) - self.channel.inbox_length())

    def can_consume(self) -> bool:
        """Return whether the channel may receive a message."""
        return self.room() > 0

    def can_consume_max_estimate(self) -> int:
        """The same as ``room``, by kombu's name."""
        return self.room()

    def append(self, message: virtual.Message, delivery_tag: int) -> None:
        """Add a message that was delivered and is not acknowledged yet."""
        self._delivered[delivery_tag] = message

    def ack(self, delivery_tag: int) -> None:
        """Acknowledge a message, unless it was settled before or its channel was closed."""
        if self._delivered.pop(delivery_tag, None) is not None:
            self.channel.settle(delivery_tag)

    def ack_up_to(self, delivery_tag: int) -> None:
        """Acknowledge this message and all that were delivered before it."""
        if delivery_tag in self._delivered:
            tags = list(self._delivered)
            for tag in tags[: tags.index(delivery_tag) + 1]:
                self.ack(tag)

    def reject(self, delivery_tag: int, requeue: bool = False) -> None:
        """Drop the message, or with ``requeue`` return it to its old place in the queue."""
        if not requeue:
            self.ack(delivery_tag)
        elif self._delivered.pop(delivery_tag, None) is not None:
            self.channel.return_to_queue([delivery_tag])

    def restore_unacked(self) -> list[Any]:
        """Return all unacknowledged messages to their queues."""
        tags = list(self._delivered)
        self._delivered.clear()
        self.channel.return_to_queue(tags)
        return []

    def restore_unacked_once(self, stderr: Any = None) -> None:
        """Return all unacknowledged messages, as the channel is being closed."""
        self.restore_unacked()


class Channel(PublishingChannel):
    """Claims messages in small batches, which wait in an inbox until their consumer is called."""

    QoS = QoS

    def __init__(self, connection: Any, **kwargs: Any) -> None:
        super().__init__(connection, **kwargs)
        self._leases: Leases = connection.leases
        self._subscriptions: dict[str, _Subscription] = {}
        self._inbox: deque[tuple[_Subscription, Delivery]] = deque()
        self._round = 0

    def basic_consume(
        self,
        queue: str,
        no_ack: bool,
        callback: Callable[[virtual.Message], Any],
        consumer_tag: str,
        **_: Any,
    ) -> None:
        """Give messages to ``callback`` while the connection is drained."""
        self._subscriptions[consumer_tag] = _Subscription(queue, no_ack, callback)
        self._consumers.add(consumer_tag)
        self.connection.subscriptions_changed()

    def basic_cancel(self, consumer_tag: str) -> None:
        """Remove a consumer, and release its messages in the inbox."""
        cancelled = self._subscriptions.pop(consumer_tag, None)
        self._consumers.discard(consumer_tag)
        if cancelled is None:
            return
        unread = [delivery.id for subscription, delivery in self._inbox if subscription is cancelled]
        self._inbox = deque(entry for entry in self._inbox if entry[0] is not cancelled)
        self._leases.release(unread)
        self.connection.subscriptions_changed()

    def basic_get(self, queue: str, no_ack: bool = False, **_: Any) -> virtual.Message | None:
        """Claim one message, regardless of the prefetch limit; ``None`` if the queue is empty."""
        ((*found,),) = self._leases.turn_over([Wanted([queue], 1, keep=not no_ack)])
        return self._parse(found[0], no_ack=no_ack) if found else None

    def basic_ack(self, delivery_tag: int, multiple: bool = False) -> None:
        """Acknowledge a message; this is stored a moment later, and after a crash before that it is delivered again."""
        if multiple:
            self.qos.ack_up_to(delivery_tag)
        else:
            self.qos.ack(delivery_tag)

    def basic_qos(self, prefetch_size: int = 0, prefetch_count: int = 0, apply_global: bool = False) -> None:
        """Set the prefetch limit; Celery raises it by one for each message that waits for its ``eta``."""
        self.qos.prefetch_count = prefetch_count
        self._room_changed()

    def consumed_queues(self) -> list[str]:
        """The queues that this channel consumes."""
        return [subscription.queue for subscription in self._subscriptions.values()]

    def open_queues(self) -> list[str]:
        """The consumed queues whose consumers may receive a message now."""
        room = self.qos.can_consume()
        return [one.queue for one in self._subscriptions.values() if room or one.no_ack]

    def inbox_length(self) -> int:
        """The number of messages that are claimed and not delivered."""
        return len(self._inbox)

    def wanted(self) -> list[Wanted]:
        """The messages to claim next; those without acknowledgement one at a time, so that no crash loses them."""
        self._round += 1
        rooms = {True: 1, False: self.qos.room()}
        found = []
        for no_ack, room in rooms.items():
            queues = list(dict.fromkeys(one.queue for one in self._subscriptions.values() if one.no_ack is no_ack))
            if queues and room:
                start = self._round % len(queues)
                found.append(Wanted(queues[start:] + queues[:start], room, keep=not no_ack))
        return found

    def is_full(self) -> bool:
        """Return whether consumers must acknowledge a message before they receive another."""
        return not self.qos.can_consume() and any(not one.no_ack for one in self._subscriptions.values())

    def receive(self, want: Wanted, deliveries: Sequence[Delivery]) -> None:
        """Put the claimed messages into the inbox."""
        consumers = {one.queue: one for one in self._subscriptions.values() if one.no_ack is not want.keep}
        self._inbox.extend((consumers[delivery.queue], delivery) for delivery in deliveries)

    def deliver_one(self) -> bool:
        """Give the next message of the inbox to its consumer, and return whether there was one."""
        while self._inbox:
            subscription, delivery = self._inbox.popleft()
            message = self._parse(delivery, no_ack=subscription.no_ack)
            if message is not None:
                subscription.callback(message)
                return True
        return False

    def settle(self, tag: int) -> None:
        """Acknowledge a message in the database."""
        self._leases.acknowledge(tag)
        self._room_changed()

    def return_to_queue(self, tags: Sequence[int]) -> None:
        """Release these messages to other consumers."""
        self._leases.release(tags)
        self._room_changed()

    def _room_changed(self) -> None:
        if self.connection is not None:
            self.connection.room_changed(much=2 * self.qos.room() >= self.qos.prefetch_count)

    def _parse(self, delivery: Delivery, *, no_ack: bool) -> virtual.Message | None:
        """The message as kombu's class; ``None`` for one that cannot be read, which is deleted."""
        try:
            raw = loads(delivery.payload)
            raw["properties"]["delivery_tag"] = delivery.id
            raw["properties"]["delivery_info"]["redelivered"] = delivery.deliveries > 1
            message = self.Message(raw, channel=self)  # type: ignore[no-untyped-call]
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            logger.exception("Deleting message %d of queue %s, which cannot be read.", delivery.id, delivery.queue)
            self._leases.acknowledge(delivery.id)
            return None
        if not no_ack:
            self.qos.append(message, delivery.id)
        return message
