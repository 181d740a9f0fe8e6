"""Renders the templates: what each page has, and the forms of values that people read."""

import gzip
import json
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import lru_cache, partial
from http import HTTPStatus
from pathlib import Path
from typing import Any
from urllib.parse import quote

import cherrypy
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from ..core.errors import Forbidden
from ..core.job import iso
from ..core.permissions import ANONYMOUS, CANCEL, DISPATCH, Caller
from ..web.auth import session_cookie
from ..web.dispatcher import raw_path
from ..web.middleware import path_prefix
from ..web.problem_response import HTML
from . import assets
from .value_plot import plain

TEMPLATES = Path(__file__).parent / "templates"
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
"""The Content-Security-Policy of each page: everything comes from this server, and nothing is inline."""
LEVEL = 4
"""The level of compression: a page of 60 kB takes a millisecond and a ninth of its size."""
HEADINGS = {
    400: "Not valid",
    401: "Sign in",
    403: "Not allowed",
    404: "Not found",
    500: "The service failed",
    503: "Not available now",
}
"""The headings of errors that people meet; others have the name of their status."""
MARKS = {"PENDING": "○", "STARTED": "◐", "RETRY": "↻", "SUCCESS": "✓", "FAILURE": "✕", "REVOKED": "⊘"}
"""A shape for each state, so that no one needs its colour."""


def page(template: str, **values: Any) -> bytes:
    """A page as the response's body, compressed if the browser takes it; sets its content type and its policy.

    The length of a page with a text of an attacker reveals nothing (BREACH): a request of their site has no cookie.
    """
    headers = cherrypy.response.headers
    headers["Content-Type"] = f"{HTML};charset=utf-8"
    headers["Content-Security-Policy"] = POLICY
    headers["Referrer-Policy"] = "same-origin"  # Without a referrer, a browser sends forms with "Origin: null".
    text = environment().get_template(template).render(**common(), **values).encode("utf-8", "backslashreplace")
    headers["Vary"] = ", ".join(filter(None, (headers.get("Vary"), "Accept-Encoding")))
    if not assets.GZIP.search(cherrypy.request.headers.get("Accept-Encoding", "")):
        return text
    headers["Content-Encoding"] = "gzip"
    return gzip.compress(text, LEVEL, mtime=0)


def problem_page(problem: Mapping[str, Any]) -> bytes:
    """An error as a page; if another token would help, with the form for it."""
    status, request = problem["status"], cherrypy.request
    detail, details = problem["detail"], ""
    if status == HTTPStatus.UNAUTHORIZED and getattr(request.operation, "scope", "") is not None:
        detail, details = "This page needs a token.", detail
    elif status == HTTPStatus.NOT_FOUND and request.path_template is None:
        detail = f"There is no page at {request.path_info[:200]}."
    return page(
        "problem.html",
        heading=HEADINGS.get(status, problem["title"]),
        detail=detail,
        details=details,
        wants_token=status == HTTPStatus.UNAUTHORIZED or "scope" in problem,
        next=current_path(),
        again=current_path() if status == HTTPStatus.SERVICE_UNAVAILABLE and request.method == "GET" else "",
    )


def common() -> dict[str, Any]:
    """The values that every page has: the prefix of links, the caller, and the actions that are open to them."""
    who = caller()
    mode = getattr(cherrypy.request.app, "dashboard_mode", "full")
    may = {scope: mode == "full" and who is not None and who.may(scope) for scope in (DISPATCH, CANCEL)}
    return {
        "prefix": path_prefix.of_request(),
        "caller": who,
        "signed_in": who is not ANONYMOUS and session_cookie.token(cherrypy.request.headers),
        "may": may,
        "read_only": mode != "full",
        "marks": MARKS,
        "asset": asset,
    }


def require_full() -> None:
    """Refuse an action of a page in read-only mode; raises ``Forbidden``."""
    if cherrypy.request.app.dashboard_mode != "full":
        raise Forbidden("This dashboard only shows jobs: the setting [dashboard] mode is read-only.")


def caller() -> Caller | None:
    """The caller that the guard has admitted; ``None`` in the page of an error before that."""
    found: Caller | None = cherrypy.request.caller
    return found


def service_address() -> str:
    """The address of the service by which the page was reached; a proxy that ends TLS names the scheme."""
    request = cherrypy.request
    scheme, _, host = request.base.partition("://")
    secure = request.headers.get("X-Forwarded-Proto", "").strip().lower() == "https"
    return f"{'https' if secure else scheme}://{host}{path_prefix.of_request()}"


def asset(name: str) -> str:
    """The address of a file of ``static``."""
    return f"{path_prefix.of_request()}/ui/static/{assets.current_version()}/{name}"


def current_path() -> str:
    """The page that is asked for, below the prefix, with its query; for a form, the page that it leads to, or ``/``."""
    request = cherrypy.request
    if request.method != "GET":
        return str(request.form.get("next", ["/"])[-1])
    path = raw_path(getattr(request, "wsgi_environ", {}), request.path_info)
    return f"{path}?{request.query_string}" if request.query_string else path


@lru_cache(maxsize=1)
def environment() -> Environment:
    """Jinja's environment; what a template prints is escaped, and a name that it does not know is an error."""
    made = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    made.filters |= {"moment": moment, "duration": duration, "pretty": pretty, "count": count}
    made.filters |= {"plain": plain, "address": partial(quote, safe="")}
    return made


def moment(micros: int | None) -> Markup:
    """A time in UTC, which the page's script shows in the reader's zone; a dash if it has not come."""
    if micros is None:
        return Markup('<span class="none">—</span>')
    at = datetime.fromtimestamp(micros / 1_000_000, UTC)
    return Markup('<time datetime="{}" title="{}">{}</time>').format(
        iso(micros), f"{at:%Y-%m-%d %H:%M:%S.%f}"[:-3] + " UTC", f"{at:%Y-%m-%d %H:%M:%S} UTC"
    )


def duration(seconds: float | None) -> str:
    """A duration in two units at most: ``41 ms``, ``3.2 s``, ``4 min 05 s``, ``2 h 10 min``, ``3 d 4 h``."""
    if seconds is None:
        return "—"
    if seconds < 1:
        return f"{max(0, round(seconds * 1000))} ms"
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours < 1:
        return f"{minutes} min {rest:02d} s"
    days, hours = divmod(hours, 24)
    return f"{days} d {hours} h" if days else f"{hours} h {minutes:02d} min"


def count(number: int) -> str:
    """A number with separators between thousands."""
    return f"{number:,}"


def pretty(value: Any) -> str:
    """A JSON value on several lines."""
    return json.dumps(value, indent=2, ensure_ascii=False, default=str)
