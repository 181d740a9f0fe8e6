"""Writing the lines that each request and each job has: Python's logging would find out more of them than is shown.

Where in the code such a line is written says nothing, as it is one place for all of them.
"""

import logging
import os
import threading
import time
from typing import Any

from .formatters import FIELDS


class Line(logging.LogRecord):
    """A record that knows when, who and what; the rest is the same for all."""

    def __init__(self, name: str, level: int, text: str, args: tuple[object, ...], fields: dict[str, Any]) -> None:
        vars(self).update(_SAME)
        self.name = name
        self.msg = text
        self.args = args
        self.levelno = level
        self.levelname = logging.getLevelName(level)
        self.created = now = time.time()
        self.msecs = int(now % 1 * 1000) + 0.0
        self.relativeCreated += (now - _SAME["created"]) * 1000
        self.process = os.getpid()
        self.thread = threading.get_ident()
        self.threadName = threading.current_thread().name
        setattr(self, FIELDS, fields)


_SAME = vars(logging.makeLogRecord({"pathname": "(unknown file)", "filename": "(unknown file)"}))


def write(logger: logging.Logger, level: int, text: str, *args: object, **fields: Any) -> None:
    """Write a line with these fields, where the logger is to; ``args`` are for the text."""
    if logger.isEnabledFor(level):
        logger.handle(Line(logger.name, level, text, args, fields))
