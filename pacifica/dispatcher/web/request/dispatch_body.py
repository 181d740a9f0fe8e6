"""The JSON bodies of ``POST /dispatch/<task>`` and, for a batch, of ``POST /dispatch``."""

from collections.abc import Iterator, Mapping
from typing import Any

from ...core.dispatch_options import DispatchOptions
from ...core.errors import BadRequest, DispatcherError, MissingScope
from ...core.permissions import DISPATCH, Caller
from ...service.batch_items import DispatchItem
from .ndjson import Items, Lines

MEMBERS: Mapping[str, tuple[type, str]] = {
    "args": (list, "an array"),
    "kwargs": (dict, "an object"),
    "options": (dict, "an object"),
}


def read_dispatch(task: str, value: Any) -> DispatchItem:
    """The dispatch of a task; raises ``BadRequest`` naming the member that is wrong."""
    names = ", ".join(MEMBERS)
    if not isinstance(value, dict):
        raise BadRequest(f"The body must be a JSON object with the members {names}; all are optional.")
    for name in value:
        if name not in MEMBERS:
            advice = f" Write {name} into the member options." if name in DispatchOptions.model_fields else ""
            raise BadRequest(f"The body has an unknown member {name[:80]!r}. Allowed members are {names}.{advice}")
    found = {name: value.get(name, kind()) for name, (kind, _) in MEMBERS.items()}
    for name, (kind, description) in MEMBERS.items():
        if not isinstance(found[name], kind):
            raise BadRequest(f"The member {name} of the body must be {description}.")
    return DispatchItem(task, **found)


def read_batch(values: Any, caller: Caller) -> Iterator[DispatchItem | DispatcherError]:
    """The items in order: a dispatch, or the error of an item that is malformed or beyond the caller's scope."""
    if not isinstance(values, (Items, Lines)):
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
    return read_dispatch(task, {name: member for name, member in value.items() if name != "task"})
