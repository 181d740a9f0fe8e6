"""What a problem document is: problem details for HTTP APIs (RFC 9457), the one shape of every error answer.

Beside the standard members it carries ``message``, the same text as ``detail``, as its family of
services has always done. No traceback, SQL or path is ever in it. gunicorn's master imports this: no CherryPy.
"""

from http import HTTPStatus
from typing import Any

from ..core import errors
from ..core.faults import MAX_ITEM_FAULTS

STATUS: dict[type[errors.DispatcherError], HTTPStatus] = {
    errors.BadRequest: HTTPStatus.BAD_REQUEST,
    errors.NotFound: HTTPStatus.NOT_FOUND,
    errors.PurgedJob: HTTPStatus.GONE,
    errors.BatchTooLarge: HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    errors.NothingValid: HTTPStatus.UNPROCESSABLE_ENTITY,
    errors.BadDispatch: HTTPStatus.UNPROCESSABLE_ENTITY,
    errors.KeyReused: HTTPStatus.UNPROCESSABLE_ENTITY,
    errors.AlreadyFinal: HTTPStatus.CONFLICT,
    errors.EndedWithoutResult: HTTPStatus.CONFLICT,
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
    sentence, details = error.summary.sentence(MAX_ITEM_FAULTS), error.summary.details(MAX_ITEM_FAULTS)
    return members(status_of(error), error.code, sentence, dict(details))


def members(status: HTTPStatus, code: str, detail: str, extra: dict[str, Any]) -> dict[str, Any]:
    """The problem document of an answer that may be no error of ours; ``code`` ends its ``type``."""
    return {
        "type": TYPE_PREFIX + code,
        "title": status.phrase,
        "status": status.value,
        "detail": detail,
        "message": detail,
        **extra,
    }
