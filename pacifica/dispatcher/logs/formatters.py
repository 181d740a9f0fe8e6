"""How a log line looks: plain text for people, JSON for programs. Both are pure functions of the record.

Nothing that a client sends can begin a line of its own, move a terminal's cursor, or show a token.
"""

import json
import logging
import re
import time
from collections.abc import Callable, Mapping
from math import isfinite
from typing import Any

from ..core.redaction import MASK, mask, may_hold_a_secret, names_a_secret

FIELDS = "_pacifica_fields"
"""The attribute of a record that holds its fields: ``logger.info(text, extra={FIELDS: {"job": uuid}})``.

No code but ours gives it: what a task's ``extra=`` brings cannot take the place of a key.
"""
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
    "cut": "`true`: an error ended the answer after it had begun; the client has its status and no end",
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
_SHOWN = tuple(key for key in KEYS if key not in _IN_MESSAGE)
_PREFIX = "pacifica.dispatcher."
_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {FIELDS, "message", "asctime", "taskName"}
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
_IN_TRACEBACK = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
_BARE = re.compile(r"[\w.:/@+%*-]+")
_WIDEST, _DEEPEST = 1024, 20
"""Bits of a whole number, and levels of a nested value, up to which JSON holds it as it is."""


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

    def format(self, record: logging.LogRecord) -> str:
        """The line; never an error, as that would lose the line, or end the job that it is about."""
        try:
            return self.line(record)
        except Exception as error:  # noqa: BLE001 - values of a task's own code are asked for their texts
            about = {key: _text(getattr(record, key, "")) for key in ("name", "levelname", "process")}
            told = f"This line cannot be shown: {type(error).__name__}."
            return self.line(logging.makeLogRecord({**about, "msg": told}))

    def line(self, record: logging.LogRecord) -> str:
        """The line, in this form."""
        raise NotImplementedError

    def told_exception(self, record: logging.LogRecord, fields: Mapping[str, Any]) -> str:
        """The traceback, and the stack, that the record brings; empty when there is none."""
        raised = self.formatException(record.exc_info) if record.exc_info and record.exc_info[0] else record.exc_text
        parts = (fields.get("exception"), raised, record.stack_info)
        return "\n".join(part for part in parts if part)


class PlainFormat(LineFormat):
    """``TIME LEVEL LOGGER MESSAGE key=value …``; a traceback stands on lines below, indented."""

    def line(self, record: logging.LogRecord) -> str:
        """Made once more where a part of it may be secret: a text is masked before it is escaped."""
        line = self._line(record, str)
        return mask(self._line(record, mask)) if may_hold_a_secret(line) else line

    def _line(self, record: logging.LogRecord, clean: Callable[[str], str]) -> str:
        fields = _fields(record)
        shown = "".join([f" {key}={_value(fields[key], clean)}" for key in _SHOWN if key in fields])
        if extra := _extra(record):
            shown += "".join([f" {_value(key, clean)}={_value(value, clean)}" for key, value in extra.items()])
        head = f"{record.levelname:<7} {record.name.removeprefix(_PREFIX)}: {clean(_message(record))}"
        head = head if head.isprintable() else _CONTROL.sub(_escape, head)
        line = f"{self.formatTime(record)} {head}{shown}"
        if told := self.told_exception(record, fields):
            line += "\n    " + _IN_TRACEBACK.sub(_escape, clean(told)).rstrip().replace("\n", "\n    ")
        return line


class JsonFormat(LineFormat):
    """One JSON object a line, in ASCII."""

    def line(self, record: logging.LogRecord) -> str:
        """Made once more where JSON has no form for a part of it, or where a part may be secret."""
        fields = _fields(record)
        fixed = {
            "time": self.formatTime(record),
            "level": record.levelname,
            "logger": record.name,
            "process": record.process,
            "message": _message(record),
        }
        line = {**fixed, **fields, **fixed}
        if extra := _extra(record):
            line["extra"] = extra
        if told := self.told_exception(record, fields):
            line["exception"] = told
        try:
            text = _encode(line)
        except Exception:  # noqa: BLE001 - values of a task's own code are walked through
            text = _encode(_writable(line))
        if may_hold_a_secret(text):
            text = _encode(_writable(line))
        return text.replace("\x7f", "\\u007f")


FORMATS: Mapping[str, type[LineFormat]] = {"plain": PlainFormat, "json": JsonFormat}


def _fields(record: logging.LogRecord) -> Mapping[str, Any]:
    found = getattr(record, FIELDS, None)
    return found if isinstance(found, dict) else {}


def _extra(record: logging.LogRecord) -> dict[str, Any]:
    if vars(record).keys() <= _STANDARD:
        return {}
    found = vars(record).keys() - _STANDARD
    if "data" in found and record.name.startswith("celery."):
        found.remove("data")  # What Celery's own lines say in words.
    return {key: _unless_named_secret(key, getattr(record, key)) for key in sorted(found)} if found else {}


def _unless_named_secret(key: str, value: Any) -> Any:
    return MASK if isinstance(value, str) and names_a_secret(key) else value


def _message(record: logging.LogRecord) -> str:
    try:
        return record.getMessage()
    except Exception:  # noqa: BLE001 - the arguments do not fit, or their own code fails
        return f"{_text(record.msg)} (with arguments that do not fit: {_text(record.args)})"


def _text(value: Any) -> str:
    try:
        return str(value)
    except Exception as error:  # noqa: BLE001 - a class of a task's own may fail in any way
        return f"<{type(value).__name__} whose text cannot be made: {type(error).__name__}>"


def _writable(value: Any, depth: int = 0) -> Any:
    """The value as JSON can hold it, each text masked; what JSON has no form for is a text."""
    if value is None or isinstance(value, bool):
        return value
    if (isinstance(value, int) and value.bit_length() <= _WIDEST) or (isinstance(value, float) and isfinite(value)):
        return value
    if depth < _DEEPEST and isinstance(value, dict):
        return {mask(_text(key)): _writable(each, depth + 1) for key, each in dict.items(value)}
    if depth < _DEEPEST and isinstance(value, list | tuple):
        return [_writable(each, depth + 1) for each in value]
    return mask(_text(value))


_encode = json.JSONEncoder(default=_text, allow_nan=False).encode


def _value(value: Any, clean: Callable[[str], str]) -> str:
    if type(value) is int:
        return str(value) if value.bit_length() <= _WIDEST else _text(value)
    text = clean(_text(value))
    return text if _BARE.fullmatch(text) else _CONTROL.sub(_escape, json.dumps(text, ensure_ascii=False))


def _escape(found: "re.Match[str]") -> str:
    code = ord(found[0])
    return "\\n" if code == 0x0A else f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"
