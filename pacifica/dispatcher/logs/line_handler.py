"""Writes the lines that each request and each job has, in few steps."""

import logging
import os
import time
from typing import Any

from .formatters import FIELDS, Content, LineFormat
from .log_context import Context


class LineHandler(logging.StreamHandler):  # type: ignore[type-arg]
    """Writes to a stream, also the content of a line for which there is no record."""

    def __init__(self, stream: Any, form: LineFormat) -> None:
        super().__init__(stream)
        self._form = form
        self.setFormatter(form)
        self._turn: Any = self.lock  # Typeshed's lock may be None.
        self.context = Context()
        self.addFilter(self.context)

    def is_unchanged(self) -> bool:
        """Whether no program has added a filter or another formatter, which need a record."""
        return self.formatter is self._form and self.filters == [self.context]

    def write(self, content: Content) -> None:
        """Write a line, as ``emit`` does for a record."""
        try:
            line = f"{self._form.line(content)}\n"
            with self._turn:
                self.stream.write(line)
                self.stream.flush()
        except Exception:  # noqa: BLE001 - a line that cannot be written must not end a request
            self.handleError(logging.makeLogRecord({"name": content.logger, "msg": content.message}))


def log_fields(logger: logging.Logger, level: int, text: str, args: tuple[object, ...], fields: dict[str, Any]) -> None:
    """Log a line with these fields.

    If only our own handler would get the record, none is made, which saves half of the time. Otherwise, unlike with
    ``logger.log``, the stack is not searched for the caller.
    """
    if not logger.isEnabledFor(level):
        return
    handler = _only_handler(logger)
    if handler is None:
        record = logger.makeRecord(logger.name, level, "(unknown file)", 0, text, args, None, extra={FIELDS: fields})
        logger.handle(record)
    elif level >= handler.level:
        shown = handler.context.added_to(fields)
        about = time.time(), logging.getLevelName(level), logger.name, text % args, shown
        handler.write(Content(*about, os.getpid(), traceback=shown.get("exception")))


def _only_handler(logger: logging.Logger) -> LineHandler | None:
    """The handler of the logger, if it is the only one, ours, and nothing else looks at its records."""
    found: Any = None
    each: logging.Logger | None = logger
    while each is not None:
        if each.handlers:
            if found is not None or len(each.handlers) > 1:
                return None
            found = each.handlers[0]
        each = each.parent if each.propagate else None
    plain = type(found) is LineHandler and not logger.filters and logging.getLogRecordFactory() is logging.LogRecord
    return found if plain and found.is_unchanged() else None
