"""Problem documents (RFC 9457), the single format of all error responses.

Besides the standard members they carry ``message``, equal to ``detail``, as the other Pacifica services do. They never
contain a traceback, SQL or a file path. gunicorn's master imports this module, so it does not import CherryPy.
"""

from collections.abc import Mapping
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
    errors.GetDispatchOff: HTTPStatus.METHOD_NOT_ALLOWED,
    errors.TooManyRequests: HTTPStatus.TOO_MANY_REQUESTS,
    errors.Unavailable: HTTPStatus.SERVICE_UNAVAILABLE,
}
"""The status of each class of errors; a class that is not listed has the status of its nearest base."""
PROBLEM_JSON = "application/problem+json"
TYPE_PREFIX = "urn:pacifica-dispatcher:problem:"


def status_of(error: errors.DispatcherError) -> HTTPStatus:
    """The HTTP status of an error; 500 for a class without a status."""
    return next((STATUS[kind] for kind in type(error).__mro__ if kind in STATUS), HTTPStatus.INTERNAL_SERVER_ERROR)


def of(error: errors.DispatcherError) -> dict[str, Any]:
    return members(status_of(error), error.code, str(error), error.details())


def of_status(status: HTTPStatus, detail: str) -> dict[str, Any]:
    """The problem document of an error that has no class, named after its status."""
    return members(status, status.name.lower().replace("_", "-"), detail)


def as_item(error: errors.DispatcherError) -> dict[str, Any]:
    """The entry of a failed item in the answer to a batch, with only its first faults."""
    if not isinstance(error, errors.BadDispatch):
        return {"problem": of(error)}
    sentence, details = error.sentence(MAX_ITEM_FAULTS), error.details(MAX_ITEM_FAULTS)
    return {"problem": members(status_of(error), error.code, sentence, details)}


def members(status: HTTPStatus, code: str, detail: str, extra: Mapping[str, Any] = {}) -> dict[str, Any]:
    """The members of a problem document; ``code`` is the last part of its ``type``."""
    return {
        "type": TYPE_PREFIX + code,
        "title": status.phrase,
        "status": status.value,
        "detail": detail,
        "message": detail,
        **extra,
    }


def internal() -> dict[str, Any]:
    """The problem document of an unhandled exception, which reveals nothing of it."""
    return members(HTTPStatus.INTERNAL_SERVER_ERROR, "internal", "The service failed. Its log has the details.")
