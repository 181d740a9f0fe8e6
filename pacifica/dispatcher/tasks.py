"""The Celery worker's entry: ``celery -A pacifica.dispatcher.tasks worker -l info``.

Nothing is read and nothing is connected before Celery first uses its configuration.
"""

from typing import Any

import click

from .app import DispatcherApp
from .config.load import load_settings
from .core.errors import DispatcherError
from .worker.signals import connect


class WorkerApp(DispatcherApp):
    """The application under Celery's command line, which says in a sentence why a worker cannot start."""

    def Worker(self, *args: Any, **kwargs: Any) -> Any:  # noqa: N802 - Celery's name
        """A worker of this application; raises ``ClickException``, which the command prints."""
        connect(self)
        try:
            return super().Worker(*args, **kwargs)
        except DispatcherError as error:
            raise click.ClickException(str(error)) from error


CELERY_APP = WorkerApp(load_settings)
