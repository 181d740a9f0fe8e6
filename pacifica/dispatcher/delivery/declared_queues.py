"""The queues that the configuration and the tasks declare."""

import logging
from collections.abc import Iterable

from celery import Celery

from .task_message import declared_options

logger = logging.getLogger(__name__)


def declared_queues(app: Celery, tasks: Iterable[str]) -> set[str]:
    """The names of the queues in Celery's settings, and of those to which these tasks are routed."""
    queues = app.amqp.Queues(dict(app.amqp.queues))
    # A router adds the queues that it finds; those of the application also decide what a worker consumes.
    router = app.amqp.Router(queues=queues)
    for name in tasks:
        try:
            router.route(declared_options(app, name), name, (), {}, app.tasks.get(name))
        except Exception as error:  # noqa: BLE001 - a user's router may raise anything
            logger.warning("The queue of task %s depends on its arguments, or has a fault: %r", name, error)
    return set(queues)
