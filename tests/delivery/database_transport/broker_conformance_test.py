"""What Celery needs of a broker, asked of RabbitMQ, of Redis, and of ``database://`` on each database.

Where brokers differ, the test says how: that is the documentation of the difference.
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
    """Publish bodies to the queue's exchange, the queue being there."""
    producer = connection.Producer(exchange=queue.exchange, routing_key=queue.routing_key)
    for body in bodies:
        producer.publish(body, declare=[queue], delivery_mode=2, **properties)


class Consumer:
    """A consumer that keeps what it is given, until the test settles it."""

    def __init__(self, connection: Connection, *queues: Queue, prefetch: int = 0) -> None:
        self.connection = connection
        self.got: list[Message] = []
        channel = connection.channel()
        options = {"prefetch_count": prefetch} if prefetch else {}
        self._consumer = connection.Consumer(list(queues), channel=channel, on_message=self.got.append, **options)
        self._consumer.consume()

    def drain(self, timeout: float = 0.2) -> None:
        """Take what comes until nothing comes for ``timeout`` seconds."""
        with suppress(TimeoutError):
            while True:
                self.connection.drain_events(timeout=timeout)

    def take(self, number: int) -> list[Any]:
        """The bodies of the next messages, acknowledged, once there are so many."""
        taken: list[Any] = []

        def enough() -> bool:
            with suppress(TimeoutError):
                self.connection.drain_events(timeout=0.1)
            while self.got and len(taken) < number:
                message = self.got.pop(0)
                taken.append(message.decode())
                message.ack()
            return len(taken) == number

        eventually(enough, 30)
        return taken

    def close(self) -> None:
        """Give up the consumer, and its channel with all that is unacknowledged."""
        self._consumer.cancel()
        self._consumer.channel.close()


def size(connection: Connection, queue: Queue) -> int:
    """How many messages are ready; on Redis an empty queue is one that is not there."""
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


def test_messages_come_in_the_order_in_which_they_were_published(broker: Broker, connection: Connection) -> None:
    publish(connection, broker.queue, *range(50))
    assert Consumer(connection, broker.queue).take(50) == list(range(50))


def test_an_acknowledged_message_is_gone(broker: Broker, connection: Connection) -> None:
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


def test_a_requeued_message_comes_again(broker: Broker, connection: Connection) -> None:
    publish(connection, broker.queue, "a", "b")
    consumer = Consumer(connection, broker.queue, prefetch=1)
    eventually(lambda: consumer.drain() or consumer.got)
    consumer.got.pop().requeue()
    eventually(lambda: consumer.drain() or consumer.got)
    # It has its old place again; kombu's Redis transport puts it behind the others.
    assert consumer.got[0].decode() == ("b" if broker.kind == "redis" else "a")
    assert broker.kind == "redis" or consumer.got[0].delivery_info["redelivered"]
    assert sorted(consumer.take(2)) == ["a", "b"]


def test_a_rejected_message_is_gone(broker: Broker, connection: Connection) -> None:
    publish(connection, broker.queue, "a", "b")
    consumer = Consumer(connection, broker.queue, prefetch=1)
    eventually(lambda: consumer.drain() or consumer.got)
    consumer.got.pop().reject()
    assert consumer.take(1) == ["b"]
    consumer.drain()
    assert consumer.got == []


def test_what_a_closed_channel_held_comes_again(broker: Broker, connection: Connection) -> None:
    publish(connection, broker.queue, *range(5))
    holder = Consumer(connection, broker.queue, prefetch=3)
    eventually(lambda: holder.drain() or len(holder.got) == 3)
    holder.close()
    assert sorted(Consumer(connection, broker.queue).take(5)) == list(range(5))


def test_what_a_killed_consumer_held_comes_again(broker: Broker, connection: Connection) -> None:
    publish(connection, broker.queue, "a")
    peer = broker.peer("hold")
    peer.wait_until_it_says("holds a")
    peer.kill()
    assert Consumer(connection, broker.queue).take(1) == ["a"]


def test_the_prefetch_limit_is_kept(broker: Broker, connection: Connection) -> None:
    publish(connection, broker.queue, *range(10))
    consumer = Consumer(connection, broker.queue, prefetch=3)
    consumer.drain()
    assert [message.decode() for message in consumer.got] == [0, 1, 2]
    consumer.got.pop(0).ack()
    consumer.drain()
    assert [message.decode() for message in consumer.got] == [1, 2, 3]


def test_priorities_are_honoured(broker: Broker, connection: Connection) -> None:
    priorities = [*range(10)] * 2
    random.Random(broker.queue.name).shuffle(priorities)
    for priority in priorities:
        publish(connection, broker.queue, priority, priority=priority)
    taken = Consumer(connection, broker.queue, prefetch=1).take(20)
    if broker.kind == "redis":
        # kombu's Redis transport is the other way round, and has four steps: 0 to 2 first, then 3 to 5, 6 to 8, and 9.
        assert [priority // 3 for priority in taken] == sorted(priority // 3 for priority in priorities)
    else:
        assert taken == sorted(priorities, reverse=True)


def test_purge_removes_what_is_ready_and_size_counts_it(broker: Broker, connection: Connection) -> None:
    publish(connection, broker.queue, *range(4))
    consumer = Consumer(connection, broker.queue, prefetch=1)
    consumer.drain()
    eventually(lambda: size(connection, broker.queue) == 3)
    assert broker.queue(connection.default_channel).purge() == 3
    eventually(lambda: size(connection, broker.queue) == 0)
    consumer.got.pop().requeue()
    assert consumer.take(1) == [0]


def test_a_fanout_exchange_copies_to_all_its_queues(broker: Broker, connection: Connection) -> None:
    exchange = Exchange(f"{broker.queue.name}.fanout", type="fanout", durable=False, auto_delete=True)
    queues = [Queue(f"{broker.queue.name}.{n}", exchange, durable=False, auto_delete=True) for n in range(2)]
    other = broker.connect()
    consumers = [Consumer(connection, queues[0]), Consumer(other, queues[1])]
    for consumer in consumers:
        consumer.drain()  # kombu's Redis transport hears a fanout from its first read on
    producer = broker.connect().Producer(exchange=exchange)
    producer.publish("hear ye", declare=[exchange])
    assert [consumer.take(1) for consumer in consumers] == [["hear ye"], ["hear ye"]]
    for consumer in consumers:
        consumer.close()
    for queue in queues:
        queue(connection.default_channel).delete()


def test_a_topic_exchange_copies_to_the_queues_whose_pattern_fits(broker: Broker, connection: Connection) -> None:
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
def test_a_body_comes_as_it_was_published(broker: Broker, connection: Connection, body: Any) -> None:
    publish(connection, broker.queue, body)
    (got,) = Consumer(connection, broker.queue).take(1)
    if body == "" and broker.kind != "rabbitmq":
        body = b""  # kombu's virtual transports do not decode what is empty
    assert (bytes(got) if isinstance(body, bytes) else got) == body


def test_headers_and_properties_come_along(broker: Broker, connection: Connection) -> None:
    headers = {"id": "ä", "retries": 3, "timelimit": [None, None]}
    publish(connection, broker.queue, "a", headers=headers, correlation_id="c", reply_to="r")
    consumer = Consumer(connection, broker.queue)
    eventually(lambda: consumer.drain() or consumer.got)
    (message,) = consumer.got
    assert {key: message.headers[key] for key in headers} == headers
    assert (message.properties["correlation_id"], message.properties["reply_to"]) == ("c", "r")
    message.ack()


def test_an_expired_message_is_not_delivered(broker: Broker, connection: Connection) -> None:
    publish(connection, broker.queue, "old", expiration=0.01)
    if broker.kind == "redis":
        # kombu's Redis transport ignores it; Celery's worker looks at its own header as well.
        assert Consumer(connection, broker.queue).take(1) == ["old"]
        return
    eventually(lambda: size(connection, broker.queue) == 0)
    publish(connection, broker.queue, "new", expiration=60)
    assert Consumer(connection, broker.queue).take(1) == ["new"]


def test_a_single_message_can_be_got(broker: Broker, connection: Connection) -> None:
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


def test_a_queue_that_was_deleted_or_never_declared_is_not_found(broker: Broker, connection: Connection) -> None:
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


def test_a_worker_runs_tasks_and_answers_remote_control(broker: Broker, tmp_path: Path, run_task: Any) -> None:
    worker = broker.worker("-c", "1")
    run_task("note", str(tmp_path / "notes"), "done")
    eventually(lambda: noted(tmp_path / "notes") == ["done"])
    app = run_task.app
    name = f"{broker.queue.name}@h"
    for _ in range(2):
        assert eventually(lambda: app.control.ping([name], timeout=1.0)) == [{name: {"ok": "pong"}}]
    app.control.shutdown([name])
    assert worker.wait(60) == 0  # see STOPPED in worker_test.py
