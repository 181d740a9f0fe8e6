"""The boot step that checks a worker's name and its tasks, and waits for the database."""

import os
from typing import Any

import click
from billiard import pool
from celery import bootsteps

from ..config.ini import PlaceFault
from ..core import parent_watch
from ..core.errors import ConfigError, DispatcherError
from ..core.name_limits import MAX_WORKER
from . import soft_limit

LAST_READ = 5.0
"""Seconds that a pool process waits at its end for the main process to read its last message; billiard waits 30.

A main process that is ending reads no more messages.
"""


class RecordStep(bootsteps.StartStopStep):  # type: ignore[misc]
    """Check the worker's name and every task, and wait for the database, before the first message is received.

    Raises ``ClickException``, which Celery's command line prints as one sentence.
    """

    def __init__(self, worker: Any, **kwargs: Any) -> None:
        super().__init__(worker, **kwargs)
        try:
            self._prepare(worker)
        except DispatcherError as error:
            raise click.ClickException(str(error)) from error

    @staticmethod
    def _prepare(worker: Any) -> None:
        parent_watch.start(os.environ)
        container = worker.app.container
        _check_name(worker.hostname)
        pool.GUARANTEE_MESSAGE_CONSUMPTION_RETRY_LIMIT = int(
            LAST_READ / pool.GUARANTEE_MESSAGE_CONSUMPTION_RETRY_INTERVAL
        )
        soft_limit.install()
        worker.app.log_tasks()  # A fault is reported before a database is made or awaited.
        container.prepare()
        # Forked children share what exists before the fork.
        _ = container.python_service, container.holder, container.tracing
        container.database.close()


def _check_name(name: str) -> None:
    if not name.isprintable():  # Such as bytes of the command line that are not UTF-8; PostgreSQL stores no such text.
        message = "it has characters that cannot be printed. Start the worker with another -n."
        raise ConfigError([PlaceFault("", "", f"the worker's name {name[:40]!a}", message)])
    if len(name) > MAX_WORKER:
        message = (
            f"it has {len(name)} characters; at most {MAX_WORKER} are allowed. Start the worker with a shorter -n."
        )
        raise ConfigError([PlaceFault("", "", f"the worker's name {name[:40]}…", message)])
