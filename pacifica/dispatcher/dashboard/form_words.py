"""Says in words what a field of a form allows."""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ..core import strict_json
from .form_schema import (
    ABSENT,
    BOOLEAN,
    BYTES,
    CHOICE,
    DATE,
    DURATION,
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
)
from .form_values import json_for_people

WORDS = {
    BOOLEAN: "yes or no",
    WHOLE: "whole number",
    NUMBER: "number",
    TEXT: "text",
    DATE: "date",
    TIME: "time of day",
    MOMENT: "date and time",
    DURATION: "duration",
    BYTES: "bytes",
    LOOSE: "any value",
    JSON_TEXT: "JSON",
}
FORMATS = {
    "uuid": "UUID",
    "email": "e-mail address",
    "uri": "web address",
    "path": "path",
    "file-path": "path of a file",
}
NOTES = {
    DURATION: "such as 01:30:00 for an hour and a half, or P2D for two days",
    BYTES: "in base64",
}
QUOTED = '"5" in quotation marks is text'
LONGEST_EXAMPLE = 200
LONGEST = 60
"""The most characters of a value or of a list of choices within a line."""


def word(node: FormNode) -> str:
    """The kind of value in a word or two."""
    if node.kind == CHOICE:
        return _alternatives(list(map(choice_label, node.choices)))
    if node.kind in {LINES, ROWS}:
        return f"list of {_of_many(node.item)}" if node.item else "list"
    if node.kind in {GROUP, TUPLE}:
        return _members(node)
    if node.kind == LOOSE and node.limits.get("types"):
        types = [kind for kind in node.limits["types"] if kind != WHOLE or NUMBER not in node.limits["types"]]
        return " or ".join(WORDS[kind] for kind in types)
    if node.kind == TEXT and "types" in node.limits:
        return " or ".join(WORDS[kind] for kind in node.limits["types"])
    return FORMATS.get(node.limits.get("format", ""), WORDS[node.kind]) if node.kind == TEXT else WORDS[node.kind]


def hint(node: FormNode) -> str:
    """A sentence without its full stop: what the field allows, and its default."""
    inner = node.item if node.kind == ROWS and node.item is not None else node
    kind = "" if node.kind == CHOICE or inner.kind in {GROUP, TUPLE} else word(node)
    note = NOTES.get(node.kind, "")
    if node.kind == LOOSE:
        types = node.limits.get("types")
        note = (QUOTED if TEXT in types else "") if types else f"text or JSON; {QUOTED}"
    if node.kind == JSON_TEXT:
        note = f"such as {' or '.join(map(json_in_line, node.limits.get('examples', ())))}"
    parts = [*filter(None, [kind, note]), *limits(node)]
    return ", ".join(parts)[:1].upper() + ", ".join(parts)[1:]


def limits(node: FormNode) -> Iterator[str]:
    """Each limit in a few words."""
    own = node.limits
    if "exclusiveMinimum" in own:
        yield f"more than {number(own['exclusiveMinimum'])}"
    yield from _span(own, "", ("minimum", "maximum"))
    if "exclusiveMaximum" in own:
        yield f"less than {number(own['exclusiveMaximum'])}"
    if "multipleOf" in own:
        yield f"a multiple of {number(own['multipleOf'])}"
    yield from _span(own, " characters", ("minLength", "maxLength"))
    if "pattern" in own:
        yield f"in the form {short(str(own['pattern']))}"
    yield from _span(own, " items", ("minItems", "maxItems") if node.kind != TUPLE else ("", ""))
    if own.get("uniqueItems"):
        yield "each item once"


def default_text(node: FormNode) -> str:
    """The default in a few characters; empty if it is not known."""
    if node.default is ABSENT:
        return ""
    if node.kind in {CHOICE, BOOLEAN}:
        return choice_label(node.default)
    if node.kind == BYTES and node.default == "":
        return "no bytes"
    return short(node.default if isinstance(node.default, str) and node.default else json_for_people(node.default))


def choice_label(value: Any) -> str:
    """A choice as people read it."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    return value if isinstance(value, str) and value else "null" if value is None else strict_json.dumps(value)


def meaning_label(node: FormNode, meaning: Meaning) -> str:
    """The meaning of an empty field as people read it."""
    if meaning is Meaning.OUT:
        return f"default: {default_text(node)}" if default_text(node) else "left out"
    empty = "empty list" if node.kind in {LINES, ROWS} else "no bytes" if node.kind == BYTES else "empty text"
    labels = {
        Meaning.NULL: "null",
        Meaning.EMPTY: empty,
        Meaning.MISSING: "not allowed",
        Meaning.GIVEN: "the values below",
    }
    return labels[meaning]


def signature(node: FormNode) -> str:
    """An argument in the line of its task."""
    if node.default is not ABSENT:
        quoted = node.kind in {TEXT, LOOSE} and isinstance(node.default, str)
        return f"{word(node)} = {short(json_for_people(node.default)) if quoted else default_text(node)}"
    return word(node) if node.required else f"{word(node)}, optional"


def _members(node: FormNode) -> str:
    if node.kind == TUPLE:
        return short(f"({', '.join(map(word, node.children))})")
    return short(f"{{{', '.join(child.key for child in node.children)}}}")


def number(value: Any) -> str:
    """A limit without the fraction of a whole number."""
    return str(int(value)) if isinstance(value, float) and value.is_integer() and abs(value) < 1e15 else str(value)


def short(text: str) -> str:
    """The beginning of a long text."""
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…"


def json_in_line(value: Any) -> str:
    """A JSON value on one line, not too long."""
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= LONGEST_EXAMPLE else f"{text[: LONGEST_EXAMPLE - 1]}…"


def _alternatives(labels: Sequence[str]) -> str:
    """The choices, or as many of the first as fit into a line."""
    text = " | ".join(labels)
    return (
        text if len(text) <= LONGEST else short(text).rpartition(" | ")[0] + " | …" if len(labels) > 1 else short(text)
    )


def _of_many(node: FormNode) -> str:
    one = word(node)
    if node.kind in {CHOICE, GROUP, TUPLE}:
        return one
    if " or " in one:
        return one
    plurals = {
        "yes or no": one,
        "any value": "any values",
        "bytes": one,
        "JSON": one,
        "date and time": "dates and times",
    }
    return plurals.get(one, "times of day" if node.kind == TIME else f"{one}s")


def _span(own: Mapping[str, Any], unit: str, names: tuple[str, str]) -> Iterator[str]:
    least, most = (number(own[name]) if own.get(name) is not None else "" for name in names)
    if least and most:
        yield f"{least}{_unit(unit, least)}" if least == most else f"{least} to {most}{unit}"
    elif least and (least != "0" or not unit):
        yield f"at least {least}{_unit(unit, least)}"
    elif most:
        yield f"at most {most}{_unit(unit, most)}"


def _unit(plural: str, number: str) -> str:
    return plural.removesuffix("s") if number == "1" else plural
