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
from .message_template import Stencil, cut

CONFIRM_TIMEOUT = 5.0
"""Seconds that the broker may take to confirm a round of messages."""
AT_ONCE = 1000
"""Messages that are written at once, at most."""
PUBLISH_ARGUMENTS = "Bssbb"
"""How AMQP writes the arguments of ``basic.publish``, as py-amqp spells it."""


class Round:
    """The messages of a round on one channel, from their publishing to their confirmation.

    It is what kombu's ``Producer.batch`` asks a channel for, and serves one round after another, for as long as
    the channel lives. A message becomes frames as it is published.
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

    def stencil(self, words: Sequence[bytes]) -> Stencil | None:
        """What copies of the message that was published last are made from, if it can be told where its words are."""
        return cut(self._last, words)

    def publish_copy(self, stencil: Stencil, words: Sequence[bytes]) -> None:
        """Add a message of these words."""
        self._add(stencil.fill(words))

    def write(self, data: memoryview) -> None:
        """Keep what py-amqp's writer of frames would have sent; it uses the memory again."""
        self._frames.append(bytes(data))

    def flush(self) -> None:
        """Send what was added."""
        messages, self._messages = self._messages, []
        if not messages:
            return
        if not self._connection.connected:
            raise RecoverableConnectionError("connection already closed")
        self._confirms.expect(len(messages))
        self._connection.transport.write(b"".join(messages))

    def discard(self) -> None:
        """Forget what was added and not sent."""
        self._messages.clear()

    def close(self) -> None:
        """Nothing is held that would have to be given back."""

    def settle(self) -> None:
        """Send what was added, and return when all of the round is confirmed; raises as ``Confirms.wait``."""
        self.flush()
        self._confirms.wait(self._connection)

    def _add(self, message: bytes) -> None:
        self._messages.append(message)
        if len(self._messages) >= AT_ONCE:
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
        """Note that so many more are published on the channel."""
        self._open.update(range(self._sent + 1, self._sent + 1 + messages))
        self._sent += messages

    def wait(self, connection: Any) -> None:
        """Return when all messages are confirmed; raises ``MessageRefused`` when one was refused or unroutable."""
        end = time.monotonic() + CONFIRM_TIMEOUT
        while self._open:
            connection.drain_events(timeout=max(0.01, end - time.monotonic()))
        if self._refused is not None:
            raise MessageRefused(self._refused)

    def _on_ack(self, tag: int, multiple: bool) -> None:  # noqa: FBT001 - pyamqp's signature
        if multiple:
            self._open.difference_update(range(self._settled + 1, tag + 1))
            self._settled = max(self._settled, tag)
        else:
            self._open.discard(tag)

    def _on_nack(self, tag: int, multiple: bool) -> None:  # noqa: FBT001 - pyamqp's signature
        self._refused = "The broker refused a message; its own limits or its disk may be full."
        self._on_ack(tag, multiple)

    def _on_return(self, _exception: Any, _exchange: str, routing_key: str, _message: Any) -> None:
        self._refused = f"The broker has no queue {routing_key[:191]!r}; it is declared again."
