"""The items of a batch, each read on demand from a JSON array or NDJSON (https://github.com/ndjson/ndjson-spec)."""

from collections.abc import Iterator
from typing import Any

import cherrypy

from ...core import strict_json
from ...core.array_reader import ArrayReader, ElementTooLong
from ...core.errors import BadRequest

NDJSON = "application/x-ndjson"
MAX_EMPTY_LINES = 10_000
"""The most empty lines of a body; each is read by itself."""


class Items:
    """The items in a JSON text; raises ``BadRequest`` if it is not an array, and 413 for an item above ``limit``."""

    def __init__(self, text: str, limit: int) -> None:
        self._array = ArrayReader(text, limit)

    def __iter__(self) -> Iterator[Any]:
        try:
            yield from self._array
        except ElementTooLong as error:
            raise cherrypy.HTTPError(413, f"The body is not accepted: {error}.") from None
        except ValueError as error:
            raise BadRequest(f"The body is not JSON: {error}.") from None


class Lines:
    """The values of an NDJSON body; a ``BadRequest`` in place of a line that is not JSON or has over ``limit`` bytes.

    A line that is too long is skipped without being held in memory.
    """

    def __init__(self, source: Any, limit: int) -> None:
        self._source = source
        self._limit = limit

    def __iter__(self) -> Iterator[Any]:
        empty = 0
        while line := self._source.readline(self._limit + 1):
            if len(line) > self._limit:
                self._skip_rest(line)
                yield BadRequest(f"The line is longer than {self._limit} bytes.")
            elif line.strip():
                yield _value(line)
            elif (empty := empty + 1) > MAX_EMPTY_LINES:
                raise BadRequest(f"The body has more than {MAX_EMPTY_LINES} empty lines.")

    def _skip_rest(self, line: bytes) -> None:
        while line and not line.endswith(b"\n"):
            line = self._source.readline(self._limit)


def _value(line: bytes) -> Any:
    try:
        return strict_json.loads(line, exact=True)
    except ValueError as error:
        return BadRequest(f"The line is not JSON: {error}.")
