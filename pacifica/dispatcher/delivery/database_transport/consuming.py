"""The other half of a channel of the ``database://`` transport: what its consumers are given."""
# ruff: noqa: ARG002, FBT001, FBT002 - these signatures are kombu's

import logging
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from kombu.transport import virtual
from kombu.utils.json import loads

from ...store.messages import Delivery, Wanted
from .channel import PublishingChannel
from .leases import Leases

logger = logging.getLogger(__name__)

BATCH = 32
"""The most messages that one claim takes for a channel without a prefetch limit."""


@dataclass(frozen=True, slots=True)
class _Subscription:
    queue: str
    no_ack: bool
    callback: Callable[[virtual.Message], Any]


class QoS(virtual.QoS):
    """What a channel's consumers hold; unlike kombu's own it may be used from any thread."""

    def __init__(self, channel: "Channel", prefetch_count: int = 0) -> None:
        # Not kombu's: its exit hook would keep every channel alive until the process ends.
        self.channel: Channel = channel
        self.prefetch_count = prefetch_count or 0
        self._delivered: dict[int, virtual.Message] = {}  # type: ignore[assignment]

    def room(self) -> int:
        """How many messages more the channel may be given."""
        if not self.prefetch_count:
            return BATCH
        return max(0, self.prefetch_count - len(self._delivered) - self.channel.inbox_length())

    def can_consume(self) -> bool:
        """Whether the channel may be given a message."""
        return self.room() > 0

    def can_consume_max_estimate(self) -> int:
        """How many messages the channel may be given."""
        return self.room()

    def append(self, message: virtual.Message, delivery_tag: int) -> None:
        """The message has been delivered and waits to be acknowledged."""
        self._delivered[delivery_tag] = message

    def ack(self, delivery_tag: int) -> None:
        """Has no effect on a message that is not held: it was settled before, or its channel was closed."""
        if self._delivered.pop(delivery_tag, None) is not None:
            self.channel.settle(delivery_tag)

    def ack_up_to(self, delivery_tag: int) -> None:
        """Acknowledge this message and all that were delivered before it."""
        if delivery_tag in self._delivered:
            tags = list(self._delivered)
            for tag in tags[: tags.index(delivery_tag) + 1]:
                self.ack(tag)

    def reject(self, delivery_tag: int, requeue: bool = False) -> None:
        """With ``requeue`` the message goes back to its old place in the queue."""
        if not requeue:
            self.ack(delivery_tag)
        elif self._delivered.pop(delivery_tag, None) is not None:
            self.channel.give_back([delivery_tag])

    def restore_unacked(self) -> list[Any]:
        """Give back all that is held."""
        tags = list(self._delivered)
        self._delivered.clear()
        self.channel.give_back(tags)
        return []

    def restore_unacked_once(self, stderr: Any = None) -> None:
        """Called when the channel is closed."""
        self.restore_unacked()


class Channel(PublishingChannel):
    """Messages come in small batches, which wait in an inbox until their consumer is called."""

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
        """Messages are given to ``callback`` while somebody drains the connection."""
        self._subscriptions[consumer_tag] = _Subscription(queue, no_ack, callback)
        self._consumers.add(consumer_tag)
        self.connection.subscriptions_changed()

    def basic_cancel(self, consumer_tag: str) -> None:
        """What waited in the inbox for this consumer is free at once."""
        gone = self._subscriptions.pop(consumer_tag, None)
        self._consumers.discard(consumer_tag)
        if gone is None:
            return
        unread = [delivery.id for subscription, delivery in self._inbox if subscription is gone]
        self._inbox = deque(entry for entry in self._inbox if entry[0] is not gone)
        self._leases.release(unread)
        self.connection.subscriptions_changed()

    def basic_get(self, queue: str, no_ack: bool = False, **_: Any) -> virtual.Message | None:
        """One message, or ``None``; the prefetch limit is not for this."""
        ((*found,),) = self._leases.turn_over([Wanted([queue], 1, keep=not no_ack)])
        return self._opened(found[0], no_ack=no_ack) if found else None

    def basic_ack(self, delivery_tag: int, multiple: bool = False) -> None:
        """Stored a moment later, with others; a crash before that means that the message comes again."""
        if multiple:
            self.qos.ack_up_to(delivery_tag)
        else:
            self.qos.ack(delivery_tag)

    def basic_qos(self, prefetch_size: int = 0, prefetch_count: int = 0, apply_global: bool = False) -> None:
        """Celery raises the limit by one for each message that waits for its time."""
        self.qos.prefetch_count = prefetch_count
        self._room_changed()

    def consumed_queues(self) -> list[str]:
        """The queues that have a consumer here."""
        return [subscription.queue for subscription in self._subscriptions.values()]

    def open_queues(self) -> list[str]:
        """Those of them whose consumers may be given a message now."""
        room = self.qos.can_consume()
        return [one.queue for one in self._subscriptions.values() if room or one.no_ack]

    def inbox_length(self) -> int:
        """How many messages have been claimed and not been delivered."""
        return len(self._inbox)

    def wanted(self) -> list[Wanted]:
        """What a claim should bring now; what needs no acknowledgement comes singly, as none of it may be lost."""
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
        """Whether there are consumers that may not be given anything until they acknowledge something."""
        return not self.qos.can_consume() and any(not one.no_ack for one in self._subscriptions.values())

    def receive(self, want: Wanted, deliveries: Sequence[Delivery]) -> None:
        """Take what a claim has brought into the inbox."""
        consumers = {one.queue: one for one in self._subscriptions.values() if one.no_ack is not want.keep}
        self._inbox.extend((consumers[delivery.queue], delivery) for delivery in deliveries)

    def deliver_one(self) -> bool:
        """Give the next message of the inbox to its consumer; whether there was one."""
        while self._inbox:
            subscription, delivery = self._inbox.popleft()
            message = self._opened(delivery, no_ack=subscription.no_ack)
            if message is not None:
                subscription.callback(message)
                return True
        return False

    def settle(self, tag: int) -> None:
        """The message is done with."""
        self._leases.acknowledge(tag)
        self._room_changed()

    def give_back(self, tags: Sequence[int]) -> None:
        """Make these messages free for others at once."""
        self._leases.release(tags)
        self._room_changed()

    def _room_changed(self) -> None:
        if self.connection is not None:
            self.connection.room_changed(much=2 * self.qos.room() >= self.qos.prefetch_count)

    def _opened(self, delivery: Delivery, *, no_ack: bool) -> virtual.Message | None:
        """The message as kombu has it; ``None``, and it is deleted, when no version of us can have stored it."""
        try:
            raw = loads(delivery.payload)
            raw["properties"]["delivery_tag"] = delivery.id
            raw["properties"]["delivery_info"]["redelivered"] = delivery.deliveries > 1
            message = self.Message(raw, channel=self)  # type: ignore[no-untyped-call]
        except (ValueError, KeyError, TypeError):
            logger.exception("Message %d in queue %s cannot be read and is deleted.", delivery.id, delivery.queue)
            self._leases.acknowledge(delivery.id)
            return None
        if not no_ack:
            self.qos.append(message, delivery.id)
        return message
