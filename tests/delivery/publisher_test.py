"""Publishing to a real RabbitMQ that says no, or nothing: what is not confirmed does not count as sent."""

import itertools
import json
import secrets
import uuid
from collections.abc import Iterator, Mapping, Sequence
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
from pacifica.dispatcher.delivery import publisher, rabbitmq_confirms
from pacifica.dispatcher.delivery.publisher import Publisher


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
def opened_publisher(url: str, **settings: Any) -> Iterator[Publisher]:
    """A publisher of an application that has these settings."""
    app = Celery(broker=url, set_as_current=False)
    app.conf.update(settings)
    app.task(name="nothing")(nothing)
    app.finalize()
    with closing(Publisher(app)) as made:
        yield made


def a_message(queue: str | None = None) -> OutboxEntry:
    """What the outbox holds of a job."""
    return OutboxEntry(new_uuid(), "nothing", queue=queue)


def test_what_a_full_queue_rejects_is_refused(rabbitmq_url: str, channel: Any, name: str) -> None:
    full = {"x-max-length": 1, "x-overflow": "reject-publish"}
    channel.queue_declare(name, durable=True, auto_delete=False, arguments=full)
    with opened_publisher(rabbitmq_url, task_queues=[], task_create_missing_queues=True) as made:
        made._app.amqp.queues.add(name, exchange=name, routing_key=name, queue_arguments=full)
        made.publish([a_message(name)])
        with pytest.raises(MessageRefused, match="refused"):
            made.publish([a_message(name)])
    assert channel.queue_declare(name, passive=True).message_count == 1


def test_what_no_queue_takes_is_refused(rabbitmq_url: str, channel: Any, name: str) -> None:
    channel.exchange_declare(name, "direct", durable=True, auto_delete=False)
    to_nobody = {"nothing": {"exchange": name, "routing_key": "nobody"}}
    with opened_publisher(rabbitmq_url, task_routes=to_nobody) as made, pytest.raises(MessageRefused, match="no queue"):
        made.publish([a_message()])


def test_a_queue_that_was_declared_in_another_way_refuses_its_messages(
    rabbitmq_url: str, channel: Any, name: str
) -> None:
    channel.queue_declare(name, durable=True, auto_delete=False, arguments={"x-max-length": 7})
    with opened_publisher(rabbitmq_url) as made:
        with pytest.raises(MessageRefused, match="PreconditionFailed"):
            made.publish([a_message(name)])
        other = f"{name}-other"
        made.publish([a_message(other)])
    assert channel.queue_delete(other) == 1


class Looker:
    """Somebody who wants to see each message."""

    def __init__(self) -> None:
        self.saw: list[str] = []

    def look(self, headers: Mapping[str, Any], **_: Any) -> None:
        """Celery's signal."""
        self.saw.append(headers["id"])


@pytest.fixture
def celerys_own(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The jobs whose message was made by Celery and is no copy of another one."""
    made: list[str] = []

    def send(app: Any, producer: Any, job: OutboxEntry, route: Any, send: Any = publisher.send) -> None:
        made.append(job.uuid)
        send(app, producer, job, route)

    monkeypatch.setattr(publisher, "send", send)
    return made


def taken(url: str, queue: str, **options: Any) -> list[Any]:
    """All that a worker sees of the messages in a queue."""
    found = []
    with Connection(url, connect_timeout=5, transport_options=options) as connection, connection.channel() as channel:
        while (raw := channel.basic_get(queue, no_ack=True)) is not None:
            seen = raw if hasattr(raw, "payload") else channel.message_to_python(raw)
            way = {key: seen.delivery_info[key] for key in ("exchange", "routing_key")}
            properties = {key: value for key, value in seen.properties.items() if key != "delivery_tag"}
            found.append((seen.body, seen.content_type, seen.content_encoding, seen.headers, properties, way))
    return found


def some_jobs(number: int, names: Sequence[str] = (), **told: Any) -> list[OutboxEntry]:
    """Jobs of one kind, each with words of its own in the headers of these names."""
    return [
        OutboxEntry(new_uuid(), "nothing", headers={key: secrets.token_hex(8) for key in names} or None, **told)
        for _ in range(number)
    ]


@pytest.mark.parametrize(
    ("names", "told"),
    [
        ((), {}),
        (("request_id",), {}),
        (("request_id", "traceparent"), {"priority": 5, "retries": 2}),
    ],
)
def test_a_message_that_is_copied_is_the_one_that_celery_makes(
    broker_url: str,
    sqlite_url: str,
    queue_name: str,
    celerys_own: list[str],
    names: Sequence[str],
    told: Mapping[str, Any],
) -> None:
    first, *jobs = some_jobs(6, names, queue=queue_name, **told)
    options = {"peewee_url": sqlite_url} if broker_url == "database://" else {}
    with opened_publisher(broker_url, broker_transport_options=options) as made:
        made.publish([first, *jobs[:3]])
        made.publish(jobs[3:])
        assert celerys_own == [first.uuid]
        copied = taken(broker_url, queue_name, **options)[1:]
        looker = Looker()
        signals.before_task_publish.connect(looker.look)
        made.publish(jobs)
        signals.before_task_publish.disconnect(looker.look)
    assert looker.saw == celerys_own[1:] == [job.uuid for job in jobs]
    assert [headers["id"] for _, _, _, headers, _, _ in copied] == [job.uuid for job in jobs]
    no_workflow = {"callbacks": None, "errbacks": None, "chain": None, "chord": None}
    assert all(json.loads(body) == [[], {}, no_workflow] for body, *_ in copied)
    assert copied == taken(broker_url, queue_name, **options)


def test_a_message_has_no_header_that_says_nothing(rabbitmq_url: str, name: str) -> None:
    says = {"shadow": "other", "time_limit": 3, "group_index": 0, "replaced_task_nesting": 1}
    plain, told = (
        some_jobs(1, ["request_id"], queue=name)[0],
        OutboxEntry(new_uuid(), "nothing", queue=name, headers=says),
    )
    with opened_publisher(rabbitmq_url) as made:
        made.publish([plain, told])
    (_, _, _, said, _, _), (_, _, _, more, _, _) = taken(rabbitmq_url, name)
    who = {"lang": "py", "task": "nothing", "id": plain.uuid, "root_id": plain.uuid, "parent_id": None, "group": None}
    when = {"eta": None, "expires": None, "retries": 0, "ignore_result": False}
    assert said == {**who, **when, **(plain.headers or {})}
    named = {"id": told.uuid, "root_id": told.uuid, "shadow": "other", "timelimit": [3, None]}
    assert more == {**who, **when, **named, "group_index": 0, "replaced_task_nesting": 1}


def test_a_route_that_changes_is_followed_from_the_next_round_on(
    rabbitmq_url: str, channel: Any, name: str, celerys_own: list[str]
) -> None:
    jobs = some_jobs(6)
    other = f"{name}-other"
    with opened_publisher(rabbitmq_url, task_routes={"nothing": {"queue": name}}) as made:
        made.publish(jobs[:2])
        made._app.conf.task_routes = {"nothing": {"queue": other}}
        made._app.amqp.flush_routes()
        made._app.amqp.router = made._app.amqp.Router()
        made.publish(jobs[2:4])
        made.publish(jobs[4:])
    assert celerys_own == [jobs[0].uuid, jobs[2].uuid]
    assert [headers["id"] for _, _, _, headers, _, _ in taken(rabbitmq_url, name)] == [job.uuid for job in jobs[:2]]
    assert channel.queue_delete(other) == 4


def test_a_router_of_the_users_own_is_asked_for_each_message(rabbitmq_url: str, channel: Any, name: str) -> None:
    queues = itertools.cycle([name, f"{name}-other"])
    with opened_publisher(rabbitmq_url, task_routes=lambda *_, **__: {"queue": next(queues)}) as made:
        made.publish(some_jobs(3))
        made.publish(some_jobs(3))
    assert channel.queue_delete(f"{name}-other") == 3
    assert channel.queue_declare(name, passive=True).message_count == 3


def test_a_message_that_cannot_be_made_is_sent_with_none_of_its_round(
    rabbitmq_url: str, channel: Any, name: str
) -> None:
    jobs = some_jobs(5, queue=name)
    bad = replace(jobs[0], headers={"link": 1, "no": "option of Celery's", "task_id": "twice"})
    with opened_publisher(rabbitmq_url) as made:
        made.publish(jobs[:1])
        with pytest.raises(TypeError):
            made.publish([*jobs[1:3], bad])
        made.publish(jobs[3:])
    assert channel.queue_declare(name, passive=True).message_count == 3


def test_a_large_round_is_confirmed_whole(rabbitmq_url: str, channel: Any, name: str) -> None:
    with opened_publisher(rabbitmq_url) as made:
        made.publish(some_jobs(rabbitmq_confirms.AT_ONCE * 2 + 5, queue=name))
    assert channel.queue_declare(name, passive=True).message_count == rabbitmq_confirms.AT_ONCE * 2 + 5


def test_a_message_that_is_not_confirmed_in_time_does_not_count(
    rabbitmq_url: str, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rabbitmq_confirms, "CONFIRM_TIMEOUT", 0.3)
    with opened_publisher(rabbitmq_url) as made:
        made.publish([a_message(name)])
        monkeypatch.setattr(rabbitmq_confirms.Confirms, "_on_ack", lambda *_: None)
        made.close()
        with pytest.raises(BrokerUnavailable):
            made.publish([a_message(name)])


def test_a_connection_that_cannot_even_be_closed_ends_nobody(redis_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What kombu raises when Redis was killed while a worker had messages in hand."""
    app = Container(lambda: load_settings(environ={"BROKER_URL": redis_url, "HOME": "/nonexistent"})).app
    connection = app.connection_for_read()

    def fail() -> None:
        raise AttributeError("'NoneType' object has no attribute 'hostname'")

    connection.connect()
    monkeypatch.setattr(connection.default_channel, "close", fail)
    connection.close()
    monkeypatch.undo()
    connection.close()
