"""How a log line looks: plain text for people, JSON for programs. Both are pure functions of the record.

Nothing that a client sends can begin a line of its own, move a terminal's cursor, or show a token.
"""

import json
import logging
import re
import time
from collections.abc import Mapping
from typing import Any

FIELDS = "fields"
"""The attribute of a record that holds its fields: ``logger.info(text, extra={"fields": {"job": uuid}})``."""
KEYS: Mapping[str, str] = {
    "time": "when, in UTC: ISO 8601 with `Z`, to the millisecond",
    "level": "`DEBUG`, `INFO`, `WARNING`, `ERROR` or `CRITICAL`",
    "logger": "who says it: a Python logger's name; the plain form leaves out `pacifica.dispatcher.`",
    "process": "the process's id",
    "message": "what happened, in words",
    "event": "of a job's line, the move: see below",
    "method": "the request's method",
    "path": "the request's path as it was sent, without query and without a task's arguments",
    "status": "the answer's status",
    "ms": "how long it took, in milliseconds: the request, or the attempt",
    "waited": "how long the job waited to be started, in milliseconds, since it was accepted or since its `eta`",
    "bytes": "the size of the answer's body",
    "request": "the request's id; in a worker, that of the request which made the job",
    "job": "the job's UUID",
    "task": "the task's name",
    "attempt": "the how-manieth time the job is started",
    "worker": "the worker that has the job",
    "caller": "who asked: a token's or a user's name",
    "remote": "the address that the request came from",
    "queue": "the queue that a job names",
    "reason": "why",
    "error": "the class of the exception that ended an attempt",
    "trace": "the trace id, where tracing is on",
    "exception": "a traceback; the plain form shows it indented, on lines below",
    "extra": "what else a task's code gave to its logger by `extra=`",
}
"""What a line may hold, in the order of the plain form, each with its meaning."""
_IN_MESSAGE = frozenset({"event", "method", "path", "status", "exception", "extra"})
_PREFIX = "pacifica.dispatcher."
_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {FIELDS, "message", "asctime", "taskName", "data"}
_SECRET = re.compile(r"(?i)(pd_[\w-]{4})[\w-]+|((?:bearer|basic)(?:\s|%20|\+)+|(?:access_)?token=)[^\s&\"'\\]+")
_MARKS = ("pd_", "bearer", "basic", "token=")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
_IN_TRACEBACK = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
_BARE = re.compile(r"[\w.:/@+%*-]+")
_ENCODER = json.JSONEncoder(default=str)


class LineFormat(logging.Formatter):
    """What the two forms share: the time, the text of a traceback, and what must not be shown."""

    def __init__(self) -> None:
        super().__init__()
        self._second = (0, "")

    def formatTime(self, record: logging.LogRecord, datefmt: str | None = None) -> str:  # noqa: ARG002, N802 - logging's
        """The moment in UTC; its text is made once a second, as it costs more than the rest of a line."""
        second = int(record.created)
        if self._second[0] != second:
            self._second = second, time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second))
        return f"{self._second[1]}.{int(record.created * 1000) % 1000:03d}Z"

    def told_exception(self, record: logging.LogRecord, fields: Mapping[str, Any]) -> str:
        """The traceback, and the stack, that the record brings; empty when there is none."""
        raised = self.formatException(record.exc_info) if record.exc_info and record.exc_info[0] else record.exc_text
        parts = (fields.get("exception"), raised, record.stack_info)
        return "\n".join(part for part in parts if part)


class PlainFormat(LineFormat):
    """``TIME LEVEL LOGGER MESSAGE key=value …``; a traceback stands on lines below, indented."""

    def format(self, record: logging.LogRecord) -> str:
        """The line."""
        fields: Mapping[str, Any] = getattr(record, FIELDS, {})
        shown = "".join([f" {key}={_value(fields[key])}" for key in KEYS if key in fields and key not in _IN_MESSAGE])
        shown += "".join([f" {key}={_value(value)}" for key, value in _extra(record).items()])
        message = record.getMessage()
        message = message if message.isprintable() else _CONTROL.sub(_escape, message)
        name = record.name.removeprefix(_PREFIX)
        line = f"{self.formatTime(record)} {record.levelname:<7} {name}: {message}{shown}"
        if told := self.told_exception(record, fields):
            line += "\n    " + _IN_TRACEBACK.sub(_escape, told).rstrip().replace("\n", "\n    ")
        return _mask(line)


class JsonFormat(LineFormat):
    """One JSON object a line, in ASCII."""

    def format(self, record: logging.LogRecord) -> str:
        """The line."""
        fields: Mapping[str, Any] = getattr(record, FIELDS, {})
        line = {
            "time": self.formatTime(record),
            "level": record.levelname,
            "logger": record.name,
            "process": record.process,
            "message": record.getMessage(),
            **fields,
        }
        if extra := _extra(record):
            line["extra"] = extra
        if told := self.told_exception(record, fields):
            line["exception"] = told
        return _mask(_ENCODER.encode(line).replace("\x7f", "\\u007f"))


FORMATS: Mapping[str, type[LineFormat]] = {"plain": PlainFormat, "json": JsonFormat}


def _extra(record: logging.LogRecord) -> dict[str, Any]:
    found = vars(record).keys() - _STANDARD
    return {key: getattr(record, key) for key in sorted(found)} if found else {}


def _value(value: Any) -> str:
    if isinstance(value, int | float):
        return f"{value}"
    text = str(value)
    return text if _BARE.fullmatch(text) else _CONTROL.sub(_escape, json.dumps(text, ensure_ascii=False))


def _escape(found: "re.Match[str]") -> str:
    code = ord(found[0])
    return "\\n" if code == 0x0A else f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"


def _mask(line: str) -> str:
    """The expression is dear, and most lines have nothing for it."""
    low = line.lower()
    if not any(mark in low for mark in _MARKS):
        return line
    return _SECRET.sub(lambda found: f"{found[1] or found[2]}***", line)
