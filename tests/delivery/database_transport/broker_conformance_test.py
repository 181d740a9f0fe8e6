"""The features that Celery needs of a broker, on RabbitMQ, on Redis, and on ``database://`` with each database.

Where brokers differ, the test shows how, and so documents the difference.
"""

import random
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from kombu import Connection, Exchange, Queue
from kombu.exceptions import ChannelError
from kombu.message import Message

from ...eventually import eventually
from .conftest import Broker
from .peer import noted


def publish(connection: Connection, queue: Queue, *bodies: Any, **properties: Any) -> None:
    """Declare the queue, and publish these bodies to its exchange."""
    producer = connection.Producer(exchange=queue.exchange, routing_key=queue.routing_key)
    for body in bodies:
        producer.publish(body, declare=[queue], delivery_mode=2, **properties)


class Consumer:
    """A consumer that keeps its messages until the test settles them."""

    def __init__(self, connection: Connection, *queues: Queue, prefetch: int = 0) -> None:
        self.connection = connection
        self.got: list[Message] = []
        channel = connection.channel()
        options = {"prefetch_count": prefetch} if prefetch else {}
        self._consumer = connection.Consumer(list(queues), channel=channel, on_message=self.got.append, **options)
        self._consumer.consume()

    def drain(self, timeout: float = 0.2) -> None:
        """Receive messages until none has come for ``timeout`` seconds."""
        with suppress(TimeoutError):
            while True:
                self.connection.drain_events(timeout=timeout)

    def take(self, number: int) -> list[Any]:
        """Acknowledge the next messages, once there are so many, and return their bodies."""
        taken: list[Any] = []

        def enough() -> bool:
            # `eventually` pauses between two looks, so each look takes all that has come.
            with suppress(TimeoutError):
                while len(taken) < number:
                    if not self.got:
                        self.connection.drain_events(timeout=0.1)
                    while self.got and len(taken) < number:
                        message = self.got.pop(0)
                        taken.append(message.decode())
                        message.ack()
            return len(taken) == number

        eventually(enough, 30)
        return taken

    def close(self) -> None:
        """Cancel the consumer, and close its channel with all unacknowledged messages."""
        self._consumer.cancel()
        self._consumer.channel.close()


def size(connection: Connection, queue: Queue) -> int:
    """The number of ready messages; on Redis an empty queue does not exist."""
    try:
        return int(queue(connection.default_channel).queue_declare(passive=True).message_count)
    except ChannelError:
        if connection.transport.driver_type != "redis":
            raise
        return 0


@pytest.fixture
def connection(broker: Broker) -> Iterator[Connection]:
    """A connection to each broker in turn."""
    return broker.connect()


def test_messages_arrive_in_the_order_of_publishing(broker: Broker, connection: Connection) -> None:
    publish(connection, broker.queue, *range(50))
    assert Consumer(connection, broker.queue).take(50) == list(range(50))


def test_acknowledged_message_is_gone(broker: Broker, connection: Connection) -> None:
    publish(connection, broker.queue, "a", "b")
    consumer = Consumer(connection, broker.queue)
    assert consumer.take(2) == ["a", "b"]
    consumer.close()
    connection.close()
    again = broker.connect()
    eventually(lambda: size(again, broker.queue) == 0)
    other = Consumer(again, broker.queue)
    other.drain()
    assert other.got == []


def test_requeued_message_is_delivered_again(broker: Broker, connection: Connection) -> None:
    publish(connection, broker.queue, "a", "b")
    consumer = Consumer(connection, broker.queue, prefetch=1)
    eventually(lambda: consumer.drain() or consumer.got)
    consumer.got.pop().requeue()
    eventually(lambda: consumer.drain() or consumer.got)
    # It has its old place again; kombu's Redis transport puts it after the others.
    assert consumer.got[0].decode() == ("b" if broker.kind == "redis" else "a")
    assert broker.kind == "redis" or consumer.got[0].delivery_info["redelivered"]
    assert sorted(consumer.take(2)) == ["a", "b"]


def test_rejected_message_is_gone(broker: Broker, connection: Connection) -> None:
    publish(connection, broker.queue, "a", "b")
    consumer = Consumer(connection, broker.queue, prefetch=1)
    eventually(lambda: consumer.drain() or consumer.got)
    consumer.got.pop().reject()
    assert consumer.take(1) == ["b"]
    consumer.drain()
    assert consumer.got == []


def test_messages_of_a_closed_channel_are_delivered_again(broker: Broker, connection: Connection) -> None:
    publish(connection, broker.queue, *range(5))
    holder = Consumer(connection, broker.queue, prefetch=3)
    eventually(lambda: holder.drain() or len(holder.got) == 3)
    holder.close()
    assert sorted(Consumer(connection, broker.queue).take(5)) == list(range(5))


def test_messages_of_a_killed_consumer_are_delivered_again(broker: Broker, connection: Connection) -> None:
    publish(connection, broker.queue, "a")
    peer = broker.peer("hold")
    peer.wait_until_it_says("holds a")
    peer.kill()
    assert Consumer(connection, broker.queue).take(1) == ["a"]


def test_prefetch_limit_is_kept(broker: Broker, connection: Connection) -> None:
    publish(connection, broker.queue, *range(10))
    consumer = Consumer(connection, broker.queue, prefetch=3)
    eventually(lambda: consumer.drain() or len(consumer.got) >= 3)
    assert [message.decode() for message in consumer.got] == [0, 1, 2]
    consumer.got.pop(0).ack()
    eventually(lambda: consumer.drain() or len(consumer.got) >= 3)
    assert [message.decode() for message in consumer.got] == [1, 2, 3]


def test_priorities_are_honoured(broker: Broker, connection: Connection) -> None:
    priorities = [*range(10)] * 2
    random.Random(broker.queue.name).shuffle(priorities)
    for priority in priorities:
        publish(connection, broker.queue, priority, priority=priority)
    taken = Consumer(connection, broker.queue, prefetch=1).take(20)
    if broker.kind == "redis":
        # kombu's Redis transport reverses the order, in four steps: 0 to 2 first, then 3 to 5, 6 to 8, and 9.
        assert [priority // 3 for priority in taken] == sorted(priority // 3 for priority in priorities)
    else:
        assert taken == sorted(priorities, reverse=True)


def test_purge_removes_and_size_counts_ready_messages(broker: Broker, connection: Connection) -> None:
    publish(connection, broker.queue, *range(4))
    consumer = Consumer(connection, broker.queue, prefetch=1)
    eventually(lambda: consumer.drain() or consumer.got)
    eventually(lambda: size(connection, broker.queue) == 3)
    assert broker.queue(connection.default_channel).purge() == 3
    eventually(lambda: size(connection, broker.queue) == 0)
    consumer.got.pop().requeue()
    assert consumer.take(1) == [0]


def test_fanout_exchange_copies_to_all_its_queues(broker: Broker, connection: Connection) -> None:
    exchange = Exchange(f"{broker.queue.name}.fanout", type="fanout", durable=False, auto_delete=True)
    queues = [Queue(f"{broker.queue.name}.{n}", exchange, durable=False, auto_delete=True) for n in range(2)]
    other = broker.connect()
    consumers = [Consumer(connection, queues[0]), Consumer(other, queues[1])]
    for consumer in consumers:
        consumer.drain()  # kombu's Redis transport receives a fanout only after its first read
    producer = broker.connect().Producer(exchange=exchange)
    producer.publish("hello", declare=[exchange])
    assert [consumer.take(1) for consumer in consumers] == [["hello"], ["hello"]]
    for consumer in consumers:
        consumer.close()
    for queue in queues:
        queue(connection.default_channel).delete()


def test_topic_exchange_copies_to_the_queues_with_a_matching_pattern(broker: Broker, connection: Connection) -> None:
    exchange = Exchange(f"{broker.queue.name}.topic", type="topic", durable=False, auto_delete=True)
    some = Queue(f"{broker.queue.name}.some", exchange, routing_key="worker.*", durable=False, auto_delete=True)
    every = Queue(f"{broker.queue.name}.every", exchange, routing_key="#", durable=False, auto_delete=True)
    consumers = [Consumer(connection, some), Consumer(broker.connect(), every)]
    producer = broker.connect().Producer(exchange=exchange)
    for key in ("worker.online", "task.sent", "worker.a.b"):
        producer.publish(key, routing_key=key, declare=[exchange])
    assert consumers[0].take(1) == ["worker.online"]
    assert consumers[1].take(3) == ["worker.online", "task.sent", "worker.a.b"]
    for consumer in consumers:
        consumer.close()
    for queue in (some, every):
        queue(connection.default_channel).delete()


@pytest.mark.parametrize(
    "body",
    ["Grüße 🎉 \u2028 \x00 \ud7ff", {"a": [1, None, "ü"], "b": {"c": 1.5}}, "x" * 200_000, "", b"\x00\xff\xfe" * 1000],
    ids=["unicode and NUL", "structure", "200 kB", "empty", "bytes"],
)
def test_body_arrives_as_it_was_published(broker: Broker, connection: Connection, body: Any) -> None:
    publish(connection, broker.queue, body)
    (got,) = Consumer(connection, broker.queue).take(1)
    if body == "" and broker.kind != "rabbitmq":
        body = b""  # kombu's virtual transports do not decode an empty body
    assert (bytes(got) if isinstance(body, bytes) else got) == body


def test_headers_and_properties_arrive(broker: Broker, connection: Connection) -> None:
    headers = {"id": "ä", "retries": 3, "timelimit": [None, None]}
    publish(connection, broker.queue, "a", headers=headers, correlation_id="c", reply_to="r")
    consumer = Consumer(connection, broker.queue)
    eventually(lambda: consumer.drain() or consumer.got)
    (message,) = consumer.got
    assert {key: message.headers[key] for key in headers} == headers
    assert (message.properties["correlation_id"], message.properties["reply_to"]) == ("c", "r")
    message.ack()


def test_expired_message_is_not_delivered(broker: Broker, connection: Connection) -> None:
    publish(connection, broker.queue, "old", expiration=0.01)
    if broker.kind == "redis":
        # kombu's Redis transport ignores it; Celery's worker also checks a header of its own.
        assert Consumer(connection, broker.queue).take(1) == ["old"]
        return
    eventually(lambda: size(connection, broker.queue) == 0)
    publish(connection, broker.queue, "new", expiration=60)
    assert Consumer(connection, broker.queue).take(1) == ["new"]


def test_single_message_can_be_fetched(broker: Broker, connection: Connection) -> None:
    queue = broker.queue(connection.default_channel)
    queue.declare()
    assert queue.get() is None
    publish(connection, broker.queue, "a", "b")
    message = eventually(queue.get)
    assert message.decode() == "a"
    message.ack()
    assert eventually(lambda: queue.get(no_ack=True)).decode() == "b"
    eventually(lambda: size(connection, broker.queue) == 0)
    assert queue.get() is None


def test_deleted_or_undeclared_queue_is_not_found(broker: Broker, connection: Connection) -> None:
    publish(connection, broker.queue, "a")
    broker.queue(connection.default_channel).delete()
    with pytest.raises(ChannelError, match="NOT_FOUND"), broker.connect() as other:
        broker.queue(other.default_channel).queue_declare(passive=True)


def test_two_consumer_processes_get_each_message_once(broker: Broker, connection: Connection, tmp_path: Path) -> None:
    path = tmp_path / "consumed"
    peers = [broker.peer("consume", str(path)) for _ in range(2)]
    for peer in peers:
        peer.wait_until_it_says("consumes")
    publish(connection, broker.queue, *(str(number) for number in range(500)))
    eventually(lambda: len(noted(path)) >= 500, 30)
    eventually(lambda: size(connection, broker.queue) == 0)
    assert Counter(noted(path)) == {str(number): 1 for number in range(500)}


def test_worker_runs_tasks_and_answers_remote_control(broker: Broker, tmp_path: Path, run_task: Any) -> None:
    worker = broker.worker("-c", "1")
    run_task("note", str(tmp_path / "notes"), "done")
    eventually(lambda: noted(tmp_path / "notes") == ["done"])
    app = run_task.app
    name = f"{broker.queue.name}@h"
    for _ in range(2):
        assert eventually(lambda: app.control.ping([name], timeout=1.0)) == [{name: {"ok": "pong"}}]
    app.control.shutdown([name])
    assert worker.wait(60) == 0  # see STOP_TIMEOUT in worker_test.py
