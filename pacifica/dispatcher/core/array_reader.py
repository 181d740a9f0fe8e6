"""Reads a JSON array element by element.

The parser of Python lets no other thread run until it returns, and cannot be limited; so it never gets more than the
text that one element may have.
"""

import re
from collections.abc import Iterator
from typing import Any

from . import strict_json

_SPACE = re.compile(r"[ \t\n\r]*+")
_NEAR = 16
"""A fault, or the end of a number, in so many last characters of a part of the text may be due to its end."""


class ElementTooLong(ValueError):
    """An element of the array has more characters than are allowed."""


class ArrayReader:
    """The elements of a JSON array, each read on demand and at most once.

    Iterating raises ``ValueError`` with a sentence if the text is not a JSON array, and ``ElementTooLong`` for an
    element of more than ``limit`` characters.
    """

    def __init__(self, text: str, limit: int) -> None:
        self._text = text
        self._limit = limit
        self._begin = 0
        self._part = text[: limit + _NEAR]

    def __iter__(self) -> Iterator[Any]:
        at = self._skip(0, "[", "Expecting an array")
        if self._text[at : at + 1] != "]":
            number = 0
            while True:
                number += 1
                value, at = self._element(at, number)
                yield value
                at = self._after_space(at)
                if self._text[at : at + 1] == "]":
                    break
                at = self._skip(at, ",", "Expecting ',' delimiter")
        end = self._skip(at, "]", "")
        if end != len(self._text):
            raise self._fault("Extra data", end)

    def _element(self, at: int, number: int) -> tuple[Any, int]:
        """The element at this position, and the position of its end."""
        try:
            value, end = strict_json.decode_at(self._part, at - self._begin)
            whole = end <= len(self._part) - _NEAR
        except strict_json.DecodeFault as error:
            whole = error.position < len(self._part) - _NEAR and not error.unterminated
            if whole or self._reaches_end():
                raise self._fault(error.reason, self._begin + error.position) from None
        if whole or self._reaches_end():
            return value, self._begin + end
        if self._begin == at:
            raise ElementTooLong(f"item {number} has more than {self._limit} characters")
        self._begin, self._part = at, self._text[at : at + self._limit + _NEAR]
        return self._element(at, number)

    def _reaches_end(self) -> bool:
        return self._begin + len(self._part) == len(self._text)

    def _skip(self, at: int, sign: str, expected: str) -> int:
        """The position after the sign and the spaces around it."""
        at = self._after_space(at)
        if self._text[at : at + 1] != sign:
            raise self._fault(expected, at)
        return self._after_space(at + 1)

    def _after_space(self, at: int) -> int:
        found = _SPACE.match(self._text, at)
        return found.end() if found else at

    def _fault(self, reason: str, at: int) -> ValueError:
        line = self._text.count("\n", 0, at) + 1
        column = at - self._text.rfind("\n", 0, at)
        return ValueError(f"{reason} at line {line}, column {column}")
