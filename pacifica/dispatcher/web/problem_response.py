"""Makes CherryPy answer every error, its own included, with a problem document."""

import logging
import sys
from http import HTTPStatus
from typing import Any

import cherrypy

from ..core import errors, strict_json
from . import problem_document
from .middleware import last_resort
from .problem_document import PROBLEM_JSON, status_of

HTML = "text/html"


def respond_to_exception() -> None:
    """Answer with the exception that is being handled; CherryPy's ``request.error_response``."""
    error = sys.exc_info()[1]
    if isinstance(error, errors.DispatcherError):
        answer(error)
    else:
        cherrypy.log("Unhandled exception while answering a request.", traceback=True, severity=logging.ERROR)
        _respond(problem_document.internal())


def answer(error: errors.DispatcherError) -> None:
    """Answer with the problem document of an error, and the headers that belong to it."""
    headers = cherrypy.response.headers
    if isinstance(error, errors.Unauthorized | errors.MissingScope):
        headers["WWW-Authenticate"] = f'Bearer realm="pacifica-dispatcher"{_challenge(error)}'
    if isinstance(error, errors.Unavailable | errors.TooManyRequests):
        headers["Retry-After"] = str(error.retry_after)
    _respond(problem_document.of(error))


def _challenge(error: errors.Unauthorized | errors.MissingScope) -> str:
    """The error part of the challenge (RFC 6750, section 3); without a task name, which may violate its syntax."""
    if isinstance(error, errors.MissingScope):
        return f', error="insufficient_scope", scope="{error.plain_scope}"'
    return ', error="invalid_token"' if error.invalid else ""


class HookError(cherrypy.HTTPError):  # type: ignore[misc]
    """A ``DispatcherError`` as an error of CherryPy, which can be the handler of a request."""

    def __init__(self, error: errors.DispatcherError) -> None:
        super().__init__(status_of(error).value, str(error))
        self._error = error

    def set_response(self) -> None:
        answer(self._error)


def page(status: str, message: str, **_: Any) -> bytes:
    """The body of an error that CherryPy raised; its ``error_page.default``.

    It raises nothing, because CherryPy would show the exception in a page of HTML.
    """
    try:
        return _page(status, message)
    except Exception:  # noqa: BLE001 - it is logged
        cherrypy.log("Unhandled exception while answering with an error.", traceback=True, severity=logging.ERROR)
        cherrypy.response.status = last_resort.STATUS
        cherrypy.response.headers["Content-Type"] = PROBLEM_JSON
        return last_resort.BODY


def _page(status: str, message: str) -> bytes:
    code = _known(int(status.split(" ", 1)[0]))
    request = cherrypy.request
    if code is HTTPStatus.NOT_ACCEPTABLE:
        cherrypy.response.headers["Vary"] = "Accept"
    details = {
        HTTPStatus.NOT_FOUND: f"There is no resource at {request.path_info[:200]}. GET / lists the routes.",
        HTTPStatus.METHOD_NOT_ALLOWED: f"The method {request.method} is not allowed here. "
        f"Allowed: {cherrypy.response.headers.get('Allow', 'none')}.",
    }
    return _body(problem_document.of_status(code, details.get(code, message)))


def _known(code: int) -> HTTPStatus:
    """The status; one that is not registered is answered as the first of its class (RFC 9110, section 15)."""
    if code not in set(HTTPStatus):
        code = HTTPStatus.BAD_REQUEST if code < HTTPStatus.INTERNAL_SERVER_ERROR else HTTPStatus.INTERNAL_SERVER_ERROR
        cherrypy.response.status = code
    return HTTPStatus(code)


def trim() -> None:
    """Remove the spaces that CherryPy appends to short error pages."""
    response = cherrypy.serving.response
    if response.headers.get("Content-Type") == PROBLEM_JSON:
        response.body = [response.collapse_body().rstrip() + b"\n"]
        response.headers.pop("Content-Length", None)


def _respond(problem: dict[str, Any]) -> None:
    response = cherrypy.response
    response.status = f"{problem['status']} {problem['title']}"
    for name in ("Content-Length", "Content-Encoding"):  # A page may have failed that was already compressed.
        response.headers.pop(name, None)
    response.body = [_body(problem)]


def _body(problem: dict[str, Any]) -> bytes:
    as_page = getattr(cherrypy.serving.request.app, "problem_page", None)
    if as_page is not None and _is_for_people(cherrypy.serving.request):
        rendered: bytes = as_page(problem)
        return rendered
    cherrypy.response.headers["Content-Type"] = PROBLEM_JSON
    return strict_json.pretty(problem)


def _is_for_people(request: Any) -> bool:
    """Whether a page is asked for: by its route, or by a browser at a path that has no route, or has pages."""
    if request.operation is not None and request.operation.page:
        return True
    path = request.path_template
    has_pages = path is None or path == "/" or path.startswith("/ui/")
    return has_pages and HTML in dict.get(request.headers, "Accept", "").lower()
