"""Checks of the configured broker, for commands that do not use it otherwise."""

import time
from collections.abc import Mapping, Sequence

from celery import Celery
from kombu.connection import Connection

from ..core.errors import BrokerUnavailable
from .broker_connection import connect, errors_of

ANSWER_TIMEOUT = 1.0
"""Seconds that workers have to answer."""


def load_transport(url: str) -> None:
    """Import the transport of a broker URL without connecting; raises the exceptions of kombu and of the driver."""
    Connection(url).transport  # noqa: B018 - the property imports it


def greet_broker(app: Celery) -> float:
    """Connect and log in to the broker, and return how many seconds that took; raises ``BrokerUnavailable``."""
    start = time.monotonic()
    with app.connection_for_write() as connection:
        try:
            connect(connection)
        except errors_of(connection) as error:
            reason = " ".join(map(str, error.args[-1:])) or type(error).__name__
            raise BrokerUnavailable(f"The broker cannot be reached ({reason}).") from error
    return time.monotonic() - start


def broker_name(app: Celery) -> str:
    """The broker's URL, without its password."""
    return str(app.connection_for_write().as_uri())


def answering_workers(app: Celery, expected: int) -> Mapping[str, Sequence[str]]:
    """The workers that answer through the broker, each with the queues that it consumes.

    Returns after ``ANSWER_TIMEOUT``, or as soon as the ``expected`` number has answered. Raises
    ``BrokerUnavailable``.
    """
    greet_broker(app)
    answers = app.control.inspect(timeout=ANSWER_TIMEOUT, limit=expected or None).active_queues() or {}
    return {worker: [str(queue["name"]) for queue in queues] for worker, queues in answers.items()}


def answers(app: Celery, worker: str) -> bool:
    """Whether this worker answers through the broker within ``ANSWER_TIMEOUT``; raises ``BrokerUnavailable``."""
    greet_broker(app)
    return bool(app.control.inspect([worker], timeout=ANSWER_TIMEOUT, limit=1).ping())
