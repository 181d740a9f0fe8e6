"""Publishing the messages of jobs, with the broker's confirmation.

Messages that are published together are a round. Celery makes the first message of a kind; the others are copies with
other ids (``message_template``), which take a tenth of the time.
"""

import threading
from collections.abc import Hashable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any

from celery import Celery, signals
from celery.app.routes import MapRoute
from kombu.connection import Connection
from kombu.messaging import Producer

from ..core.errors import BrokerUnavailable, MessageRefused
from ..core.job import OutboxEntry
from .broker_connection import connect, errors_of
from .existing_queues import accept_existing, is_conflict
from .kombu_batch import BatchRound
from .message_template import TemplateCache, template_key
from .rabbitmq_confirms import ConfirmRound
from .task_message import ORIGIN_HEADERS, route_job, send, tracing_of

PUBLISH_SIGNALS = (signals.before_task_publish, signals.after_task_publish, signals.task_sent)
"""The signals that Celery sends for each message."""


class Publisher:
    """Sends messages over its own connection, which it opens when it is first needed.

    For one thread at a time. It must not be used both before and after a fork.
    """

    def __init__(self, app: Celery) -> None:
        self._app = app
        self._connection: Connection | None = None
        self._producer: Producer | None = None
        self._round: ConfirmRound | BatchRound | None = None
        self._templates = TemplateCache()
        self._conflict = False
        self._lock = threading.Lock()

    def publish(self, jobs: Sequence[OutboxEntry]) -> None:
        """Return when the broker has confirmed every message.

        RabbitMQ gets all of them in one write before the first confirmation is awaited, Redis in one pipeline.

        Raises ``BrokerUnavailable``. Raises ``MessageRefused`` if the broker refuses one of the messages; it may
        have taken others. A queue that exists with other arguments is used as it is.
        """
        with self._lock:
            try:
                with self._translate_errors():
                    self._send_all(jobs)
            except MessageRefused:
                if not self._conflict:
                    raise
                with self._translate_errors():
                    self._send_all(jobs)

    def greet(self) -> None:
        """Return when the broker has answered; raises ``BrokerUnavailable``.

        A new channel makes every kind of broker answer: RabbitMQ opens it, Redis gets a ping.
        """
        with self._lock, self._translate_errors():
            producer = self._open()
            producer.connection.channel().close()

    def close(self) -> None:
        """Close the connection, whatever state it is in; the next message opens another one."""
        connection, self._connection, self._producer, self._round = self._connection, None, None, None
        self._templates = TemplateCache()
        if connection is not None:
            with suppress(*errors_of(connection)):
                connection.collect(socket_timeout=1)

    @contextmanager
    def _translate_errors(self) -> Iterator[None]:
        """Close the connection after any error of the broker, and raise the service's own error."""
        try:
            yield
        except (BrokerUnavailable, MessageRefused):
            self.close()
            raise
        except self._refusals() as error:
            self.close()
            self._conflict = is_conflict(error)
            raise MessageRefused(f"The broker refuses a message ({type(error).__name__}).") from error
        except errors_of(self._connection) as error:
            self.close()
            raise BrokerUnavailable(f"The broker cannot be reached ({type(error).__name__}).") from error

    def _send_all(self, jobs: Sequence[OutboxEntry]) -> None:
        producer = self._open()
        if self._round is not None:
            self._round.discard()  # The rest of a round in which one message could not be made.
        with producer.batch():
            if self._round is not None and _allows_copies(self._app):
                self._copy_all(producer, self._round, jobs)
            else:
                for job in jobs:
                    send(self._app, producer, job, route_job(self._app, producer, job))
        if self._round is not None:
            self._round.settle()

    def _copy_all(self, producer: Producer, messages: ConfirmRound | BatchRound, jobs: Sequence[OutboxEntry]) -> None:
        """Have Celery make the first message of each kind, and of each new route; copy the others."""
        templates: dict[Hashable, Any] = {}
        for job in jobs:
            key, words = template_key(job, ORIGIN_HEADERS)
            template = templates.get(key)
            if template is None:
                route = route_job(self._app, producer, job)
                template = self._templates.find(key, route)
                if template is None:
                    send(self._app, producer, job, route)
                    if key is not None:
                        self._templates.keep(key, route, messages.template(words))
                    continue
                templates[key] = template
            messages.publish_copy(template, words)

    def _open(self) -> Producer:
        if self._producer is None:
            # A round waits once for all its confirmations; py-amqp's own confirm_publish waits for each message.
            self._connection = self._app.connection_for_write(transport_options={"confirm_publish": False})
            connect(self._connection)
            if self._conflict:
                accept_existing(self._connection, self._app.amqp.queues.values())
                self._conflict = False
            self._producer = self._app.amqp.Producer(self._connection, auto_declare=False)
            if hasattr(channel := self._producer.channel, "confirm_select"):
                self._round = ConfirmRound(channel)
            elif self._producer.supports_batch_publish:
                self._round = BatchRound(channel, ORIGIN_HEADERS)
        return self._producer

    def _refusals(self) -> tuple[type[Exception], ...]:
        """The exceptions by which the broker refuses a request while the connection itself is sound."""
        return () if self._connection is None else tuple(self._connection.channel_errors)


def _allows_copies(app: Celery) -> bool:
    """Whether nothing needs to see each message: neither tracing, nor a signal's receiver, nor a user's router."""
    return not (
        tracing_of(app).on
        or any(signal.receivers for signal in PUBLISH_SIGNALS)
        or any(type(route) is not MapRoute for route in app.amqp.router.routes)
    )
