"""``?wait=`` and ``Prefer: wait=``: how long a request may wait for its job (RFC 7240, section 4.3)."""

import re
import socket
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import cherrypy

from ...core.errors import BadQuery
from ...core.job import Job
from ...service.waiting import Waiting
from ..auth.same_site import check_may_wait
from ..operation import Query
from ..server.server import GONE

MAX_SECONDS = 999_999
"""The longest wait that a request may ask for; the setting ``wait_limit`` shortens it."""
_NUMBER = re.compile(r"-?[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]+)?", re.ASCII)
_PREFERENCE = re.compile(r"""(?:[^,"]|"(?:[^"\\]|\\.?)*(?:"|$))+""")
"""One preference of a list: up to a comma outside quotes; an unterminated quote extends to the end."""
_WAIT = re.compile(r"""\s*wait\s*=\s*(?:([0-9]{1,6})|"([0-9]{1,6})")\s*(?:;.*)?""", re.ASCII | re.IGNORECASE)
_DESCRIPTION = "Seconds to wait for the job: the answer is sent when the job is final or the time has elapsed."
WAIT: Mapping[str, Mapping[str, Any]] = {
    "wait": {"type": "number", "minimum": 0, "maximum": MAX_SECONDS, "description": _DESCRIPTION}
}
"""The parameter's schema for OpenAPI."""
PREFER = ("Prefer",)


class Wait(NamedTuple):
    """How long to wait, in seconds, and whether ``Prefer`` requested it."""

    seconds: float
    preferred: bool = False


def read_wait(query: Query) -> Wait:
    """The requested wait; raises ``BadQuery``, and ``CrossSite`` for a page of another site that would wait."""
    wait = _from_header() if query is None else _from_query(query)
    if wait.seconds:
        check_may_wait(cherrypy.serving.request.headers)
    return wait


def _from_query(query: Query) -> Wait:
    if not isinstance(query, str) or not _NUMBER.fullmatch(query) or not 0 <= float(query) <= MAX_SECONDS:
        raise BadQuery(f"The query parameter wait is {query!r:.80}. It must be one number from 0 to {MAX_SECONDS}.")
    return Wait(float(query))


def _from_header() -> Wait:
    """The first readable ``wait`` preference; malformed ones are ignored."""
    preferences = _PREFERENCE.findall(cherrypy.serving.request.headers.get("Prefer", ""))
    found = next(filter(None, map(_WAIT.fullmatch, preferences)), None)
    return Wait(float(found[1] or found[2]), preferred=True) if found else Wait(0.0)


def until_final(waiting: Waiting, job: Job, wait: Wait) -> Job:
    """The job once it is final or the time has elapsed; sets ``Preference-Applied`` and ``Retry-After``.

    A server with a single thread does not wait.
    """
    seconds = min(wait.seconds, waiting.limit) if wait.seconds and cherrypy.serving.request.multithread else 0.0
    waited = job.final
    if seconds and not waited:
        job, waited = waiting.until_final(job, seconds, _disconnection_check())
    headers = cherrypy.serving.response.headers
    if wait.preferred and waited:
        headers["Preference-Applied"] = f"wait={seconds:.0f}"
    if not job.final:
        headers["Retry-After"] = str(waiting.retry_after(job))
    return job


def _disconnection_check() -> Callable[[], bool]:
    """A function that reports whether the client has disconnected; always false under servers that cannot detect it."""
    environ = cherrypy.request.wsgi_environ
    own: Callable[[], bool] | None = environ.get(GONE)
    client: socket.socket | None = environ.get("gunicorn.socket")
    return own or (lambda: client is not None and _has_closed(client))


def _has_closed(client: socket.socket) -> bool:
    try:
        return not client.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT)
    except BlockingIOError:
        return False
    except OSError:
        return True
