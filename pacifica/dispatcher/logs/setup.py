"""The log handlers: the form of their lines in every process, and the destination in a web process."""

import logging
import sys

from ..config.settings import LoggingSettings
from .formatters import FORMATS
from .line_handler import LineHandler
from .log_context import Context

ACCESS = "pacifica.dispatcher.access"
"""The logger that writes one line per request."""


def set_format(handlers: list[logging.Handler], settings: LoggingSettings) -> None:
    """Set the form of the handlers' lines, and add the log context; destinations stay unchanged."""
    for handler in handlers:
        handler.setFormatter(FORMATS[settings.format]())
        if not any(isinstance(one, Context) for one in handler.filters):
            handler.addFilter(Context())


def configure(settings: LoggingSettings) -> None:
    """Log to standard error, unless the surrounding program has set up logging itself."""
    logging.getLogger(ACCESS).setLevel(logging.NOTSET if settings.access else logging.WARNING)
    root = logging.getLogger()
    if not root.handlers:
        root.addHandler(LineHandler(sys.stderr, FORMATS[settings.format]()))
        root.setLevel(settings.level.upper())
