"""Publishing to a real RabbitMQ that says no, or nothing: what is not confirmed does not count as sent."""

import uuid
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any

import pytest
from celery import Celery
from kombu.connection import Connection

from pacifica.dispatcher import broker
from pacifica.dispatcher.app import DispatcherApp
from pacifica.dispatcher.broker import Publisher
from pacifica.dispatcher.errors import BrokerUnavailable, MessageRefused
from pacifica.dispatcher.job import Outgoing, new_uuid
from pacifica.dispatcher.settings import load_settings


@pytest.fixture
def channel(rabbitmq_url: str) -> Iterator[Any]:
    """A channel of the test's own."""
    with Connection(rabbitmq_url, connect_timeout=5) as connection, connection.channel() as opened:
        yield opened


@pytest.fixture
def name(channel: Any) -> Iterator[str]:
    """A name for a queue or an exchange, of which nothing stays."""
    made = f"test-{uuid.uuid4().hex}"
    yield made
    channel.queue_delete(made)
    channel.exchange_delete(made)


def nothing() -> None:
    """A task's body."""


@contextmanager
def publisher(url: str, **settings: Any) -> Iterator[Publisher]:
    """A publisher of an application that has these settings."""
    app = Celery(broker=url, set_as_current=False)
    app.conf.update(settings)
    app.task(name="nothing")(nothing)
    app.finalize()
    with closing(Publisher(app)) as made:
        yield made


def a_message(queue: str | None = None) -> Outgoing:
    """What the outbox holds of a job."""
    return Outgoing(new_uuid(), "nothing", queue=queue)


def test_what_a_full_queue_rejects_is_refused(rabbitmq_url: str, channel: Any, name: str) -> None:
    full = {"x-max-length": 1, "x-overflow": "reject-publish"}
    channel.queue_declare(name, durable=True, auto_delete=False, arguments=full)
    with publisher(rabbitmq_url, task_queues=[], task_create_missing_queues=True) as made:
        made._app.amqp.queues.add(name, exchange=name, routing_key=name, queue_arguments=full)
        made.publish([a_message(name)])
        with pytest.raises(MessageRefused, match="refused"):
            made.publish([a_message(name)])
    assert channel.queue_declare(name, passive=True).message_count == 1


def test_what_no_queue_takes_is_refused(rabbitmq_url: str, channel: Any, name: str) -> None:
    channel.exchange_declare(name, "direct", durable=True, auto_delete=False)
    to_nobody = {"nothing": {"exchange": name, "routing_key": "nobody"}}
    with publisher(rabbitmq_url, task_routes=to_nobody) as made, pytest.raises(MessageRefused, match="no queue"):
        made.publish([a_message()])


def test_a_queue_that_was_declared_in_another_way_refuses_its_messages(
    rabbitmq_url: str, channel: Any, name: str
) -> None:
    channel.queue_declare(name, durable=True, auto_delete=False, arguments={"x-max-length": 7})
    with publisher(rabbitmq_url) as made:
        with pytest.raises(MessageRefused, match="PreconditionFailed"):
            made.publish([a_message(name)])
        other = f"{name}-other"
        made.publish([a_message(other)])
    assert channel.queue_delete(other) == 1


def test_a_message_that_is_not_confirmed_in_time_does_not_count(
    rabbitmq_url: str, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(broker, "CONFIRM_TIMEOUT", 0.3)
    with publisher(rabbitmq_url) as made:
        made.publish([a_message(name)])
        monkeypatch.setattr(broker.Confirms, "_on_ack", lambda *_: None)
        made.close()
        with pytest.raises(BrokerUnavailable):
            made.publish([a_message(name)])


def test_a_connection_that_cannot_even_be_closed_ends_nobody(redis_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What kombu raises when Redis was killed while a worker had messages in hand."""
    app = DispatcherApp(lambda: load_settings(environ={"BROKER_URL": redis_url, "HOME": "/nonexistent"}))
    connection = app.connection_for_read()

    def fail() -> None:
        raise AttributeError("'NoneType' object has no attribute 'hostname'")

    connection.connect()
    monkeypatch.setattr(connection.default_channel, "close", fail)
    connection.close()
    monkeypatch.undo()
    connection.close()
