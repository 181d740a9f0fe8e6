"""The two forms of a log line: plain text for people, and JSON for programs. Both depend only on the record.

No text from a client can start a new line, move the cursor of a terminal, or reveal a token.
"""

import json
import logging
import re
import time
from collections.abc import Callable, Mapping
from math import isfinite
from types import MappingProxyType
from typing import Any, NamedTuple

from ..core import control_characters
from ..core.redaction import MASK, mask, may_hold_a_secret, names_a_secret

FIELDS = "_pacifica_fields"
"""The attribute of a record that contains its fields: ``logger.info(text, extra={FIELDS: {"job": uuid}})``.

Only this project sets it, so the ``extra=`` of a task's own code cannot replace a field.
"""
KEYS: Mapping[str, str] = {
    "time": "the time in UTC: ISO 8601 with `Z`, to the millisecond",
    "level": "`DEBUG`, `INFO`, `WARNING`, `ERROR` or `CRITICAL`",
    "logger": "the name of the Python logger; the plain form omits `pacifica.dispatcher.`",
    "process": "the process id",
    "message": "what happened, in words",
    "event": "in the line of a job, the event: see below",
    "method": "the method of the request",
    "path": "the path of the request as it was sent, without the query and without the arguments of a task",
    "status": "the status of the response",
    "ms": "the duration of the request or of the attempt, in milliseconds",
    "waited": "how long the job waited to be started after it was accepted, or after its `eta`, in milliseconds",
    "bytes": "the size of the response body",
    "cut": "`true`: an error cut the response off after it had started; the client has received its status",
    "request": "the id of the request; in a worker, of the request that dispatched the job",
    "job": "the UUID of the job",
    "task": "the name of the task",
    "attempt": "the attempt number, from 1",
    "worker": "the worker that runs the job",
    "caller": "the caller: the name of a token or of a user",
    "remote": "the address of the client",
    "queue": "the queue of the job",
    "reason": "the reason of the event",
    "error": "the class of the exception that ended an attempt",
    "trace": "the trace id, if tracing is on",
    "exception": "a traceback; the plain form shows it indented, on the lines that follow",
    "extra": "the other values that a task's code passed to its logger by `extra=`",
}
"""The keys that a line may contain, in the order of the plain form, each with its meaning."""
_IN_MESSAGE = frozenset({"event", "method", "path", "status", "exception", "extra"})
_SHOWN = tuple(key for key in KEYS if key not in _IN_MESSAGE)
_PREFIX = "pacifica.dispatcher."
_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {FIELDS, "message", "asctime", "taskName"}
_BARE = re.compile(r"[\w.:/@+%*-]+")
_ALL_BARE = re.compile(r"(?: [a-z]+=[\w.:/@+%*-]+)*+")
_QUICK = frozenset({str, int, float})
"""The types of fields whose text in an f-string is that of ``str``."""
_MAX_BITS, _MAX_DEPTH = 1024, 20
"""A larger whole number, and a value that is nested more deeply, becomes a text in JSON."""


class Content(NamedTuple):
    """The parts of a line."""

    created: float
    level: str
    logger: str
    message: str
    fields: Mapping[str, Any]
    process: int | None = None
    extra: Mapping[str, Any] = MappingProxyType({})
    traceback: str | None = None


class LineFormat(logging.Formatter):
    """The base of both forms: the time, the text of a traceback, and the line for a record that cannot be formatted."""

    def __init__(self) -> None:
        super().__init__()
        self._second = (0, "")

    def format(self, record: logging.LogRecord) -> str:
        """The line. This never raises, because an error would lose the line or end the job that logs it."""
        try:
            return self.line(self._content(record))
        except Exception as error:  # noqa: BLE001 - the values come from a task's own code
            name, level, process = (_text(getattr(record, key, "")) for key in ("name", "levelname", "process"))
            message = f"This line cannot be shown: {type(error).__name__}."
            return self.line(Content(time.time(), level, name, message, {"process": process}))

    def line(self, content: Content) -> str:
        """The line, or any exception."""
        raise NotImplementedError

    def _content(self, record: logging.LogRecord) -> Content:
        fields = _fields(record)
        raised = self.formatException(record.exc_info) if record.exc_info and record.exc_info[0] else record.exc_text
        traceback = "\n".join(part for part in (fields.get("exception"), raised, record.stack_info) if part)
        about = record.created, record.levelname, record.name, _message(record), fields
        return Content(*about, record.process, _extra(record), traceback)

    def _time(self, created: float) -> str:
        """The time in UTC, to the millisecond; lines of the same second share its text."""
        second = int(created)
        if self._second[0] != second:
            self._second = second, time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second))
        return f"{self._second[1]}.{int(created * 1000) % 1000:03d}Z"


class PlainFormat(LineFormat):
    """``TIME LEVEL LOGGER MESSAGE key=value …``; a traceback follows on indented lines."""

    def line(self, content: Content) -> str:
        """The line. If it may contain a secret, it is formatted again with each text masked before it is escaped."""
        line = self._line(content, str)
        return mask(self._line(content, mask)) if may_hold_a_secret(line) else line

    def _line(self, content: Content, clean: Callable[[str], str]) -> str:
        shown = _shown(content.fields, clean)
        if content.extra:
            shown += "".join([f" {_value(key, clean)}={_value(value, clean)}" for key, value in content.extra.items()])
        head = f"{content.level:<7} {content.logger.removeprefix(_PREFIX)}: {clean(content.message)}"
        line = f"{self._time(content.created)} {control_characters.one_line(head)}{shown}"
        if content.traceback:
            line += "\n    " + control_characters.lines(clean(content.traceback)).rstrip().replace("\n", "\n    ")
        return line


class JsonFormat(LineFormat):
    """One JSON object per line, in ASCII."""

    def line(self, content: Content) -> str:
        """The line. If it may contain a secret, or a value that JSON cannot represent, each text is masked first."""
        fixed = {
            "time": self._time(content.created),
            "level": content.level,
            "logger": content.logger,
            "process": content.process,
            "message": content.message,
        }
        line = {**fixed, **content.fields, **fixed}
        if content.extra:
            line["extra"] = content.extra
        if content.traceback:
            line["exception"] = content.traceback
        try:
            text = _encode(line)
        except Exception:  # noqa: BLE001 - the values come from a task's own code
            text = _encode(_masked(line))
        if may_hold_a_secret(text):
            text = _encode(_masked(line))
        return text.replace("\x7f", "\\u007f")


FORMATS: Mapping[str, type[LineFormat]] = {"plain": PlainFormat, "json": JsonFormat}


def _shown(fields: Mapping[str, Any], clean: Callable[[str], str]) -> str:
    """The fields of a plain line. Usually all of them are bare, which one match finds out faster than one for each."""
    if clean is str and _QUICK.issuperset(map(type, fields.values())):
        try:
            shown = "".join([f" {key}={fields[key]}" for key in _SHOWN if key in fields])
        except ValueError:  # A whole number has too many digits.
            shown = ""
        if shown and _ALL_BARE.fullmatch(shown):
            return shown
    return "".join([f" {key}={_value(fields[key], clean)}" for key in _SHOWN if key in fields])


def _fields(record: logging.LogRecord) -> Mapping[str, Any]:
    found = getattr(record, FIELDS, None)
    return found if isinstance(found, dict) else {}


def _extra(record: logging.LogRecord) -> dict[str, Any]:
    if vars(record).keys() <= _STANDARD:
        return {}
    found = vars(record).keys() - _STANDARD
    if "data" in found and record.name.startswith("celery."):
        found.remove("data")  # The message of Celery's line contains the same.
    return {key: _unless_named_secret(key, getattr(record, key)) for key in sorted(found)} if found else {}


def _unless_named_secret(key: str, value: Any) -> Any:
    return MASK if isinstance(value, str) and names_a_secret(key) else value


def _message(record: logging.LogRecord) -> str:
    try:
        return record.getMessage()
    except Exception:  # noqa: BLE001 - the arguments do not fit, or their code fails
        return f"{_text(record.msg)} (with arguments that do not fit: {_text(record.args)})"


def _text(value: Any) -> str:
    try:
        return str(value)
    except Exception as error:  # noqa: BLE001 - a class of a task may fail in any way
        return f"<{type(value).__name__} whose text cannot be made: {type(error).__name__}>"


def _masked(value: Any, depth: int = 0) -> Any:
    """The value with each text masked, and with a text in place of each part that JSON cannot represent."""
    if value is None or isinstance(value, bool):
        return value
    if (isinstance(value, int) and value.bit_length() <= _MAX_BITS) or (isinstance(value, float) and isfinite(value)):
        return value
    if depth < _MAX_DEPTH and isinstance(value, dict):
        return {mask(_text(key)): _masked(each, depth + 1) for key, each in dict.items(value)}
    if depth < _MAX_DEPTH and isinstance(value, list | tuple):
        return [_masked(each, depth + 1) for each in value]
    return mask(_text(value))


_encode = json.JSONEncoder(default=_text, allow_nan=False).encode


def _value(value: Any, clean: Callable[[str], str]) -> str:
    if type(value) is int:
        return str(value) if value.bit_length() <= _MAX_BITS else _text(value)
    text = clean(_text(value))
    return text if _BARE.fullmatch(text) else control_characters.one_line(json.dumps(text, ensure_ascii=False))
