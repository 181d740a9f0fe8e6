"""Publishing in rounds where a channel has kombu's batches: one pipeline of Redis, one commit of the database."""

from collections.abc import Mapping, Sequence
from typing import Any

from kombu.messaging import DEFAULT_BATCH_SIZE


class BatchRound:
    """The messages of a round on one channel; see ``rabbitmq.Round``, which does this for RabbitMQ.

    Those that kombu's producer publishes and the copies go into one batch of the channel.
    """

    def __init__(self, channel: Any, own: Sequence[str]) -> None:
        self.channel = channel
        self._own = own
        self._begin = channel.create_publish_batch
        self._batch: Any = None
        self._last: tuple[Mapping[str, Any], Mapping[str, Any]] = {}, {}
        channel.create_publish_batch = lambda max_size: self  # noqa: ARG005 - kombu's signature

    def publish(self, message: dict[str, Any], **way: Any) -> None:
        """Add a message that kombu has prepared for the channel, which alters it."""
        self._last = {**message, "properties": {**message["properties"], "delivery_info": {}}}, way
        self._add(message, way)

    def stencil(self, _words: Sequence[bytes]) -> "Letter":
        """What copies of the message that was published last are made from."""
        message, way = self._last
        return Letter(message, way, [name for name in self._own if name in message["headers"]])

    def publish_copy(self, letter: "Letter", words: Sequence[bytes]) -> None:
        """Add a message of these words."""
        self._add(letter.fill(words), letter.way)

    def flush(self) -> None:
        """A round is sent when it is settled."""

    def discard(self) -> None:
        """Forget what was added and not sent."""
        batch, self._batch = self._batch, None
        if batch is not None:
            batch.discard()
            batch.close()

    def close(self) -> None:
        """The channel's batch is closed by what ends it."""

    def settle(self) -> None:
        """Send what was added, and return when the broker has it."""
        batch, self._batch = self._batch, None
        if batch is not None:
            try:
                batch.flush()
            finally:
                batch.close()

    def _add(self, message: dict[str, Any], way: Mapping[str, Any]) -> None:
        if self._batch is None:
            self._batch = self._begin(max_size=DEFAULT_BATCH_SIZE)
        self._batch.publish(message, **way)


class Letter:
    """A message that others of its kind are made from."""

    def __init__(self, message: Mapping[str, Any], way: Mapping[str, Any], names: Sequence[str]) -> None:
        self.way = way
        self._message = message
        self._names = names

    def fill(self, words: Sequence[bytes]) -> dict[str, Any]:
        """The message of a job of this UUID, with these words in the headers."""
        uuid, *told = (word.decode("utf-8", "surrogatepass") for word in words)
        message = self._message
        headers = {**message["headers"], "id": uuid, "root_id": uuid, **dict(zip(self._names, told, strict=True))}
        properties = {**message["properties"], "correlation_id": uuid, "delivery_info": {}}
        return {**message, "headers": headers, "properties": properties}
