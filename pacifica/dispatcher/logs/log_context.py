"""The fields that all log lines of a running request or job share; every handler of this project adds them.

The web server binds them when a request arrives, and a worker when a job starts. Later code adds more.
"""

import logging
import os
import re
from contextvars import ContextVar, Token
from typing import Any

from .formatters import FIELDS

_TOKEN = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:+/=@~-]{0,127}", re.ASCII)
_fields: ContextVar[dict[str, Any] | None] = ContextVar("log_fields", default=None)
OF_REQUESTS = ("request", "trace")
"""The fields that a job shares with the jobs that it dispatches."""
Bound = Token[dict[str, Any] | None]


def bind(**fields: Any) -> Bound:
    """Begin a request or a job in this thread, with the fields that are not ``None``."""
    return _fields.set({key: value for key, value in fields.items() if value is not None})


def unbind(bound: Bound) -> None:
    """End the request or job; the fields from before ``bind`` apply again."""
    _fields.reset(bound)


def note(**fields: Any) -> None:
    """Add fields to the running request or job; without one, do nothing."""
    about = _fields.get()
    if about is not None:
        about.update({key: value for key, value in fields.items() if value is not None and value != ""})


def current() -> dict[str, Any]:
    """The fields of the running request or job."""
    return _fields.get() or {}


def request_id(given: str | None) -> str:
    """The id that the client sent if it is a short printable token, or else a new one."""
    return given if given is not None and _TOKEN.fullmatch(given) else os.urandom(8).hex()


class Context(logging.Filter):
    """Adds the fields of the running request or job to a record; the record's own fields take precedence.

    A record about another job, such as one that the running job dispatches, gets only the fields of the request.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        """Keep every record."""
        if _fields.get():
            own = getattr(record, FIELDS, None)
            setattr(record, FIELDS, self.added_to(own if isinstance(own, dict) else {}))
        return True

    @staticmethod
    def added_to(own: dict[str, Any]) -> dict[str, Any]:
        """These fields of a line, with those of the running request or job."""
        about = _fields.get()
        if about and "job" in own and own["job"] != about.get("job", own["job"]):
            about = {key: about[key] for key in OF_REQUESTS if key in about}
        return {**about, **own} if about else own
