"""The one shape of every error answer: problem details for HTTP APIs (RFC 9457).

Beside the standard members it carries ``message``, the same text as ``detail``, as its family of
services has always done. No traceback, SQL or path is ever in it.
"""

import sys
from collections.abc import Callable
from http import HTTPStatus
from typing import Any

import cherrypy

from .. import errors, jsontext

STATUS: dict[type[errors.DispatcherError], HTTPStatus] = {
    errors.BadRequest: HTTPStatus.BAD_REQUEST,
    errors.NotFound: HTTPStatus.NOT_FOUND,
    errors.PurgedJob: HTTPStatus.GONE,
    errors.BatchTooLarge: HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    errors.NothingValid: HTTPStatus.UNPROCESSABLE_ENTITY,
    errors.BadDispatch: HTTPStatus.UNPROCESSABLE_ENTITY,
    errors.KeyReused: HTTPStatus.UNPROCESSABLE_ENTITY,
    errors.AlreadyFinal: HTTPStatus.CONFLICT,
    errors.NoResult: HTTPStatus.CONFLICT,
    errors.Unauthorized: HTTPStatus.UNAUTHORIZED,
    errors.Forbidden: HTTPStatus.FORBIDDEN,
    errors.TooManyRequests: HTTPStatus.TOO_MANY_REQUESTS,
    errors.Unavailable: HTTPStatus.SERVICE_UNAVAILABLE,
}
"""The status of each class of error; a class that is not here has that of its nearest base."""
PROBLEM_JSON = "application/problem+json"
TYPE_PREFIX = "urn:pacifica-dispatcher:problem:"


def status_of(error: errors.DispatcherError) -> HTTPStatus:
    """The HTTP status of an error: a class without one of its own is a fault of the server."""
    return next((STATUS[kind] for kind in type(error).__mro__ if kind in STATUS), HTTPStatus.INTERNAL_SERVER_ERROR)


def of(error: errors.DispatcherError) -> dict[str, Any]:
    """The problem document of an error."""
    return members(status_of(error), error.code, str(error), dict(error.details()))


def of_item(error: errors.DispatcherError) -> dict[str, Any]:
    """The problem document of one item of a batch, where the first faults tell enough."""
    if not isinstance(error, errors.BadDispatch):
        return of(error)
    most = errors.MOST_OF_ITEM
    return members(status_of(error), error.code, error.sentence(most), dict(error.details(most)))


def respond_to_exception() -> None:
    """Make the answer of the exception that is being handled; CherryPy's ``request.error_response``."""
    error = sys.exc_info()[1]
    if isinstance(error, errors.DispatcherError):
        answer(error)
    else:
        cherrypy.log("A request failed in a way that nobody foresaw.", traceback=True)
        _respond(HTTPStatus.INTERNAL_SERVER_ERROR, "internal", "The service failed; its log tells why.", {})


def answer(error: errors.DispatcherError) -> None:
    """Make the answer of an error of ours."""
    headers = cherrypy.response.headers
    if isinstance(error, errors.Unauthorized | errors.MissingScope):
        headers["WWW-Authenticate"] = f'Bearer realm="pacifica-dispatcher"{_challenge(error)}'
    if isinstance(error, errors.Unavailable | errors.TooManyRequests):
        headers["Retry-After"] = str(error.retry_after)
    _respond(status_of(error), error.code, str(error), dict(error.details()))


def _challenge(error: errors.Unauthorized | errors.MissingScope) -> str:
    """What a client is to do better (RFC 6750, section 3); a task's name may hold what this syntax does not."""
    if isinstance(error, errors.MissingScope):
        return f', error="insufficient_scope", scope="{error.plain_scope}"'
    return ', error="invalid_token"' if error.invalid else ""


class Refusal(cherrypy.HTTPError):  # type: ignore[misc]
    """An error of ours as CherryPy's own: of any other one that leaves a hook it logs the traceback."""

    def __init__(self, error: errors.DispatcherError) -> None:
        super().__init__(status_of(error).value, str(error))
        self._error = error

    def set_response(self) -> None:
        """Make the answer."""
        answer(self._error)


def refusing(hook: Callable[[], None]) -> Callable[[], None]:
    """The hook, raising ``Refusal`` for an error of ours."""

    def run() -> None:
        try:
            hook()
        except errors.DispatcherError as error:
            raise Refusal(error) from error

    return run


def page(status: str, message: str, **_: Any) -> bytes:
    """The body for an error that CherryPy itself raised; its ``error_page.default``."""
    code = HTTPStatus(int(status.split(" ", 1)[0]))
    request = cherrypy.request
    if code is HTTPStatus.NOT_ACCEPTABLE:
        cherrypy.response.headers["Vary"] = "Accept"
    details = {
        HTTPStatus.NOT_FOUND: f"There is nothing at {request.path_info[:200]}; GET / lists what there is.",
        HTTPStatus.METHOD_NOT_ALLOWED: f"{request.method} is not allowed here; "
        f"allowed are {cherrypy.response.headers.get('Allow', 'none')}.",
    }
    return _body(code, code.name.lower().replace("_", "-"), details.get(code, message), {})


def trim() -> None:
    """Take off the blanks that CherryPy appends to short error pages; a tool, before the answer is final."""
    response = cherrypy.serving.response
    if response.headers.get("Content-Type") == PROBLEM_JSON:
        response.body = [response.collapse_body().rstrip() + b"\n"]
        response.headers.pop("Content-Length", None)


def _respond(status: HTTPStatus, code: str, detail: str, extra: dict[str, Any]) -> None:
    response = cherrypy.response
    response.status = f"{status.value} {status.phrase}"
    response.body = [_body(status, code, detail, extra)]
    response.headers.pop("Content-Length", None)


def _body(status: HTTPStatus, code: str, detail: str, extra: dict[str, Any]) -> bytes:
    cherrypy.response.headers["Content-Type"] = PROBLEM_JSON
    return jsontext.pretty(members(status, code, detail, extra))


def members(status: HTTPStatus, code: str, detail: str, extra: dict[str, Any]) -> dict[str, Any]:
    """The problem document, for those who answer without CherryPy; ``code`` ends its ``type``."""
    return {
        "type": TYPE_PREFIX + code,
        "title": status.phrase,
        "status": status.value,
        "detail": detail,
        "message": detail,
        **extra,
    }
