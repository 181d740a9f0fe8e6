"""How many messages wait in a queue of the broker."""

from celery import Celery
from kombu.exceptions import KombuError

from ..core.errors import DatabaseUnavailable
from .broker_connection import connect
from .task_message import route_task

NOT_FOUND = "404"
"""AMQP's reply code for a queue that does not exist."""


class QueueDepth:
    """Asks the broker for the depth of a queue, on a new connection for each question."""

    def __init__(self, app: Celery) -> None:
        self._app = app

    def queue_of(self, task: str, queue: str | None) -> str | None:
        """The queue for jobs of this task, or for those that name a ``queue`` themselves.

        ``None`` if it is not known, as a route names an exchange only.
        """
        routed = route_task(self._app, task, {"queue": queue}).get("queue")
        return None if routed is None else str(routed.name)

    def ready(self, name: str) -> int | None:
        """The number of messages that no worker has received; ``None`` if the broker does not say."""
        try:
            with self._app.connection_for_write() as connection:
                connect(connection)
                try:
                    return int(connection.default_channel.queue_declare(name, passive=True).message_count)
                except connection.channel_errors as error:
                    return 0 if str(getattr(error, "reply_code", "")) == NOT_FOUND else None
        except (KombuError, OSError, DatabaseUnavailable):
            return None
