"""The view of a form: for each value its field, with its text, its attributes, its faults and the words beside it."""

import datetime as dt
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ..core.faults import MAX_PLACE, Fault
from . import form_words
from .form_schema import (
    BOOLEAN,
    BYTES,
    CHOICE,
    DATE,
    GROUP,
    JSON_TEXT,
    LINES,
    LOOSE,
    MOMENT,
    NUMBER,
    ROWS,
    TEXT,
    TIME,
    TUPLE,
    WHOLE,
    FormNode,
    Meaning,
    Place,
)
from .form_values import JSON, LOCAL, TALL, ZONE, FieldReader, choice_text, number_of
from .task_call import EXTRA

_ITEM = re.compile(r"\[([0-9]+)\]$", re.ASCII)
FITS: Mapping[str, tuple[str, re.Pattern[str], Callable[[str], object]]] = {
    DATE: ("date", re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", re.ASCII), dt.date.fromisoformat),
    TIME: ("time", re.compile(r"[0-9]{2}:[0-9]{2}(:[0-9]{2})?", re.ASCII), dt.time.fromisoformat),
    MOMENT: ("datetime-local", LOCAL, dt.datetime.fromisoformat),
}
"""The input that a browser has for a kind; the form of the texts that it can show, and their reader."""
SAFE_NUMBER = 2**53
LONG_TEXT = 80
"""A text of more characters gets several lines."""
LONG_LIMIT = 255
"""A text that may have more characters than this has several lines from the start."""
_SIGN = r"(?:[A-Za-z0-9_ ]|\[(?:[A-Za-z0-9_.]|[A-Za-z0-9]-[A-Za-z0-9])+\]|\\[dw])"
PORTABLE = re.compile(rf"\^?(?:{_SIGN}(?:[*+?]|\{{[0-9]+(?:,[0-9]*)?\}})?)+\$?")
"""The patterns that mean the same to a browser."""


@dataclass(frozen=True, slots=True)
class FormField:
    """One value of the form as its page shows it; ``widget`` names the part of the template."""

    node: FormNode
    place: Place
    widget: str
    text: str = ""
    attributes: Mapping[str, str] = field(default_factory=dict)
    meaning: Meaning = Meaning.MISSING
    zone: str = ""
    children: Sequence["FormField"] = ()
    faults: Sequence[str] = ()

    @property
    def id(self) -> str:
        """An id without signs that links or selectors treat in a special way."""
        plain = re.sub(r"[^A-Za-z0-9-]", lambda sign: f"_{ord(sign[0]):x}", self.place.where)
        return f"{self.place.space}-{plain}"

    @property
    def name(self) -> str:
        return self.place.field()

    def further(self, part: str) -> str:
        """The name of another field of the value."""
        return self.place.field(part)

    @property
    def label(self) -> str:
        if self.node.key == EXTRA:
            return "further arguments"
        step = _ITEM.search(self.place.where)
        if step is None or (self.node.key and self.node.title):
            return self.node.title or self.node.key
        return f"{'value' if self.node.key else 'item'} {int(step[1]) + 1}"  # Of a tuple, or of a list.

    @property
    def key(self) -> str:
        """The key of a value whose label is another one; a value of a tuple has none."""
        return "" if _ITEM.search(self.place.where) or not self.node.title else self.node.key

    @property
    def hint(self) -> str:
        return form_words.hint(self.node)

    @property
    def meanings(self) -> Sequence[tuple[str, str]]:
        """The meanings of an empty field from which a reader may choose; empty if there is only one."""
        allowed = self.node.meanings()
        if self.widget == "json" or len(allowed) < 2:
            return ()
        return [(one.value, form_words.meaning_label(self.node, one)) for one in allowed]

    @property
    def when_empty(self) -> str:
        """The single meaning of an empty field that may be empty."""
        only = self.node.meanings()
        if self.widget == "select" or len(only) > 1 or self.node.required:
            return ""
        known = form_words.default_text(self.node)
        return f"default: {known}" if known else "optional"

    @property
    def options(self) -> Sequence[tuple[str, str]]:
        """The texts and the labels of the choices."""
        values = (True, False) if self.node.kind == BOOLEAN else self.node.choices
        found = [(choice_text(one), form_words.choice_label(one)) for one in values]
        return [*found, ("null", "null")] if self.node.nullable else found

    @property
    def item_choices(self) -> Sequence[str]:
        """The texts that an item of a list may have, if they are few; a browser offers them."""
        item = self.node.item
        return [] if item is None or self.node.kind != LINES else list(map(form_words.choice_label, item.choices))

    @property
    def blank_label(self) -> str:
        """The choice of nothing."""
        return form_words.meaning_label(self.node, self.node.meanings()[0])

    @property
    def is_unknown_choice(self) -> bool:
        """Whether the text is not one of the choices."""
        return bool(self.text) and self.text not in dict(self.options)

    @property
    def is_required(self) -> bool:
        """Whether the form is refused while the field is empty."""
        return self.meaning is Meaning.MISSING and self.widget not in {"check", "group", "rows"}

    @property
    def may_grow(self) -> bool:
        """Whether the field may have several lines on request."""
        fixed = {"format", "pattern", "maxLength"} & self.node.limits.keys()
        return self.widget == "input" and self.node.kind == TEXT and not fixed

    @property
    def has_words(self) -> bool:
        """Whether there is a text below the field."""
        return bool(self.hint or self.node.description or self.when_empty)

    @property
    def described_by(self) -> str:
        """The ids of the texts beside the field."""
        own = [f"{self.id}-about"] if self.has_words else []
        return " ".join([*own, *([f"{self.id}-fault"] if self.faults else [])])

    def all(self) -> Iterator["FormField"]:
        """This field and all below it."""
        yield self
        for child in self.children:
            yield from child.all()


@dataclass(frozen=True, slots=True)
class FormView:
    """The fields of a form, and the faults in their order: the fields that each concerns, if any, and a sentence."""

    fields: Sequence[FormField]
    faults: Sequence[tuple[Sequence[FormField], str]] = ()


def view(nodes: Sequence[FormNode], space: str, typed: Mapping[str, str], faults: Sequence[Fault] = ()) -> FormView:
    """The form with the submitted fields, and each fault at the innermost field that its place is within.

    A fault of the whole form or of a group is at the fields that its message names.
    """
    reader = FieldReader(typed)
    bare = [_field(node, Place(space, node.key), reader, {}) for node in nodes]
    by_place = {one.place.where: one for top in bare for one in top.all()}
    words = dict(_words_of_places(bare))
    at: dict[str, list[str]] = {}
    summary: list[tuple[Sequence[str], str]] = []
    for fault in faults:
        owner = _owner(fault.where, list(by_place), has_extra=EXTRA in by_place)
        whole = owner[:MAX_PLACE] == fault.where
        inner = "" if whole or not owner else f"{_inner(fault.where, owner)}: "
        named = _named(fault.message, by_place[owner].children if owner else bare) if whole or not owner else []
        for place in named or [owner]:
            at.setdefault(place, []).append(inner + fault.message)
        before = f"{words[owner]}{', ' if inner else ': '}{inner}" if owner else ""
        summary.append((named or [owner], before + fault.message))
    fields = [_field(node, Place(space, node.key), reader, at) for node in nodes]
    found = {one.place.where: one for top in fields for one in top.all()}
    return FormView(fields, [([found[one] for one in places if one], sentence) for places, sentence in summary])


def _words_of_places(fields: Sequence[FormField], before: str = "") -> Iterator[tuple[str, str]]:
    """Each place with the words for it, such as ``recipe, steps, item 2``."""
    for one in fields:
        words = f"{before}, {one.label}" if before else one.label
        yield one.place.where, words
        yield from _words_of_places(one.children, words)


def _named(message: str, fields: Sequence[FormField]) -> list[str]:
    """The places of those fields whose names are words of the message; a single one-letter name may be chance."""
    with_name = [one for one in fields if not _ITEM.search(one.place.where)]
    found = [one for one in with_name if re.search(rf"(?<![\w-]){re.escape(one.node.key)}(?![\w-])", message)]
    by_chance = len(found) == 1 and len(found[0].node.key) < 2
    return [] if by_chance else [one.place.where for one in found]


def _owner(where: str, places: Sequence[str], *, has_extra: bool) -> str:
    """The place of the field for a fault; ``EXTRA`` for an argument that the signature does not list."""
    within = [one for one in places if where == one[:MAX_PLACE] or where.startswith((f"{one}.", f"{one}["))]
    if within:
        return max(within, key=len)
    return EXTRA if has_extra and where != "arguments" else ""


def _inner(where: str, owner: str) -> str:
    """The way from the field to the place of the fault; an item of a list is counted from 1."""
    rest = where.removeprefix(owner)
    item = re.fullmatch(r"\[([0-9]+)\]", rest)
    return f"item {int(item[1]) + 1}" if item else rest.removeprefix(".")


def _field(
    node: FormNode, place: Place, reader: FieldReader, faults: Mapping[str, Sequence[str]], *, sure: bool = True
) -> FormField:
    """The field of a node; unless it is ``sure`` to be sent, the browser does not require it, as it may be hidden."""
    typed = reader.typed
    text = typed.get(place.field(), "")
    own = faults.get(place.where, ())
    meaning = reader.meaning(node, place)
    if place.field(JSON) in typed or node.kind == JSON_TEXT:
        name = place.field(JSON if place.field(JSON) in typed else "")
        attributes = {"name": name, **({"required": "required"} if node.required and sure else {})}
        return FormField(node, place, "json", typed.get(name, ""), attributes, meaning, faults=own)
    if node.kind in {GROUP, TUPLE, ROWS}:
        always = sure and node.meanings() == [Meaning.GIVEN]
        children = [
            _field(below, at, reader, faults, sure=always or (sure and node.kind == ROWS))
            for below, at in _below(node, place, reader)
        ]
        widget = "rows" if node.kind == ROWS else "group"
        return FormField(node, place, widget, meaning=meaning, children=children, faults=own)
    widget = _widget(node, text, tall=place.field(TALL) in typed)
    attributes = {"name": place.field(), **_attributes(node, widget, text)}
    if not sure:
        attributes.pop("required", None)
    zone = typed.get(place.field(ZONE), "Z")
    return FormField(node, place, widget, text, attributes, meaning, zone, faults=own)


def _below(node: FormNode, place: Place, reader: FieldReader) -> Iterator[tuple[FormNode, Place]]:
    if node.kind == ROWS and node.item is not None:
        for index in range(reader.rows(place)):
            yield node.item, place.below(index)
    for child in node.children:
        yield child, place.below(int(child.key) if node.kind == TUPLE else child.key)


def _widget(node: FormNode, text: str, *, tall: bool) -> str:
    if node.kind == BOOLEAN and node.required and not node.nullable:
        return "check"
    if node.kind in {CHOICE, BOOLEAN}:
        return "select"
    if node.kind in {LINES, BYTES}:
        return node.kind
    long = "\n" in text or len(text) > LONG_TEXT or node.limits.get("maxLength", 0) > LONG_LIMIT
    return "area" if node.kind in {TEXT, LOOSE} and (long or tall) else "input"


def _attributes(node: FormNode, widget: str, text: str) -> dict[str, str]:
    """The attributes by which a browser checks the field itself."""
    found: dict[str, str] = {}
    if node.meanings() == [Meaning.MISSING] and widget != "check":
        found["required"] = "required"
    if node.kind in {WHOLE, NUMBER} and widget == "input":
        found |= _of_number(node, text)
    elif widget == "input":
        kind = _input_of(node.kind, text)
        found |= {"type": kind, "step": "1"} if kind in {"time", "datetime-local"} else {"type": kind}
    if widget in {"input", "area"} and node.kind == TEXT:
        found |= _of_text(node, widget)
    if form_words.default_text(node) and node.default not in ("", None) and widget in {"input", "area"}:
        found["placeholder"] = form_words.default_text(node)
    return found


def _input_of(kind: str, text: str) -> str:
    """The type of input that shows this text; a browser shows no text that is not valid, such as 2026-02-30."""
    if kind not in FITS:
        return "text"
    name, pattern, read = FITS[kind]
    try:
        return name if not text or (pattern.fullmatch(text) and read(text) is not None) else "text"
    except ValueError:
        return "text"


def _of_number(node: FormNode, text: str) -> dict[str, str]:
    value = number_of(text) if text else 0
    if isinstance(value, str) or abs(value) >= SAFE_NUMBER:
        return {"type": "text", "inputmode": "decimal"}
    own, whole = node.limits, node.kind == WHOLE
    least = own.get("minimum", own["exclusiveMinimum"] + whole if "exclusiveMinimum" in own else None)
    most = own.get("maximum", own["exclusiveMaximum"] - whole if "exclusiveMaximum" in own else None)
    step: Any = 1 if whole else "any"
    if whole and isinstance(own.get("multipleOf"), int) and least is not None:
        step = own["multipleOf"]
        least = -(-least // step) * step  # Browsers count the steps from the minimum.
    limits = {"min": least, "max": most, "step": step}
    return {"type": "number", **{name: form_words.number(limit) for name, limit in limits.items() if limit is not None}}


def _of_text(node: FormNode, widget: str) -> dict[str, str]:
    own = node.limits
    found = {name.lower(): str(own[name]) for name in ("minLength", "maxLength") if name in own}
    pattern = str(own.get("pattern", ""))
    if widget == "input" and pattern and PORTABLE.fullmatch(pattern):
        start = "" if pattern.startswith("^") else ".*"
        end = "" if pattern.endswith("$") else ".*"
        found["pattern"] = f"{start}{pattern.removeprefix('^').removesuffix('$')}{end}"
    return found
