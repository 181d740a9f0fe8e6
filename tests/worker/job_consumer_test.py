"""The consumer of a worker's main process: what it survives, and what ends it."""

from types import SimpleNamespace
from typing import Any

import pytest
from billiard.exceptions import WorkerLostError
from billiard.pool import Pool
from celery.worker import loops

from pacifica.dispatcher.worker.job_consumer import POOL_CHECK, JobConsumer
from pacifica.dispatcher.worker.prefetch import PERIOD, Prefetch


class BrokerGone(Exception):
    """The broker's own error."""


def a_consumer(pool: Any = None) -> Any:
    """A consumer without a broker, which counts the messages that it refuses."""
    consumer: Any = object.__new__(JobConsumer)
    consumer.refused = 0

    def count() -> None:
        consumer.refused += 1

    vars(consumer).update(
        hub=None,
        pool=SimpleNamespace(_pool=pool),
        connection_errors=(BrokerGone, KeyError),
        channel_errors=(IndexError,),
    )
    parts = {
        "event_counts": SimpleNamespace(add_refused_message=count),
        "writer": SimpleNamespace(do=lambda act: act(), claimed_messages=0),
    }
    consumer.app = SimpleNamespace(container=SimpleNamespace(**parts))
    return consumer


@pytest.mark.parametrize(
    ("error", "raised", "refused"),
    [
        (ValueError("not JSON"), BrokerGone, 1),  # An item of a Redis list.
        (AttributeError("headers"), BrokerGone, 1),
        (MemoryError(), BrokerGone, 1),
        (KeyError("properties"), BrokerGone, 1),
        (KeyError(7), KeyError, 0),  # A lost file descriptor.
        (IndexError("the channel was closed"), BrokerGone, 0),
        (BrokerGone(), BrokerGone, 0),
        (WorkerLostError("Could not start worker processes"), WorkerLostError, 0),
        (SystemExit(), SystemExit, 0),
    ],
    ids=repr,
)
def test_unforeseen_error_of_the_event_loop_makes_the_worker_reconnect(
    monkeypatch: pytest.MonkeyPatch, error: BaseException, raised: type[BaseException], refused: int
) -> None:
    def fail(*_: Any) -> None:
        raise error

    monkeypatch.setattr(loops, "synloop", fail)
    consumer = a_consumer()
    with pytest.raises(raised):
        consumer.loop()
    assert consumer.refused == refused


@pytest.mark.parametrize(
    ("exit_codes", "usable"), [([], True), ([-9], True), ([-9, -11], True), ([1], False), ([-9, 0], False)]
)
def test_worker_starts_without_a_killed_child_but_not_without_a_broken_one(
    monkeypatch: pytest.MonkeyPatch, exit_codes: list[int], usable: bool
) -> None:
    seen = []

    def look(consumer: Any) -> None:
        seen.append(consumer.pool.did_start_ok())

    monkeypatch.setattr(loops, "synloop", look)
    children: Any = object.__new__(Pool)
    vars(children).update(_join_exited_workers=lambda: exit_codes)
    consumer = a_consumer(children)
    consumer.loop(consumer)
    assert seen == [usable]


def test_pool_without_children_is_usable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loops, "synloop", lambda consumer: consumer.pool.did_start_ok() or pytest.fail("unusable"))
    consumer = a_consumer()
    consumer.loop(consumer)


def test_pool_and_prefetch_are_looked_after_while_the_event_loop_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[Any] = []
    timer = SimpleNamespace(cancel=lambda: calls.append("cancelled"))
    consumer = a_consumer()
    consumer.pool.maintain_pool = object()
    consumer.hub = SimpleNamespace(call_repeatedly=lambda *given: calls.append(given) or timer)
    monkeypatch.setattr(loops, "asynloop", lambda *_: calls.append("running"))
    consumer.loop()
    assert calls[0] == (POOL_CHECK, consumer.pool.maintain_pool)
    assert (calls[1][0], calls[1][1].__func__) == (PERIOD, Prefetch.fit)
    assert calls[2:] == ["running", "cancelled", "cancelled"]
