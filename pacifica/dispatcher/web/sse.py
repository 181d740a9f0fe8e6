"""Event streams: ``text/event-stream`` (WHATWG HTML, section 9.2), resumable with ``Last-Event-ID``."""

import re
from collections.abc import Generator, Iterator, Mapping
from contextlib import closing
from typing import Any

import cherrypy

from ..core import strict_json
from ..core.errors import BadRequest, TooManyWaiting
from ..core.job import Event
from ..core.permissions import Visibility
from ..service.waiting import Waiting
from . import representations
from .auth.same_site import check_may_wait
from .operation import Query
from .request.query import whole_number

EVENTS = "text/event-stream"
BEGIN = b"retry: 2000\nid: %d\n\n"
"""Sets the reconnection time in milliseconds, and the id to resume after if the client has seen no event.

A message without data is not dispatched, but its id is stored (section 9.2.6).
"""
HEARTBEAT = b":\nid: %d\n\n"
DEFAULT_LIMIT, MAX_LIMIT = 100, 1000
"""Events per page."""
AFTER: Mapping[str, Mapping[str, Any]] = {
    "after": {
        "type": "integer",
        "minimum": 0,
        "maximum": 10**18 - 1,
        "description": "Continue after the event with this id.",
    }
}
LIMIT: Mapping[str, Mapping[str, Any]] = {
    "limit": {"type": "integer", "minimum": 1, "maximum": MAX_LIMIT, "description": "Events per page."}
}
"""The parameters' schemas for OpenAPI."""
_ID = re.compile(r"[0-9]{1,18}", re.ASCII)


def last_event(after: Query) -> int | None:
    """The id after which to continue: from ``Last-Event-ID``, or else from the query; raises ``BadRequest``."""
    from_query, from_header = _event_id(after), _event_id(cherrypy.request.headers.get("Last-Event-ID"))
    return from_query if from_header is None else from_header


def _event_id(value: Query) -> int | None:
    if value is None:
        return None
    if not isinstance(value, str) or not _ID.fullmatch(value):
        raise BadRequest(f"The last event is {value!r:.80}. It must be the id of one event, a whole number.")
    return int(value)


def limit(value: Query) -> int:
    """The number of events per page; raises ``BadQuery``."""
    return whole_number(value, "limit", DEFAULT_LIMIT, MAX_LIMIT)


def finished() -> bytes:
    """The response to a client that reconnects after the last event: 204 makes an ``EventSource`` stop."""
    cherrypy.response.status = 204
    cherrypy.response.headers.pop("Content-Type", None)
    return b""


def stream(
    waiting: Waiting, visibility: Visibility, after: int | None, job: str | None = None
) -> bytes | Iterator[bytes]:
    """The body of a stream; raises ``TooManyWaiting``, ``DatabaseUnavailable`` and ``CrossSite``.

    A server with a single thread refuses streams.
    """
    response = cherrypy.response
    if cherrypy.request.method == "HEAD":
        response.headers["Content-Type"] = f"{EVENTS};charset=utf-8"
        return b""
    check_may_wait(cherrypy.request.headers)
    if not cherrypy.request.multithread:
        raise TooManyWaiting(0)
    events = waiting.follow(visibility, after, job)
    begin = next(events)
    response.stream = True
    response.headers["Content-Type"] = f"{EVENTS};charset=utf-8"
    response.headers["X-Accel-Buffering"] = "no"  # Makes nginx pass on each event at once.
    return _lines(begin, events)


def _lines(begin: int | Event, events: Generator[int | Event]) -> Iterator[bytes]:
    with closing(events):
        yield BEGIN % begin
        for event in events:
            yield HEARTBEAT % event if isinstance(event, int) else _message(event)


def _message(event: Event) -> bytes:
    return b"id: %d\ndata: %s\n\n" % (event.id, strict_json.dumps(representations.event(event)).encode())
