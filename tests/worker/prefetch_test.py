"""How many messages a worker holds: it follows the number of jobs that it has lately claimed."""

import time
from collections import defaultdict
from types import SimpleNamespace
from typing import Any, cast

import pytest
from celery.concurrency.solo import TaskPool as SoloPool
from kombu.common import QoS
from kombu.utils.limits import TokenBucket

from pacifica.dispatcher.store.work_queue import WorkQueue
from pacifica.dispatcher.worker.job_steps import EventWatch
from pacifica.dispatcher.worker.job_writer import JobWriter
from pacifica.dispatcher.worker.prefetch import PERIOD, Prefetch

from .job_writer_test import ListPool, Request

USUAL = 8


class Consumer:
    """As much of a worker's consumer as the class uses."""

    def __init__(self, count: int = USUAL, most: int | None = None) -> None:
        self.initial_prefetch_count = count
        self.qos = QoS(lambda prefetch_count: None, count, most)
        self.task_buckets: dict[str, Any] = defaultdict(lambda: None)
        self.connection = SimpleNamespace(transport=SimpleNamespace(driver_type="amqp"))
        self.qos_global, self.pool = True, object()


class Message(Request):
    """The request of a message."""

    def __init__(self) -> None:
        super().__init__(SimpleNamespace(uuid="", task="add"))  # type: ignore[arg-type] - no more of it is used

    def give_back(self) -> None:
        self.did.append("give back")


@pytest.fixture
def writer() -> JobWriter:
    unused = cast("WorkQueue", None)  # The thread is not started.
    return JobWriter(unused, EventWatch(), ListPool(), worker="w@lab", holder="h", queues=None)


def fitted(prefetch: Prefetch, writer: JobWriter, consumer: Consumer, claimed: int) -> int:
    """The number of messages after a period with so many claims."""
    writer.claimed_messages += claimed
    prefetch.fit()
    return int(consumer.qos.value)


def test_number_follows_the_claims_and_shrinks_by_halves(writer: JobWriter) -> None:
    consumer = Consumer()
    prefetch = Prefetch(consumer, writer)
    numbers = [fitted(prefetch, writer, consumer, claimed) for claimed in (0, 40, 300, 280, 10, 0, 0, 100)]
    assert [number - USUAL for number in numbers] == [0, 40, 300, 280, 140, 70, 35, 100]
    assert [fitted(prefetch, writer, consumer, 0) for _ in range(8)][-1] == USUAL
    consumer.qos.increment_eventually(3)  # As Celery does for messages with an eta.
    assert fitted(prefetch, writer, consumer, 5) == USUAL + 3 + 5


def test_number_returns_to_the_configured_one_after_it_was_bounded(writer: JobWriter) -> None:
    consumer = Consumer(most=USUAL + 10)
    prefetch = Prefetch(consumer, writer)
    assert fitted(prefetch, writer, consumer, 40) == USUAL + 10
    assert [fitted(prefetch, writer, consumer, 0) for _ in range(5)][-1] == USUAL


def test_number_is_the_configured_one_with_messages_of_no_job_rate_limits_or_none(writer: JobWriter) -> None:
    consumer = Consumer()
    prefetch = Prefetch(consumer, writer)
    consumer.task_buckets["limited"] = bucket = TokenBucket(1)
    assert fitted(prefetch, writer, consumer, 40) == USUAL + 40
    bucket.add((Message(), 1))
    assert fitted(prefetch, writer, consumer, 40) == USUAL
    bucket.clear_pending()
    assert fitted(prefetch, writer, consumer, 40) == USUAL + 40
    held: list[Any] = [Message() for _ in range(USUAL + 3)]
    for message in held:
        bucket.add((message, 1))
    assert fitted(prefetch, writer, consumer, 40) == USUAL
    assert [message.did for message in held] == [[]] * USUAL + [["give back"]] * 3
    bucket.clear_pending()
    prefetch.note_no_job()
    assert fitted(prefetch, writer, consumer, 40) == USUAL
    unlimited = Consumer(0)
    assert fitted(Prefetch(unlimited, writer), writer, unlimited, 40) == 0


@pytest.mark.parametrize("why", ["redis", "limits of each consumer", "solo"])
def test_number_is_the_configured_one_where_it_cannot_follow(writer: JobWriter, why: str) -> None:
    consumer: Any = Consumer()
    if why == "redis":
        consumer.connection.transport.driver_type = why
    consumer.qos_global = why != "limits of each consumer"
    if why == "solo":
        consumer.pool = SoloPool()
    assert fitted(Prefetch(consumer, writer), writer, consumer, 40) == USUAL


def test_late_look_does_not_count_the_claims_of_several_periods(
    writer: JobWriter, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 100.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    consumer = Consumer()
    prefetch = Prefetch(consumer, writer)
    now += 10 * PERIOD
    assert fitted(prefetch, writer, consumer, 400) == USUAL + 40


def test_messages_that_would_wait_long_return_to_the_broker_latest_first(writer: JobWriter) -> None:
    consumer = Consumer()
    prefetch = Prefetch(consumer, writer)
    fitted(prefetch, writer, consumer, 40)
    messages: list[Any] = [Message() for _ in range(100)]
    for message in messages:
        writer.claim(message)
    given: list[int] = []
    for _ in range(8):
        prefetch.fit()
        given.append(sum(bool(message.did) for message in messages))
    assert given[:2] == [100 - (USUAL + 20), 100 - (USUAL + 20)]
    assert given[-1] == 100 - USUAL
    assert [message.did for message in messages[:USUAL]] == [[]] * USUAL
    assert all(message.did == ["give back"] for message in messages[USUAL:])
    assert writer.waiting_messages() == USUAL
