"""The entry point of Celery workers: ``celery -A pacifica.dispatcher.tasks worker -l info``.

Importing this module reads and connects nothing; Celery asks for the configuration when it first needs it.
"""

from typing import Any

import click

from .app import DispatcherApp
from .config.load import load_settings
from .container import Container
from .core.errors import DispatcherError
from .worker.signals import connect


class WorkerApp(DispatcherApp):
    """The application under Celery's command line: it explains in one sentence why a worker cannot start."""

    def Worker(self, *args: Any, **kwargs: Any) -> Any:  # noqa: N802 - Celery's name
        """Return a worker of this application; raises ``ClickException``, which the command prints."""
        connect(self)
        try:
            return super().Worker(*args, **kwargs)
        except DispatcherError as error:
            raise click.ClickException(str(error)) from error


CELERY_APP = Container(load_settings, WorkerApp).app
