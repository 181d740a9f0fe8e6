"""RabbitMQ queues that exist with other arguments than ours: they are used as they are.

RabbitMQ refuses to declare a queue again with other arguments. Another Celery application that publishes to the
dispatcher's queue declares it without priorities, and may be the first to do so.
"""

import logging
from collections.abc import Iterable
from contextlib import closing
from typing import Any

from kombu.connection import Connection

logger = logging.getLogger(__name__)

CONFLICT = 406
"""AMQP's reply code for an entity that exists with other properties."""


def is_conflict(error: BaseException) -> bool:
    """Whether the broker refuses a declaration because the queue exists with other arguments."""
    return getattr(error, "reply_code", None) == CONFLICT


def accept_existing(connection: Connection, queues: Iterable[Any]) -> None:
    """Declare the queues, each on a channel of its own; a queue that exists with other arguments is not declared again.

    Raises the connection's errors.
    """
    if connection.transport.driver_type != "amqp":
        return
    for queue in queues:
        if queue.no_declare and not getattr(queue, "taken_as_it_is", False):
            continue  # The user's own choice.
        queue.no_declare, queue.taken_as_it_is = False, False
        with closing(connection.channel()) as channel:
            try:
                queue(channel).declare()
            except connection.channel_errors as error:
                if not is_conflict(error):
                    raise
                queue.no_declare = queue.taken_as_it_is = True
                logger.warning(
                    "Queue %s exists with other arguments, and is used as it is: if it was declared without "
                    "priorities, the priority of a job has no effect. To change that, delete the empty queue.",
                    queue.name,
                )
