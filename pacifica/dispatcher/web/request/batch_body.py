"""``POST /dispatch``: many jobs in one request, as a JSON array or as NDJSON."""

from collections.abc import Iterator
from typing import Any

from ...core.errors import BadRequest, DispatcherError, MissingScope
from ...core.permissions import DISPATCH, Caller
from ...service.batch_items import DispatchItem
from .body import read_dispatch
from .ndjson import Lines


def read_batch(values: Any, caller: Caller) -> Iterator[DispatchItem | DispatcherError]:
    """The items in order: a dispatch, or the error of an item that is malformed or beyond the caller's scope."""
    if not isinstance(values, (list, Lines)):
        raise BadRequest("The body must be a JSON array, or NDJSON with the Content-Type application/x-ndjson.")
    for value in values:
        try:
            yield _read_item(value, caller)
        except (BadRequest, MissingScope) as error:
            yield error


def _read_item(value: Any, caller: Caller) -> DispatchItem:
    if isinstance(value, DispatcherError):
        raise value
    task = value.get("task") if isinstance(value, dict) else None
    if not isinstance(task, str):
        raise BadRequest("An item must be a JSON object with the string task; args, kwargs and options are optional.")
    if not caller.may(DISPATCH, task):
        raise MissingScope(DISPATCH, task)
    body = read_dispatch({name: member for name, member in value.items() if name != "task"})
    return DispatchItem(task, body.args, body.kwargs, body.options)
