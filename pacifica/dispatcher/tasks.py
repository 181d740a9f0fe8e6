"""The entry point of Celery workers: ``celery -A pacifica.dispatcher.tasks worker -l info``.

Importing this module does no I/O; the configuration is read when Celery first needs it.
"""

from typing import Any

from .app import DispatcherApp, WorkerApp
from .config.load import load_settings
from .container import Container
from .core.errors import DispatcherError

_CONTAINER = Container(load_settings, WorkerApp)
CELERY_APP = _CONTAINER.own_app
"""The Celery application: its settings, its tasks, its result backend and the steps of its workers."""


def __getattr__(name: str) -> Any:
    """``app``, for which Celery's command line looks first: an adopted application in the place of ``CELERY_APP``."""
    if name == "app":
        return _app()
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def _app() -> DispatcherApp:
    try:
        return _CONTAINER.app
    except DispatcherError:
        return CELERY_APP  # Its worker prints the reason.
