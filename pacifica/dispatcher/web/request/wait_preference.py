"""``?wait=`` and ``Prefer: wait=``: how long a request may wait for its job (RFC 7240, section 4.3)."""

import re
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import cherrypy

from ...core.errors import BadQuery
from ...core.job import Job
from ...service.waiting import Waiting
from ..auth.same_site import check_place
from ..server.intake import GONE

MOST = 999_999
"""The most seconds that may be asked for; the setting ``wait_limit`` says how many are waited."""
NUMBER = re.compile(r"-?[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]+)?", re.ASCII)
_PREFERENCE = re.compile(r"""(?:[^,"]|"(?:[^"\\]|\\.?)*(?:"|$))+""")
"""One of several, up to a comma that is not in quotes; what is quoted and never ends is quoted to the end."""
_WAIT = re.compile(r"""\s*wait\s*=\s*(?:([0-9]{1,6})|"([0-9]{1,6})")\s*(?:;.*)?""", re.ASCII | re.IGNORECASE)

Query = str | list[str] | None
"""The value of a query parameter: a list when it came several times."""
_SAID = "Seconds to wait for the job: the answer comes when it is final, or when the time is up."
WAIT: Mapping[str, Mapping[str, Any]] = {
    "wait": {"type": "number", "minimum": 0, "maximum": MOST, "description": _SAID}
}
"""The parameter as OpenAPI tells of it."""
PREFER = ("Prefer",)


class Wait(NamedTuple):
    """How long to wait, in seconds, and whether ``Prefer`` asked for it."""

    seconds: float
    preferred: bool = False


def asked(query: Query) -> Wait:
    """What the request asks for; raises ``BadQuery``, and ``CrossSite`` when it would wait for another site's page."""
    wait = _read(query)
    if wait.seconds:
        check_place(cherrypy.serving.request.headers)
    return wait


def _read(query: Query) -> Wait:
    """By the query, or by a preference; one that cannot be read counts for nothing."""
    if query is not None:
        if not isinstance(query, str) or not NUMBER.fullmatch(query) or not 0 <= float(query) <= MOST:
            raise BadQuery(
                f"The query parameter wait is {query!r:.80}; it must be a number of seconds up to {MOST}, once."
            )
        return Wait(float(query))
    preference = cherrypy.serving.request.headers.get("Prefer")
    if preference is None:
        return Wait(0.0)
    preferences = _PREFERENCE.findall(preference)
    found = next(filter(None, map(_WAIT.fullmatch, preferences)), None)
    return Wait(float(found[1] or found[2]), preferred=True) if found else Wait(0.0)


def until_final(waiting: Waiting, job: Job, wait: Wait) -> Job:
    """The job once it is final, or when the time is up, and the headers that tell of it.

    A server with one thread waits for nobody.
    """
    seconds = min(wait.seconds, waiting.limit) if wait.seconds and cherrypy.serving.request.multithread else 0.0
    waited = job.final
    if seconds and not waited:
        job, waited = waiting.until_final(job, seconds, _has_gone())
    headers = cherrypy.serving.response.headers
    if wait.preferred and waited:
        headers["Preference-Applied"] = f"wait={seconds:.0f}"
    if not job.final:
        headers["Retry-After"] = str(waiting.retry_after(job))
    return job


def _has_gone() -> Callable[[], bool]:
    """What tells whether the client has closed its connection; a server that does not know says no."""
    environ = cherrypy.request.wsgi_environ
    found: Callable[[], bool] = environ.get(GONE) or getattr(environ.get("gunicorn.socket"), "has_gone", lambda: False)
    return found
