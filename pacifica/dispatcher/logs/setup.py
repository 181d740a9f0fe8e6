"""Where a web process writes its log, and the form that every process's handlers get."""

import logging
import sys

from ..config.settings import LoggingSettings
from ..core.errors import DispatcherError
from .formatters import FORMATS
from .log_context import Context

ACCESS = "pacifica.dispatcher.access"
"""The logger of the line that each request has."""


def dress(handlers: list[logging.Handler], settings: LoggingSettings) -> None:
    """Give the handlers our form, whatever they had; where they write to stays theirs."""
    for handler in handlers:
        handler.setFormatter(FORMATS[settings.format]())
        if not any(isinstance(one, Context) for one in handler.filters):
            handler.addFilter(Context())


def configure(settings: LoggingSettings) -> None:
    """Log to standard error, unless the program that we are part of has a log of its own."""
    logging.getLogger("celery.utils.dispatch.signal").addFilter(_is_not_raised_again)
    logging.getLogger(ACCESS).setLevel(logging.NOTSET if settings.access else logging.WARNING)
    root = logging.getLogger()
    if not root.handlers:
        handler = logging.StreamHandler(sys.stderr)
        dress([handler], settings)
        root.addHandler(handler)
        root.setLevel(settings.level.upper())


def _is_not_raised_again(record: logging.LogRecord) -> bool:
    """Celery logs an error of a signal's receiver with its traceback, and then hands it on; ours are sentences."""
    return not (record.exc_info and isinstance(record.exc_info[1], DispatcherError))
