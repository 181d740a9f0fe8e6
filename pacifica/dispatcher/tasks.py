"""The entry point of Celery workers: ``celery -A pacifica.dispatcher.tasks worker -l info``.

Importing this module does no I/O; the configuration is read when Celery first needs it.
"""

from typing import Any

import click

from .app import DispatcherApp
from .config.load import load_settings
from .container import Container
from .core.errors import DispatcherError
from .worker.signals import connect


class WorkerApp(DispatcherApp):
    """The application for Celery's command line, which prints one sentence if a worker cannot start."""

    def Worker(self, *args: Any, **kwargs: Any) -> Any:  # noqa: N802 - Celery's name
        """Return a worker of this application; raises ``ClickException``, which the command prints."""
        connect(self)
        try:
            return super().Worker(*args, **kwargs)
        except DispatcherError as error:
            raise click.ClickException(str(error)) from error


CELERY_APP = Container(load_settings, WorkerApp).app
