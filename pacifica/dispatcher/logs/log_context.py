"""What the lines of the running request, or job, have in common: every handler of ours adds it to each record.

A request binds it where it comes in, a worker where a job begins; what is learned later is noted then.
"""

import logging
import os
import re
from contextvars import ContextVar, Token
from typing import Any

from .formatters import FIELDS

_TOKEN = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:+/=@~-]{0,127}", re.ASCII)
_about: ContextVar[dict[str, Any] | None] = ContextVar("about", default=None)
OF_REQUESTS = ("request", "trace")
"""What a job has in common with those that it dispatches."""
Bound = Token[dict[str, Any] | None]


def bind(**fields: Any) -> Bound:
    """Begin a request or a job in this thread; ``None`` is no value."""
    return _about.set({key: value for key, value in fields.items() if value is not None})


def unbind(bound: Bound) -> None:
    """End it: this thread is again at what it was at before."""
    _about.reset(bound)


def note(**fields: Any) -> None:
    """Add what has been learned; outside a request or a job it is nobody's."""
    about = _about.get()
    if about is not None:
        about.update({key: value for key, value in fields.items() if value is not None and value != ""})


def current() -> dict[str, Any]:
    """All that is known of the running request or job."""
    return _about.get() or {}


def request_id(given: str | None) -> str:
    """The id that a client gives, where it is one short printable token, else a new one."""
    return given if given is not None and _TOKEN.fullmatch(given) else os.urandom(8).hex()


class Context(logging.Filter):
    """Adds to a record what its thread is at; what the record says itself stays.

    A record about another job than the running one, which this one dispatches, say, gets its request alone.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        """Every record is kept."""
        about = _about.get()
        if about:
            own = getattr(record, FIELDS, None)
            own = own if isinstance(own, dict) else {}
            if "job" in own and own["job"] != about.get("job", own["job"]):
                about = {key: about[key] for key in OF_REQUESTS if key in about}
            setattr(record, FIELDS, {**about, **own})
        return True
