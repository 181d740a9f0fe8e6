"""Publishing to RabbitMQ in rounds: many messages in one write, then one wait for all of their confirmations.

Source: https://www.rabbitmq.com/docs/confirms#publisher-confirms
"""

import time
from collections.abc import Sequence
from typing import Any

from amqp import spec
from amqp.exceptions import RecoverableConnectionError
from amqp.method_framing import frame_writer
from amqp.serialization import dumps

from ..core.errors import MessageRefused
from .message_template import MessageTemplate, make_template

CONFIRM_TIMEOUT = 5.0
"""Seconds that the broker may take to confirm a round of messages."""
LARGEST_WRITE = 1000
"""The most messages in one write to the socket."""
PUBLISH_ARGUMENTS = "Bssbb"
"""py-amqp's format of the arguments of ``basic.publish``."""


class ConfirmRound:
    """The messages of a round on one channel, from their publishing to their confirmation.

    kombu's ``Producer.batch`` gets it from the channel. It serves one round after another, as long as the channel
    lives, and turns each message into frames as it is published.
    """

    def __init__(self, channel: Any) -> None:
        self.channel = channel
        self._connection = channel.connection
        self._frame = frame_writer(self._connection, self)
        self._frames: list[bytes] = []
        self._messages: list[bytes] = []
        self._last = b""
        self._confirms = Confirms(channel)
        channel.create_publish_batch = lambda max_size: self  # noqa: ARG005 - kombu's signature

    def publish(self, message: Any, *, exchange: str, routing_key: str, mandatory: bool, **_: Any) -> None:
        """Add a message that kombu has prepared for the channel."""
        self._frames.clear()
        arguments = dumps(PUBLISH_ARGUMENTS, (0, exchange, routing_key, mandatory, False))
        self._frame(1, self.channel.channel_id, spec.Basic.Publish, arguments, message)
        self._last = b"".join(self._frames)
        self._add(self._last)

    def template(self, words: Sequence[bytes]) -> MessageTemplate | None:
        """A template of the message that was published last; ``None`` if the places of its words are ambiguous."""
        return make_template(self._last, words)

    def publish_copy(self, template: MessageTemplate, words: Sequence[bytes]) -> None:
        self._add(template.fill(words))

    def write(self, data: memoryview) -> None:
        """Keep a copy of a frame, in place of the socket: py-amqp's frame writer will reuse the memory."""
        self._frames.append(bytes(data))

    def flush(self) -> None:
        """Send the messages that were added."""
        messages, self._messages = self._messages, []
        if not messages:
            return
        if not self._connection.connected:
            raise RecoverableConnectionError("connection already closed")
        self._confirms.expect(len(messages))
        self._connection.transport.write(b"".join(messages))

    def discard(self) -> None:
        """Drop the messages that were added and not sent."""
        self._messages.clear()

    def close(self) -> None:
        """Do nothing: there is nothing to release."""

    def settle(self) -> None:
        """Send the messages that were added, and return when all are confirmed; raises like ``Confirms.wait``."""
        self.flush()
        self._confirms.wait(self._connection)

    def _add(self, message: bytes) -> None:
        self._messages.append(message)
        if len(self._messages) >= LARGEST_WRITE:
            self.flush()


class Confirms:
    """Counts the confirmations on a channel."""

    def __init__(self, channel: Any) -> None:
        self._sent = 0
        self._settled = 0
        self._open: set[int] = set()
        self._refused: str | None = None
        channel.confirm_select()
        channel.events["basic_ack"].add(self._on_ack)
        channel.events["basic_nack"].add(self._on_nack)
        channel.events["basic_return"].add(self._on_return)

    def expect(self, messages: int) -> None:
        """Expect confirmations of this many more messages on the channel."""
        self._open.update(range(self._sent + 1, self._sent + 1 + messages))
        self._sent += messages

    def wait(self, connection: Any) -> None:
        """Return when all messages are confirmed; raises ``MessageRefused`` when one was refused or unroutable."""
        end = time.monotonic() + CONFIRM_TIMEOUT
        while self._open:
            connection.drain_events(timeout=max(0.01, end - time.monotonic()))
        if self._refused is not None:
            raise MessageRefused(self._refused)

    def _on_ack(self, tag: int, multiple: bool) -> None:  # noqa: FBT001 - py-amqp's signature
        if multiple:
            self._open.difference_update(range(self._settled + 1, tag + 1))
            self._settled = max(self._settled, tag)
        else:
            self._open.discard(tag)

    def _on_nack(self, tag: int, multiple: bool) -> None:  # noqa: FBT001 - py-amqp's signature
        self._refused = "The broker refused a message; one of its limits may be reached, or its disk full."
        self._on_ack(tag, multiple)

    def _on_return(self, _exception: Any, _exchange: str, routing_key: str, _message: Any) -> None:
        self._refused = f"The broker has no queue {routing_key[:191]!r}; the next attempt declares it again."
