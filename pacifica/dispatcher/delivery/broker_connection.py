"""Opening connections to the broker: their options, their time limit and their errors."""

import logging
from collections.abc import Callable, Mapping
from typing import Any

from kombu.connection import Connection
from kombu.exceptions import KombuError

logger = logging.getLogger(__name__)

TRANSPORT_OPTIONS: Mapping[str, Mapping[str, Any]] = {
    "amqp": {"confirm_publish": True, "read_timeout": 5, "write_timeout": 5},
    "redis": {"socket_timeout": 5, "socket_connect_timeout": 2, "socket_keepalive": True, "health_check_interval": 10},
}
"""By kombu's driver type: publishing is confirmed, and no socket waits without a limit (seconds)."""

CONNECT_TIMEOUT = 5.0
"""Seconds that the broker may take to accept a connection."""


def connect(connection: Connection) -> None:
    """Open a connection, with one retry; raises one of ``errors_of``."""
    connection.ensure_connection(max_retries=1, interval_start=0, timeout=CONNECT_TIMEOUT)


def errors_of(connection: Connection | None) -> tuple[type[Exception], ...]:
    """The exceptions that opening and using a connection may raise."""
    own = () if connection is None else (*connection.connection_errors, *connection.channel_errors)
    return (KombuError, OSError, *own)


def tolerate_lost_redis(connection: Connection) -> None:
    """Make ``close`` succeed on a connection whose Redis is gone.

    kombu's channel returns its unacknowledged messages, and for this reads the parameters of a connection that it
    has just dropped. The ``AttributeError`` would end the worker that is about to reconnect.
    """
    close: Callable[[], None] = connection.close

    def close_if_possible() -> None:
        try:
            close()
        except AttributeError:
            logger.debug("Closing a connection whose Redis is gone failed.", exc_info=True)

    vars(connection)["close"] = close_if_possible
