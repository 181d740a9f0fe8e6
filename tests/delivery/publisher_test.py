"""Publishing to a real RabbitMQ that refuses a message or stays silent: only confirmed messages count as sent."""

import itertools
import json
import secrets
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import replace
from typing import Any

import pytest
from celery import Celery, signals
from kombu.connection import Connection

from pacifica.dispatcher.config.load import load_settings
from pacifica.dispatcher.container import Container
from pacifica.dispatcher.core.errors import BrokerUnavailable, MessageRefused
from pacifica.dispatcher.core.job import OutboxEntry, new_uuid
from pacifica.dispatcher.delivery import publisher, rabbitmq_confirms, task_message
from pacifica.dispatcher.delivery.publisher import Publisher

from ..services import RABBITMQ, REDIS


@pytest.fixture
def channel(rabbitmq_url: str) -> Iterator[Any]:
    """A channel that only the test uses."""
    with Connection(rabbitmq_url, connect_timeout=5) as connection, connection.channel() as opened:
        yield opened


@pytest.fixture
def name(channel: Any) -> Iterator[str]:
    """A name for a queue or an exchange, which are deleted at the end of the test."""
    made = f"test-{uuid.uuid4().hex}"
    yield made
    channel.queue_delete(made)
    channel.exchange_delete(made)


def nothing() -> None:
    """A task's function."""


def an_app(url: str, **settings: Any) -> Celery:
    """An application with these settings and the task "nothing"."""
    app = Celery(broker=url, set_as_current=False)
    app.conf.update(settings)
    app.task(name="nothing")(nothing)
    app.finalize()
    return app


@contextmanager
def opened_publisher(url: str, **settings: Any) -> Iterator[Publisher]:
    """A publisher of an application with these settings."""
    with closing(Publisher(an_app(url, **settings))) as made:
        yield made


def a_message(queue: str | None = None) -> OutboxEntry:
    """An entry of the outbox."""
    return OutboxEntry(new_uuid(), "nothing", queue=queue)


def test_message_for_a_full_queue_is_refused(rabbitmq_url: str, channel: Any, name: str) -> None:
    full = {"x-max-length": 1, "x-overflow": "reject-publish"}
    channel.queue_declare(name, durable=True, auto_delete=False, arguments=full)
    app = an_app(rabbitmq_url, task_queues=[], task_create_missing_queues=True)
    app.amqp.queues.add(name, exchange=name, routing_key=name, queue_arguments=full)
    with closing(Publisher(app)) as made:
        made.publish([a_message(name)])
        with pytest.raises(MessageRefused, match="refused"):
            made.publish([a_message(name)])
    assert channel.queue_declare(name, passive=True).message_count == 1


def test_message_that_no_queue_takes_is_refused(rabbitmq_url: str, channel: Any, name: str) -> None:
    channel.exchange_declare(name, "direct", durable=True, auto_delete=False)
    unbound = {"nothing": {"exchange": name, "routing_key": "unbound"}}
    with opened_publisher(rabbitmq_url, task_routes=unbound) as made, pytest.raises(MessageRefused, match="no queue"):
        made.publish([a_message()])


def test_queue_declared_with_other_arguments_takes_messages(rabbitmq_url: str, channel: Any, name: str) -> None:
    channel.queue_declare(name, durable=True, auto_delete=False, arguments={"x-max-length": 7})
    other = f"{name}-other"
    with opened_publisher(rabbitmq_url, task_queue_max_priority=9) as made:
        made.publish([a_message(other)])
        made.publish([a_message(name), a_message(name)])
        made.publish([a_message(name)])
    assert channel.queue_declare(name, passive=True).message_count == 3
    assert channel.queue_delete(other) == 1


class SignalReceiver:
    """Notes the ids of all messages that Celery's signal announces."""

    def __init__(self) -> None:
        self.ids: list[str] = []

    def receive(self, headers: Mapping[str, Any], **_: Any) -> None:
        """Receive Celery's signal ``before_task_publish``."""
        self.ids.append(headers["id"])


@pytest.fixture
def made_by_celery(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The ids of the jobs whose message Celery made, and did not copy."""
    made: list[str] = []

    def send(app: Any, producer: Any, job: OutboxEntry, route: Any, send: Any = task_message.send) -> None:
        made.append(job.uuid)
        send(app, producer, job, route)

    monkeypatch.setattr(publisher, "send", send)
    return made


def received(url: str, queue: str) -> list[Any]:
    """Everything that a worker sees of the messages in a queue."""
    found = []
    with Connection(url, connect_timeout=5) as connection, connection.channel() as channel:
        while (raw := channel.basic_get(queue, no_ack=True)) is not None:
            seen = raw if hasattr(raw, "payload") else channel.message_to_python(raw)
            way = {key: seen.delivery_info[key] for key in ("exchange", "routing_key")}
            properties = {key: value for key, value in seen.properties.items() if key != "delivery_tag"}
            found.append((seen.body, seen.content_type, seen.content_encoding, seen.headers, properties, way))
    return found


def some_jobs(number: int, names: Sequence[str] = (), **fields: Any) -> list[OutboxEntry]:
    """Jobs of one kind that differ in the values of these headers."""
    return [
        OutboxEntry(new_uuid(), "nothing", headers={key: secrets.token_hex(8) for key in names} or None, **fields)
        for _ in range(number)
    ]


@pytest.mark.parametrize("kind", [RABBITMQ, REDIS])
@pytest.mark.parametrize(
    ("names", "fields"),
    [
        ((), {}),
        (("request_id",), {}),
        (("request_id", "traceparent"), {"priority": 5, "retries": 2}),
    ],
)
def test_copied_message_equals_the_one_that_celery_makes(
    make_broker: Callable[[str], str],
    kind: str,
    queue_name: str,
    made_by_celery: list[str],
    names: Sequence[str],
    fields: Mapping[str, Any],
) -> None:
    first, *jobs = some_jobs(6, names, queue=queue_name, **fields)
    broker_url = make_broker(kind)
    with opened_publisher(broker_url) as made:
        made.publish([first, *jobs[:3]])
        made.publish(jobs[3:])
        assert made_by_celery == [first.uuid]
        copied = received(broker_url, queue_name)[1:]
        receiver = SignalReceiver()
        signals.before_task_publish.connect(receiver.receive)
        made.publish(jobs)
        signals.before_task_publish.disconnect(receiver.receive)
    assert receiver.ids == made_by_celery[1:] == [job.uuid for job in jobs]
    assert [headers["id"] for _, _, _, headers, _, _ in copied] == [job.uuid for job in jobs]
    no_workflow = {"callbacks": None, "errbacks": None, "chain": None, "chord": None}
    assert all(json.loads(body) == [[], {}, no_workflow] for body, *_ in copied)
    assert copied == received(broker_url, queue_name)


def test_message_has_no_header_that_repeats_a_default(rabbitmq_url: str, name: str) -> None:
    headers = {"shadow": "other", "time_limit": 3, "group_index": 0, "replaced_task_nesting": 1}
    plain = some_jobs(1, ["request_id"], queue=name)[0]
    special = OutboxEntry(new_uuid(), "nothing", queue=name, headers=headers)
    with opened_publisher(rabbitmq_url) as made:
        made.publish([plain, special])
    (_, _, _, plain_headers, _, _), (_, _, _, special_headers, _, _) = received(rabbitmq_url, name)
    common = {"lang": "py", "task": "nothing", "parent_id": None, "group": None}
    common |= {"eta": None, "expires": None, "retries": 0, "ignore_result": False}
    assert plain_headers == {**common, "id": plain.uuid, "root_id": plain.uuid, **(plain.headers or {})}
    named = {"id": special.uuid, "root_id": special.uuid, "shadow": "other", "timelimit": [3, None]}
    assert special_headers == {**common, **named, "group_index": 0, "replaced_task_nesting": 1}


def test_changed_route_applies_from_the_next_round(
    rabbitmq_url: str, channel: Any, name: str, made_by_celery: list[str]
) -> None:
    jobs = some_jobs(6)
    other = f"{name}-other"
    app = an_app(rabbitmq_url, task_routes={"nothing": {"queue": name}})
    with closing(Publisher(app)) as made:
        made.publish(jobs[:2])
        app.conf.task_routes = {"nothing": {"queue": other}}
        app.amqp.flush_routes()
        app.amqp.router = app.amqp.Router()
        made.publish(jobs[2:4])
        made.publish(jobs[4:])
    assert made_by_celery == [jobs[0].uuid, jobs[2].uuid]
    assert [headers["id"] for _, _, _, headers, _, _ in received(rabbitmq_url, name)] == [job.uuid for job in jobs[:2]]
    assert channel.queue_delete(other) == 4


def test_router_of_the_user_is_called_for_each_message(rabbitmq_url: str, channel: Any, name: str) -> None:
    queues = itertools.cycle([name, f"{name}-other"])
    with opened_publisher(rabbitmq_url, task_routes=lambda *_, **__: {"queue": next(queues)}) as made:
        made.publish(some_jobs(3))
        made.publish(some_jobs(3))
    assert channel.queue_delete(f"{name}-other") == 3
    assert channel.queue_declare(name, passive=True).message_count == 3


def test_round_with_a_message_that_cannot_be_made_is_not_sent(rabbitmq_url: str, channel: Any, name: str) -> None:
    jobs = some_jobs(5, queue=name)
    bad = replace(jobs[0], headers={"link": 1, "no": "option of Celery's", "task_id": "twice"})
    with opened_publisher(rabbitmq_url) as made:
        made.publish(jobs[:1])
        with pytest.raises(TypeError):
            made.publish([*jobs[1:3], bad])
        made.publish(jobs[3:])
    assert channel.queue_declare(name, passive=True).message_count == 3


def test_large_round_is_confirmed_completely(rabbitmq_url: str, channel: Any, name: str) -> None:
    with opened_publisher(rabbitmq_url) as made:
        made.publish(some_jobs(rabbitmq_confirms.LARGEST_WRITE * 2 + 5, queue=name))
    assert channel.queue_declare(name, passive=True).message_count == rabbitmq_confirms.LARGEST_WRITE * 2 + 5


def test_message_that_is_not_confirmed_in_time_does_not_count(
    rabbitmq_url: str, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rabbitmq_confirms, "CONFIRM_TIMEOUT", 0.3)
    with opened_publisher(rabbitmq_url) as made:
        made.publish([a_message(name)])
        monkeypatch.setattr(rabbitmq_confirms.Confirms, "_on_ack", lambda *_: None)
        made.close()
        with pytest.raises(BrokerUnavailable):
            made.publish([a_message(name)])


def test_closing_a_connection_to_a_lost_redis_raises_nothing(redis_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """kombu raises it if Redis was killed while the worker held messages."""
    app = Container(lambda: load_settings(environ={"BROKER_URL": redis_url, "HOME": "/nonexistent"})).app
    connection = app.connection_for_read()

    def fail() -> None:
        raise AttributeError("'NoneType' object has no attribute 'hostname'")

    connection.connect()
    monkeypatch.setattr(connection.default_channel, "close", fail)
    connection.close()
    monkeypatch.undo()
    connection.close()
