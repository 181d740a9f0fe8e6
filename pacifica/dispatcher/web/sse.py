"""Events as they happen: ``text/event-stream`` (WHATWG HTML, section 9.2), which goes on behind ``Last-Event-ID``."""

import re
from collections.abc import Generator, Iterator, Mapping
from contextlib import closing
from typing import Any

import cherrypy

from ..core import strict_json
from ..core.errors import BadQuery, BadRequest, TooManyWaiting
from ..core.job import Event
from ..core.permissions import EVERY_JOB, Visibility
from ..service.waiting import Waiting
from . import representations
from .auth.same_site import check_place
from .request.wait_preference import Query

EVENTS = "text/event-stream"
BEGIN = b"retry: 2000\nid: %d\n\n"
"""A client whose stream ended comes back after so many milliseconds, and behind this event if it has seen none.

A message without data is not dispatched, but its id is remembered (section 9.2.6).
"""
SILENCE = b":\nid: %d\n\n"
DEFAULT_LIMIT, MOST = 100, 1000
"""Events of a page."""
AFTER: Mapping[str, Mapping[str, Any]] = {
    "after": {"type": "integer", "minimum": 0, "maximum": 10**18 - 1, "description": "Go on behind this event."}
}
LIMIT: Mapping[str, Mapping[str, Any]] = {
    "limit": {"type": "integer", "minimum": 1, "maximum": MOST, "description": "Events of a page."}
}
"""The parameters as OpenAPI tells of them."""
_ID = re.compile(r"[0-9]{1,18}", re.ASCII)


def place(after: Query) -> int | None:
    """The event behind which the client wants to go on, by its header or else the query; raises ``BadRequest``."""
    asked, seen = _id(after), _id(cherrypy.request.headers.get("Last-Event-ID"))
    return asked if seen is None else seen


def _id(given: Query) -> int | None:
    if given is None:
        return None
    if not isinstance(given, str) or not _ID.fullmatch(given):
        raise BadRequest(f"The last event is {given!r:.80}; it must be the id of an event, a whole number, once.")
    return int(given)


def limit(given: Query) -> int:
    """How many events a page holds; raises ``BadQuery``."""
    if given is None:
        return DEFAULT_LIMIT
    if not isinstance(given, str) or not re.fullmatch("[0-9]{1,6}", given, re.ASCII) or not 1 <= int(given) <= MOST:
        raise BadQuery(f"The query parameter limit is {given!r:.80}; it must be a whole number from 1 to {MOST}, once.")
    return int(given)


def over() -> bytes:
    """The answer to a client that comes back behind the end: 204 tells it to stop."""
    cherrypy.response.status = 204
    cherrypy.response.headers.pop("Content-Type", None)
    return b""


def told(
    waiting: Waiting, after: int | None, job: str | None = None, visibility: Visibility = EVERY_JOB
) -> bytes | Iterator[bytes]:
    """The body of a stream; raises ``TooManyWaiting``, ``DatabaseUnavailable`` and ``CrossSite``.

    A server with one thread has none to spare for streams.
    """
    response = cherrypy.response
    if cherrypy.request.method == "HEAD":
        response.headers["Content-Type"] = f"{EVENTS};charset=utf-8"
        return b""
    check_place(cherrypy.request.headers)
    if not cherrypy.request.multithread:
        raise TooManyWaiting(0)
    events = waiting.follow(after, job, visibility)
    begin = next(events)
    response.stream = True
    response.headers["Content-Type"] = f"{EVENTS};charset=utf-8"
    response.headers["X-Accel-Buffering"] = "no"  # nginx passes on at once what it gets
    return _lines(begin, events)


def _lines(begin: int | Event, events: Generator[int | Event]) -> Iterator[bytes]:
    with closing(events):
        yield BEGIN % begin
        for event in events:
            yield SILENCE % event if isinstance(event, int) else _message(event)


def _message(event: Event) -> bytes:
    return b"id: %d\ndata: %s\n\n" % (event.id, strict_json.dumps(representations.event(event)).encode())
