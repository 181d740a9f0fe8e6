"""Reads an NDJSON body line by line while it arrives (https://github.com/ndjson/ndjson-spec)."""

from collections.abc import Iterator
from typing import Any

import cherrypy

from ...core import strict_json
from ...core.errors import BadRequest

NDJSON = "application/x-ndjson"
MAX_LINE = 1_048_576
"""The longest line, in bytes; a longer one is skipped without being held in memory."""


class Lines:
    """The values of an NDJSON body, each read on demand; a ``BadRequest`` in place of a line that is not JSON."""

    def __init__(self, source: Any) -> None:
        self._source = source

    def __iter__(self) -> Iterator[Any]:
        while line := self._source.readline(MAX_LINE + 1):
            if len(line) > MAX_LINE:
                self._skip_rest(line)
                yield BadRequest(f"The line is longer than {MAX_LINE} bytes.")
            elif line.strip():
                yield _value(line)

    def _skip_rest(self, line: bytes) -> None:
        while line and not line.endswith(b"\n"):
            line = self._source.readline(MAX_LINE)


def read_lines(entity: Any) -> None:
    """Set ``request.json`` to the lines of the body; CherryPy's processor for ``application/x-ndjson``."""
    cherrypy.request.json = Lines(entity.fp)


def _value(line: bytes) -> Any:
    try:
        return strict_json.loads(line, exact=True)
    except ValueError as error:
        return BadRequest(f"The line is not JSON: {error}.")
