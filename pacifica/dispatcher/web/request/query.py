"""Checks the query string: it must be readable, and hold only parameters that the operation declares."""

import re

import cherrypy
from cherrypy.lib import httputil

from ...core.errors import BadQuery
from ..operation import Query


def check_readable() -> None:
    """Refuse an unreadable query with 400, which CherryPy would answer with 404."""
    query = cherrypy.serving.request.query_string
    if not query:
        return
    try:
        httputil.parse_query_string(query)
    except ValueError:
        raise BadQuery("The query cannot be read. Write it as NAME=VALUE pairs in percent-encoded UTF-8.") from None


def check_declared() -> None:
    """Refuse a query parameter that the operation does not declare; without a handler, the answer stays 404 or 405."""
    request = cherrypy.serving.request
    if not request.query_string or isinstance(request.handler, cherrypy.HTTPError):
        return
    allowed = request.operation.query if request.operation is not None else {}
    for name in httputil.parse_query_string(request.query_string):
        if name not in allowed:
            hint = f"Allowed: {', '.join(allowed)}" if allowed else "This route takes none"
            raise BadQuery(f"The query parameter {name[:80]!r} is not known. {hint}.")


def whole_number(value: Query, name: str, default: int, most: int) -> int:
    """The parameter ``name`` as a number from 1 to ``most``; raises ``BadQuery``."""
    if value is None:
        return default
    if not isinstance(value, str) or not re.fullmatch("[0-9]{1,6}", value, re.ASCII) or not 1 <= int(value) <= most:
        raise BadQuery(f"The query parameter {name} is {value!r:.80}. It must be one whole number from 1 to {most}.")
    return int(value)
