"""Writing the lines that each request and each job has: Python's logging would find out more of them than is shown.

Where in the code such a line is written says nothing, as it is one place for all of them.
"""

import logging
import os
import threading
import time
from typing import Any

from .logformat import FIELDS


class Line(logging.LogRecord):
    """A record that knows when, who and what; the rest is the same for all."""

    pathname = filename = module = funcName = ""  # noqa: N815 - logging's
    lineno = 0
    msecs = relativeCreated = 0.0  # noqa: N815 - logging's
    exc_info = exc_text = stack_info = taskName = None  # noqa: N815 - logging's
    processName = "MainProcess"  # noqa: N815 - logging's

    def __init__(self, name: str, level: int, text: str, args: tuple[object, ...], fields: dict[str, Any]) -> None:
        self.name = name
        self.msg = text
        self.args = args
        self.levelno = level
        self.levelname = logging.getLevelName(level)
        self.created = time.time()
        self.process = os.getpid()
        self.thread = threading.get_ident()
        self.threadName = threading.current_thread().name
        setattr(self, FIELDS, fields)


def write(logger: logging.Logger, level: int, text: str, *args: object, **fields: Any) -> None:
    """Write a line with these fields, where the logger is to; ``args`` are for the text."""
    if logger.isEnabledFor(level):
        logger.handle(Line(logger.name, level, text, args, fields))
