"""Sending a job's message: Celery's protocol 2, with the broker's confirmation.

The message names task and job and carries no arguments: the worker reads them from the row when it
claims the job. Source: https://docs.celeryq.dev/en/stable/internals/protocol.html#version-2
"""

import json
import logging
import threading
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from typing import Any

from celery import Celery, signals
from celery.app.routes import MapRoute
from kombu.connection import Connection
from kombu.exceptions import KombuError
from kombu.exceptions import OperationalError as KombuOperationalError
from kombu.messaging import Producer
from kombu.utils.json import dumps as kombu_dumps
from kombu.utils.json import loads as kombu_loads

from ..core.errors import BrokerUnavailable, DatabaseUnavailable, MessageRefused
from ..core.job import OutboxEntry
from ..core.tracing import NoTracing, Tracing
from .kombu_batch import BatchRound
from .message_template import Stencils, likeness
from .rabbitmq_confirms import Round

logger = logging.getLogger(__name__)

TRANSPORT_OPTIONS: Mapping[str, Mapping[str, Any]] = {
    "amqp": {"confirm_publish": True, "read_timeout": 5, "write_timeout": 5},
    "redis": {"socket_timeout": 5, "socket_connect_timeout": 2, "socket_keepalive": True, "health_check_interval": 10},
}
"""By kombu's driver type: publishing is confirmed, and no socket waits for ever (seconds)."""
HIGHEST = 9
"""The priority that goes first."""
NO_SUCH_QUEUE = "404"
"""AMQP's reply code (not-found)."""
MESSAGE_HEADERS = (
    "link",
    "link_error",
    "chain",
    "chord",
    "group_id",
    "group_index",
    "root_id",
    "parent_id",
    "reply_to",
    "shadow",
    "time_limit",
    "soft_time_limit",
    "replaced_task_nesting",
)
"""What a Celery workflow says of a job in the message's headers; kept in the row until it is sent."""
UNSAID: Mapping[str, Any] = {
    "shadow": None,
    "group_index": None,
    "timelimit": [None, None],
    "argsrepr": "()",
    "kwargsrepr": "{}",
    "replaced_task_nesting": 0,
    "stamped_headers": None,
    "stamps": {},
}
"""Headers of protocol 2 that a message may do without, each with the value that says as much as none."""
ORIGIN = "origin"
"""The header that names the process which happens to send a message; where its job comes from is in the record."""
UNTRACED = NoTracing()
OWN_HEADERS = ("traceparent", "request_id")
"""Headers of ours that go with a message as they are: where the job comes from."""
PUBLISHING = (signals.before_task_publish, signals.after_task_publish, signals.task_sent)
"""Celery's signals of each message."""


def keep_headers(options: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """The JSON values of a workflow's headers; ``None`` when there are none, as for most jobs."""
    headers = {key: options[key] for key in MESSAGE_HEADERS if options.get(key) not in (None, 0, [], ())}
    return json.loads(kombu_dumps(headers)) if headers else None


class Publisher:
    """Sends messages over one connection of its own, opened when it is first needed.

    For one thread at a time; it must not be used before a fork and after it.
    """

    def __init__(self, app: Celery) -> None:
        self._app = app
        self._connection: Connection | None = None
        self._producer: Producer | None = None
        self._round: Round | BatchRound | None = None
        self._stencils = Stencils()
        self._turn = threading.Lock()

    def publish(self, jobs: Sequence[OutboxEntry]) -> None:
        """Return when the broker has confirmed every message.

        Raises ``BrokerUnavailable``, and ``MessageRefused`` when the broker is there and does not take one of
        them; others may have been sent. RabbitMQ gets all of them in one write before the first confirmation is
        waited for, Redis in one pipeline.
        """
        with self._turn, self._translated():
            self._send_all(jobs)

    def greet(self) -> None:
        """Return when the broker has answered; raises ``BrokerUnavailable``.

        A new channel is what each broker must answer for: RabbitMQ opens it, Redis is pinged.
        """
        with self._turn, self._translated():
            producer = self._open()
            producer.connection.channel().close()

    def close(self) -> None:
        """Close the connection, whatever state it is in; the next message opens another."""
        connection, self._connection, self._producer, self._round = self._connection, None, None, None
        self._stencils = Stencils()
        if connection is not None:
            with suppress(*self._errors(connection)):
                connection.collect(socket_timeout=1)

    @contextmanager
    def _translated(self) -> Iterator[None]:
        """Close the connection on whatever goes wrong with it, and say what that was."""
        try:
            yield
        except DatabaseUnavailable as error:
            raise BrokerUnavailable(f"The broker, which is the database, is away. {error}") from error
        except (BrokerUnavailable, MessageRefused):
            self.close()
            raise
        except self._refusals() as error:
            self.close()
            raise MessageRefused(f"The broker refuses a message ({type(error).__name__}).") from error
        except self._errors() as error:
            self.close()
            raise BrokerUnavailable(f"The broker cannot be reached ({type(error).__name__}).") from error

    def _send_all(self, jobs: Sequence[OutboxEntry]) -> None:
        producer = self._open()
        if self._round is not None:
            self._round.discard()  # What is left of a round in which a message could not be made.
        with producer.batch():
            if self._round is not None and _unwatched(self._app):
                self._copy_all(producer, self._round, jobs)
            else:
                for job in jobs:
                    send(self._app, producer, job, routed(self._app, producer, job))
        if self._round is not None:
            self._round.settle()

    def _copy_all(self, producer: Producer, messages: Round | BatchRound, jobs: Sequence[OutboxEntry]) -> None:
        """Celery makes the first message of a kind, and those that go another way than the ones before."""
        sure: dict[Hashable, Any] = {}
        for job in jobs:
            kind, words = likeness(job, OWN_HEADERS)
            found = sure.get(kind)
            if found is None:
                route = routed(self._app, producer, job)
                found = self._stencils.find(kind, route)
                if found is None:
                    send(self._app, producer, job, route)
                    if kind is not None:
                        self._stencils.keep(kind, route, messages.stencil(words))
                    continue
                sure[kind] = found
            messages.publish_copy(found, words)

    def _open(self) -> Producer:
        if self._producer is None:
            # One wait for many confirmations: pyamqp's own confirm_publish waits for each.
            self._connection = self._app.connection_for_write(transport_options={"confirm_publish": False})
            self._connection.ensure_connection(max_retries=1, interval_start=0, timeout=5)
            self._producer = self._app.amqp.Producer(self._connection, auto_declare=False)
            if hasattr(channel := self._producer.channel, "confirm_select"):
                self._round = Round(channel)
            elif self._producer.supports_batch_publish:
                self._round = BatchRound(channel, OWN_HEADERS)
        return self._producer

    def _refusals(self) -> tuple[type[Exception], ...]:
        """What the transport raises when the broker says no to what was asked for, and not to the connection."""
        return () if self._connection is None else tuple(self._connection.channel_errors)

    def _errors(self, connection: Connection | None = None) -> tuple[type[Exception], ...]:
        known = connection or self._connection
        own = () if known is None else (*known.connection_errors, *known.channel_errors)
        return (KombuError, KombuOperationalError, OSError, *own)


class Depth:
    """How many messages wait in a queue, asked on a connection of its own for each question."""

    def __init__(self, app: Celery) -> None:
        self._app = app

    def queue_of(self, task: str, queue: str | None) -> str | None:
        """The queue that jobs of this task, or those of them that name a ``queue``, are sent to.

        ``None`` when it cannot be told, as a route names an exchange.
        """
        routed = _routed(self._app, task, {"queue": queue}).get("queue")
        return None if routed is None else str(routed.name)

    def ready(self, name: str) -> int | None:
        """The messages of a queue that no worker has yet; ``None`` when the broker does not say."""
        try:
            with self._app.connection_for_write() as connection:
                connection.ensure_connection(max_retries=1, interval_start=0, timeout=5)
                try:
                    return int(connection.default_channel.queue_declare(name, passive=True).message_count)
                except connection.channel_errors as error:
                    return 0 if str(getattr(error, "reply_code", "")) == NO_SUCH_QUEUE else None
        except (KombuError, OSError, DatabaseUnavailable):
            return None


def closes_in_any_case(connection: Connection) -> None:
    """Have ``close`` end well for a connection to a Redis that is gone.

    kombu's channel gives back what it has in hand, and asks a connection that it has just dropped for its
    parameters; the ``AttributeError`` would end the worker that closes it, in place of connecting anew.
    """
    close: Callable[[], None] = connection.close

    def close_it() -> None:
        try:
            close()
        except AttributeError:
            logger.debug("closing the connection to a Redis that is gone failed", exc_info=True)

    vars(connection)["close"] = close_it


def send(app: Celery, producer: Producer, job: OutboxEntry, route: Mapping[str, Any]) -> None:
    """Have Celery make the message of one job, and publish it."""
    kept = job.headers or {}
    own = {name: kept[name] for name in OWN_HEADERS if name in kept}
    headers = kombu_loads(json.dumps(kept)) if len(kept) > len(own) else {}
    for name in own:
        headers.pop(name, None)
    message = app.amqp.as_task_v2(
        job.uuid,
        job.task,
        (),
        {},
        retries=job.retries,
        expires=_moment(job.expires),
        callbacks=_listed(headers.pop("link", None)),
        errbacks=_listed(headers.pop("link_error", None)),
        argsrepr="()",
        kwargsrepr="{}",
        ignore_result=False,
        **headers,
    )
    _say_less(message.headers)
    message.headers.update(own)
    queue = getattr(route.get("queue"), "name", None) or str(route.get("routing_key") or "")
    with _tracing(app).sending(job.uuid, queue, own.get("traceparent")) as context:
        if context is not None:
            message.headers["traceparent"] = context
        app.amqp.send_task_message(producer, job.task, message, retry=False, mandatory=True, **route)


def _say_less(headers: dict[str, Any]) -> None:
    """Leave out the headers that say nothing: a worker decodes each of them for each job."""
    headers.pop(ORIGIN, None)
    for name, nothing in UNSAID.items():
        if headers.get(name) == nothing:
            headers.pop(name, None)


def _unwatched(app: Celery) -> bool:
    """Whether nobody wants to see each message by itself: no span, no receiver of a signal, no router of the user's."""
    routes = app.amqp.router.routes
    return not (
        _tracing(app).on
        or any(signal.receivers for signal in PUBLISHING)
        or any(type(route) is not MapRoute for route in routes)
    )


def _tracing(app: Celery) -> Tracing:
    found: Tracing = getattr(getattr(app, "container", None), "tracing", UNTRACED)
    return found


OURS = frozenset({"expires", "time_limit", "soft_time_limit", "ignore_result", "mandatory", "immediate", "serializer"})
"""Options of a Celery task that are handled elsewhere, or are not its to choose."""


def routed(app: Celery, producer: Producer, job: OutboxEntry) -> dict[str, Any]:
    """How the message of a job is sent."""
    options = _routed(app, job.task, {"queue": job.queue, "priority": job.priority})
    if producer.connection.transport.driver_type == "redis":
        options["priority"] = HIGHEST - (options.get("priority") or 0)  # kombu's Redis takes 0 before 9
    return options


def _routed(app: Celery, name: str, own: Mapping[str, Any]) -> dict[str, Any]:
    """How a message is sent: the job's own options, over those of its task, over the routes of the configuration."""
    task = app.tasks.get(name)
    given = {
        **(task._get_exec_options() if task is not None else {}),
        **{k: v for k, v in own.items() if v is not None},
    }
    # What a task leaves open is None, and would stand over a route's own value, or over ours.
    options = {key: value for key, value in given.items() if value is not None and key not in OURS}
    routed: dict[str, Any] = app.amqp.router.route(options, name, (), {}, task)
    return routed


def _listed(value: Any) -> list[Any] | None:
    return value if value is None or isinstance(value, list) else [value]


def _moment(micros: int | None) -> datetime | None:
    return None if micros is None else datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=micros)
