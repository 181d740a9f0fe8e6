"""Publishing in rounds by kombu's batches: one pipeline of Redis."""

from collections.abc import Mapping, Sequence
from typing import Any

from kombu.messaging import DEFAULT_BATCH_SIZE


class BatchRound:
    """The messages of a round on one channel; ``rabbitmq_confirms.ConfirmRound`` is its counterpart for RabbitMQ.

    The messages that kombu's producer publishes, and the copies, go into one batch of the channel.
    """

    def __init__(self, channel: Any, origin_headers: Sequence[str]) -> None:
        self.channel = channel
        self._origin_headers = origin_headers
        self._create_batch = channel.create_publish_batch
        self._batch: Any = None
        self._last: tuple[Mapping[str, Any], Mapping[str, Any]] = {}, {}
        channel.create_publish_batch = lambda max_size: self  # noqa: ARG005 - kombu's signature

    def publish(self, message: dict[str, Any], **target: Any) -> None:
        """Add a message that kombu has prepared; the channel will modify it."""
        self._last = {**message, "properties": {**message["properties"], "delivery_info": {}}}, target
        self._add(message, target)

    def template(self, _words: Sequence[bytes]) -> "HeaderTemplate":
        """A template of the message that was published last."""
        message, target = self._last
        names = [name for name in self._origin_headers if name in message["headers"]]
        return HeaderTemplate(message, target, names)

    def publish_copy(self, template: "HeaderTemplate", words: Sequence[bytes]) -> None:
        self._add(template.fill(words), template.target)

    def flush(self) -> None:
        """Do nothing: ``settle`` sends the round."""

    def discard(self) -> None:
        batch, self._batch = self._batch, None
        if batch is not None:
            batch.discard()
            batch.close()

    def close(self) -> None:
        """Do nothing: ``settle`` and ``discard`` close the channel's batch."""

    def settle(self) -> None:
        """Send the messages that were added, and return when the broker has them."""
        batch, self._batch = self._batch, None
        if batch is not None:
            try:
                batch.flush()
            finally:
                batch.close()

    def _add(self, message: dict[str, Any], target: Mapping[str, Any]) -> None:
        if self._batch is None:
            self._batch = self._create_batch(max_size=DEFAULT_BATCH_SIZE)
        self._batch.publish(message, **target)


class HeaderTemplate:
    """A message as kombu's virtual channels have it, and where to publish its copies."""

    def __init__(self, message: Mapping[str, Any], target: Mapping[str, Any], names: Sequence[str]) -> None:
        self.target = target
        self._message = message
        self._names = names

    def fill(self, words: Sequence[bytes]) -> dict[str, Any]:
        """The message of a job: the first word is its UUID, the others are the values of the origin headers."""
        uuid, *values = (word.decode("utf-8", "surrogatepass") for word in words)
        message = self._message
        headers = {**message["headers"], "id": uuid, "root_id": uuid, **dict(zip(self._names, values, strict=True))}
        properties = {**message["properties"], "correlation_id": uuid, "delivery_info": {}}
        return {**message, "headers": headers, "properties": properties}
