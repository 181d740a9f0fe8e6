"""Between the fields of a form and the JSON values that they stand for, in both directions.

``written`` gives the fields of a value, and ``FieldReader`` the value of fields as they were submitted. A value
that its fields cannot show exactly is written as JSON, so that reading what was written always gives the same value.
"""

import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from itertools import takewhile
from typing import Any

from ..core import control_characters, strict_json
from ..core.faults import Fault
from ..core.text_values import DECIMAL
from ..core.text_values import WHOLE as WHOLE_TEXT
from .form_schema import (
    ABSENT,
    BOOLEAN,
    CHOICE,
    GROUP,
    JSON_TEXT,
    LINES,
    LOOSE,
    MOMENT,
    NUMBER,
    ROWS,
    TUPLE,
    WHOLE,
    FormNode,
    Meaning,
    Place,
)

Typed = Mapping[str, str]
"""The fields of a form by name, as they were submitted."""
EMPTY, ZONE, JSON, COUNT, TALL = "empty", "zone", "json", "count", "tall"
"""The further fields of a value: the meaning of an empty field, an offset, its JSON text, its number of rows, and
whether it is written on several lines."""
_ROW = re.compile(r"\[[0-9]{1,3}\]", re.ASCII)
LOCAL = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}(:[0-9]{2}(\.[0-9]{1,3})?)?", re.ASCII)
OFFSET = re.compile(r"Z|[+-][0-9]{2}:[0-9]{2}", re.ASCII)
MAX_ROWS = 100
"""The most rows of fields; a longer list is written as JSON."""


@dataclass
class FieldReader:
    """Reads the values of submitted fields, and collects the faults of those that are not JSON.

    ``incomplete``: a field is empty that must not be.
    """

    typed: Typed
    faults: list[Fault] = field(default_factory=list)
    incomplete: bool = False

    def read(self, node: FormNode, place: Place) -> Any:
        """The value, or ``ABSENT``; a text that is not of the node's kind is the value itself, and fails its check."""
        raw = self.typed.get(place.field(JSON))
        if raw is not None:
            self.incomplete |= node.required and not raw.strip()
            return self._json(raw, place) if raw.strip() else ABSENT
        if node.kind in {GROUP, TUPLE, ROWS}:
            return self._rows(node, place) if node.kind == ROWS else self._group(node, place)
        return self._simple(node, place)

    def meaning(self, node: FormNode, place: Place) -> Meaning:
        """The meaning of the field if it is empty."""
        allowed = node.meanings()
        chosen = self.typed.get(place.field(EMPTY))
        return next((one for one in allowed if one.value == chosen), allowed[0])

    def rows(self, place: Place) -> int:
        """The number of rows: those that have fields, and one more, so that a small form cannot claim many."""
        text = self.typed.get(place.field(COUNT), "")
        claimed = min(int(text), MAX_ROWS) if text.isascii() and text.isdigit() and len(text) < 9 else 0
        name = place.field()
        present = takewhile(lambda row: f"{name}[{row}]" in self._rows_with_fields, range(claimed))
        return min(claimed, len(list(present)) + 1)

    @cached_property
    def _rows_with_fields(self) -> frozenset[str]:
        return frozenset(name[: row.end()] for name in self.typed for row in _ROW.finditer(name))

    def _simple(self, node: FormNode, place: Place) -> Any:
        text = _plain_lines(self.typed.get(place.field(), ""))
        if not text or (node.kind == LINES and not text.strip()):
            return self._of_meaning(node, place)
        if node.kind == LINES and node.item is not None:
            return [self._one(node.item, line, place) for line in text.split("\n") if line.strip()]
        if node.kind == MOMENT:
            return self._moment(text, place)
        return self._one(node, text, place)

    def _of_meaning(self, node: FormNode, place: Place) -> Any:
        chosen = self.meaning(node, place)
        self.incomplete |= chosen is Meaning.MISSING
        if chosen is Meaning.EMPTY:
            return [] if node.kind in {LINES, ROWS} else ""
        return None if chosen is Meaning.NULL else ABSENT

    def _one(self, node: FormNode, text: str, place: Place) -> Any:
        if node.kind in {JSON_TEXT, LOOSE}:
            return self._json(text, place) if node.kind == JSON_TEXT or _means_json(text) else text
        return READERS.get(node.kind, _as_text)(node, text)

    def _moment(self, text: str, place: Place) -> str:
        zone = self.typed.get(place.field(ZONE), "")
        return text + zone if LOCAL.fullmatch(text) and OFFSET.fullmatch(zone) else text.strip()

    def _group(self, node: FormNode, place: Place) -> Any:
        if (chosen := self.meaning(node, place)) is not Meaning.GIVEN:
            return None if chosen is Meaning.NULL else ABSENT
        if node.kind == TUPLE:
            items = [self.read(child, place.below(int(child.key))) for child in node.children]
            return ["" if item is ABSENT else item for item in items]
        found = {child.key: self.read(child, place.below(child.key)) for child in node.children}
        return {key: value for key, value in found.items() if value is not ABSENT}

    def _rows(self, node: FormNode, place: Place) -> Any:
        number, item = self.rows(place), node.item
        if not number or item is None:
            return self._of_meaning(node, place)
        return [self.read(item, place.below(index)) for index in range(number)]

    def _json(self, text: str, place: Place) -> Any:
        try:
            return strict_json.loads(text, exact=True)
        except ValueError as error:
            self.faults.append(Fault(place.where, f"is not JSON: {error}"))
            return text


def written(node: FormNode, place: Place, value: Any) -> dict[str, str]:
    """The fields of a value; ``ABSENT`` for one that is left out."""
    fields = dict(_written(node, place, value))
    reading = FieldReader(fields)
    if not reading.faults and _same(reading.read(node, place), value):
        return fields
    return {} if value is ABSENT else {place.field(JSON): json_for_people(value)}


def json_for_people(value: Any) -> str:
    """A JSON text with readable letters; a long one has several lines."""
    line = json.dumps(value, ensure_ascii=False)
    text = line if len(line) <= 60 else json.dumps(value, ensure_ascii=False, indent=2)
    return control_characters.in_json(text)


def number_of(text: str) -> Any:
    """The number that a text stands for; any other text as it is."""
    bare = text.strip().removeprefix("+")
    full = re.sub(r"^(-?)\.", r"\g<1>0.", bare)
    if not (WHOLE_TEXT.match(full) or DECIMAL.match(full)):
        return text.strip()
    try:
        return strict_json.loads(full, exact=True)
    except ValueError:
        return text.strip()


def choice_text(value: Any) -> str:
    """The text of a choice in a form."""
    return strict_json.dumps(value)


def _written(node: FormNode, place: Place, value: Any) -> Iterator[tuple[str, str]]:
    meaning = _meaning_of(node, value)
    if meaning is not None:
        yield place.field(EMPTY), meaning.value
    elif isinstance(value, list | dict):
        yield from _written_container(node, place, value)
    elif value is not ABSENT and node.kind == MOMENT and isinstance(value, str):
        yield from _written_moment(place, value)
    elif value is not ABSENT and (text := _text_of(node, value)) is not None:
        yield place.field(), text


def _meaning_of(node: FormNode, value: Any) -> Meaning | None:
    """The meaning of an empty field that gives this value, if there is one to choose."""
    wanted = {"out": ABSENT, "null": None, "empty": [] if node.kind in {LINES, ROWS} else ""}
    return next((one for one in node.meanings() if one.value in wanted and _same(wanted[one.value], value)), None)


def _written_container(node: FormNode, place: Place, value: Any) -> Iterator[tuple[str, str]]:
    if node.kind == LINES and node.item is not None and isinstance(value, list):
        lines = [_line_of(node.item, each) for each in value]
        if None not in lines:
            yield place.field(), "\n".join(filter(None, lines))
    elif node.kind == ROWS and node.item is not None and isinstance(value, list) and len(value) <= MAX_ROWS:
        yield place.field(COUNT), str(len(value))
        for index, each in enumerate(value):
            yield from written(node.item, place.below(index), each).items()
    elif node.kind == GROUP and isinstance(value, dict):
        yield place.field(EMPTY), Meaning.GIVEN.value
        for child in node.children:
            yield from written(child, place.below(child.key), value.get(child.key, ABSENT)).items()
    elif node.kind == TUPLE and isinstance(value, list) and len(value) == len(node.children):
        yield place.field(EMPTY), Meaning.GIVEN.value
        for child, each in zip(node.children, value, strict=True):
            yield from written(child, place.below(int(child.key)), each).items()
    elif node.kind == LOOSE:
        yield place.field(), json_for_people(value)


def _written_moment(place: Place, value: str) -> Iterator[tuple[str, str]]:
    local = LOCAL.match(value)
    if local is not None and OFFSET.fullmatch(value, local.end()):
        yield place.field(), local[0]
        yield place.field(ZONE), value[local.end() :]
    elif not _is_unprintable(value):
        yield place.field(), value


def _text_of(node: FormNode, value: Any) -> str | None:
    """The text of a simple value in a field or on a line; ``None`` if it needs JSON."""
    if node.kind in {BOOLEAN, CHOICE}:
        return None if isinstance(value, list | dict) else choice_text(value)
    if isinstance(value, str):
        loose = node.kind == LOOSE and _means_json(value)
        return None if _is_unprintable(value) else choice_text(value) if loose else value
    if isinstance(value, strict_json.ExactNumber):
        return value.digits
    return None if isinstance(value, list | dict) else choice_text(value)


def _line_of(node: FormNode, value: Any) -> str | None:
    """The text of an item: a choice without quotation marks if it is not mistaken for another one."""
    bare = node.kind == CHOICE and isinstance(value, str) and _same(_as_choice(node, value), value)
    return value if bare and not _is_unprintable(value) else _text_of(node, value)


def _is_unprintable(text: str) -> bool:
    """Whether a field would change the text, or would not show it."""
    return control_characters.lines(text) != text or "\t" in text


def _same(one: Any, other: Any) -> bool:
    if one is ABSENT or other is ABSENT:
        return one is other
    return json.dumps(one, sort_keys=True) == json.dumps(other, sort_keys=True)


def _plain_lines(text: str) -> str:
    """The text with the line breaks of a value; browsers send a carriage return before each."""
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _means_json(text: str) -> bool:
    """Whether a text in a field for any value is JSON; others are the text itself."""
    bare = text.strip()
    return bare[:1] in {"{", "[", '"'} or bare in {"true", "false", "null"} or bool(DECIMAL.match(bare))


def _as_text(_: FormNode, text: str) -> str:
    return text


def _as_number(_: FormNode, text: str) -> Any:
    return number_of(text)


def _as_choice(node: FormNode, text: str) -> Any:
    """The choice of this JSON text, or on a line also of this plain text; any other text as it is."""
    if node.nullable and text.strip() == "null":
        return None
    choices = (True, False) if node.kind == BOOLEAN else node.choices
    by_text = {one: one for one in choices if isinstance(one, str)} | {choice_text(one): one for one in choices}
    spoken = {"yes": True, "no": False} if node.kind == BOOLEAN else {}
    return (spoken | by_text).get(text.strip(), text)


READERS: Mapping[str, Callable[[FormNode, str], Any]] = {
    WHOLE: _as_number,
    NUMBER: _as_number,
    CHOICE: _as_choice,
    BOOLEAN: _as_choice,
}
