"""``POST /dispatch``: many jobs in one request, as a JSON array or as NDJSON, one JSON value a line.

NDJSON is read line by line while it arrives (https://github.com/ndjson/ndjson-spec).
"""

from collections.abc import Iterator
from typing import Any

import cherrypy

from ...core import strict_json
from ...core.errors import BadRequest, DispatcherError, MissingScope
from ...core.permissions import DISPATCH, Caller
from ...service.verbs import DispatchItem
from . import body

NDJSON = "application/x-ndjson"
LONGEST_LINE = 1_048_576
"""Bytes of one line; a longer one is that job's problem, and not read into memory."""


class Lines:
    """The values of an NDJSON body, each read when it is its turn; a line that is no JSON is a ``BadRequest``."""

    def __init__(self, source: Any) -> None:
        self._source = source

    def __iter__(self) -> Iterator[Any]:
        while line := self._source.readline(LONGEST_LINE + 1):
            if len(line) > LONGEST_LINE:
                while not line.endswith(b"\n") and (line := self._source.readline(LONGEST_LINE)):
                    pass
                yield BadRequest(f"The line is longer than {LONGEST_LINE} bytes.")
            elif line.strip():
                yield _value(line)


def read_lines(entity: Any) -> None:
    """Have ``request.json`` be the lines of the body; CherryPy's processor for ``application/x-ndjson``."""
    cherrypy.request.json = Lines(entity.fp)


def asked(values: Any, caller: Caller) -> Iterator[DispatchItem | DispatcherError]:
    """What the batch asks for, in order: a dispatch, or why an item is none, or none that the caller may ask for."""
    if not isinstance(values, (list, Lines)):
        raise BadRequest("The body must be a JSON array, or lines of JSON (application/x-ndjson); it is not an array.")
    for value in values:
        if isinstance(value, DispatcherError):
            yield value
            continue
        try:
            yield _asked(value, caller)
        except (BadRequest, MissingScope) as error:
            yield error


def _asked(value: Any, caller: Caller) -> DispatchItem:
    task = value.get("task") if isinstance(value, dict) else None
    if not isinstance(task, str):
        raise BadRequest("An item must be a JSON object with the member task, a text, and args, kwargs and options.")
    if not caller.may(DISPATCH, task):
        raise MissingScope(DISPATCH, task)
    given = body.read_dispatch({name: member for name, member in value.items() if name != "task"})
    return DispatchItem(task, given.args, given.kwargs, given.options)


def _value(line: bytes) -> Any:
    try:
        return strict_json.loads(line)
    except ValueError as error:
        return BadRequest(f"The line is not JSON: {error}.")
