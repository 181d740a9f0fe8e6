"""The output of `print` in tasks as log lines: one for each printed line.

Celery logs each write of ``print``, which writes its arguments, the spaces between them and the line break one by one.

Source: https://docs.celeryq.dev/en/stable/userguide/configuration.html#worker-redirect-stdouts
"""

import logging
import sys
import threading
from typing import Any

from celery.app.log import Logging
from celery.utils.log import LoggingProxy

LONGEST = 65_536
"""The most characters that wait for the end of their line."""


class PrintedLines(LoggingProxy):  # type: ignore[misc]
    """A stream that logs each line as a whole; ``flush`` logs the beginning of a line that has no end yet."""

    def __init__(self, logger: logging.Logger, level: int | str | None) -> None:
        super().__init__(logger, level)
        self._begun = threading.local()

    def write(self, data: Any) -> int:
        """Log the lines that the data ends; each thread has lines of its own."""
        text = getattr(self._begun, "text", "") + str(data)
        *lines, rest = text.split("\n")
        if len(rest) > LONGEST:
            lines, rest = [*lines, rest], ""
        self._begun.text = rest
        for line in lines:
            super().write(line)
        return len(data)

    def flush(self) -> None:
        """Log the rest."""
        text, self._begun.text = getattr(self._begun, "text", ""), ""
        super().write(text)


class LineLogging(Logging):  # type: ignore[misc]
    """Celery's logging, with ``PrintedLines`` in place of standard output and standard error."""

    def redirect_stdouts_to_logger(
        self,
        logger: logging.Logger,
        loglevel: int | str | None = None,
        stdout: bool = True,  # noqa: FBT001, FBT002 - Celery's signature
        stderr: bool = True,  # noqa: FBT001, FBT002
    ) -> PrintedLines:
        if stdout:
            sys.stdout = PrintedLines(logger, loglevel)
        if stderr:
            sys.stderr = PrintedLines(logger, loglevel)
        return PrintedLines(logger, loglevel)


def flush() -> None:
    """Log the beginning of a line that this thread has printed."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, PrintedLines):
            stream.flush()
