"""The values that a form asks for, from a JSON Schema: one node for each, with the widest kind that fits its schema."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import Enum
from typing import Any, Final, NamedTuple

from pydantic_core import SchemaError, SchemaValidator, ValidationError, core_schema

from ..core.value_faults import PlaceFaults


class Absent(Enum):
    """The type of ``ABSENT``."""

    ABSENT = "absent"


ABSENT: Final = Absent.ABSENT
"""The value of an argument that is left out."""
Values = Mapping[str, Any]

BOOLEAN, WHOLE, NUMBER, TEXT, CHOICE = "boolean", "whole", "number", "text", "choice"
DATE, TIME, MOMENT, DURATION, BYTES = "date", "time", "moment", "duration", "bytes"
LOOSE, LINES, ROWS, GROUP, TUPLE, JSON_TEXT = "loose", "lines", "rows", "group", "tuple", "json"
"""``LOOSE`` is JSON or plain text; ``LINES`` has an item on each line, and ``ROWS`` a group of fields for each item."""
BY_FORMAT = {
    "date": DATE,
    "time": TIME,
    "date-time": MOMENT,
    "duration": DURATION,
    "base64url": BYTES,
    "base64": BYTES,
    "binary": BYTES,
}
BY_TYPE = {"boolean": BOOLEAN, "integer": WHOLE, "number": NUMBER, "string": TEXT}
TEXTUAL = frozenset({TEXT, DATE, TIME, MOMENT, DURATION, BYTES})
"""The kinds whose values are texts in JSON."""
EXAMPLES: Mapping[str, Any] = {
    "integer": 1,
    "number": 1.5,
    "string": "text",
    "boolean": True,
    "null": None,
    "object": {},
    "array": [],
    "date": "2026-01-31",
    "date-time": "2026-01-31T12:00:00Z",
}
"""A value of each type, and of some formats."""
ON_A_LINE = frozenset({BOOLEAN, WHOLE, NUMBER, TEXT, CHOICE, DATE, TIME, MOMENT, DURATION, BYTES, LOOSE})
LIMITS = (
    "type",
    "minimum",
    "maximum",
    "exclusiveMinimum",
    "exclusiveMaximum",
    "multipleOf",
    "minLength",
    "maxLength",
    "pattern",
    "minItems",
    "maxItems",
    "uniqueItems",
    "format",
)
DEEPEST = 4
"""A value below so many others is written as JSON."""


class Meaning(Enum):
    """The meaning of an empty field; ``GIVEN``: a group of fields that is filled in."""

    OUT = "out"
    NULL = "null"
    EMPTY = "empty"
    MISSING = "missing"
    GIVEN = "given"


class Place(NamedTuple):
    """Where a value is: its path as faults name it, and whether it is of the arguments or of the options."""

    space: str
    where: str

    def below(self, key: str | int) -> "Place":
        """The place of a member or an item."""
        return Place(self.space, PlaceFaults((key,), "", "").where(self.where))

    def field(self, part: str = "") -> str:
        """The name of the form's field; ``part`` names a further field of the same value."""
        return f"{self.space}:{self.where}{f'#{part}' if part else ''}"


@dataclass(frozen=True, slots=True)
class FormNode:
    """One value: its key, its kind, and what its schema allows."""

    key: str
    kind: str
    required: bool = True
    nullable: bool = False
    default: Any = ABSENT
    title: str = ""
    description: str = ""
    choices: Sequence[Any] = ()
    limits: Mapping[str, Any] = field(default_factory=dict)
    children: Sequence["FormNode"] = ()
    item: "FormNode | None" = None

    def meanings(self) -> Sequence[Meaning]:
        """The meanings that the field may have when it is empty; the first is the usual one."""
        found = list(self._without_value())
        if self.kind in {GROUP, TUPLE}:
            return [Meaning.GIVEN, *found] if self.required else [*found, Meaning.GIVEN]
        if self._may_be_empty():
            asked = [] if found or self.kind in {LINES, ROWS} else [Meaning.MISSING]
            return [*asked, *found, Meaning.EMPTY]
        return found or [Meaning.MISSING]

    def _without_value(self) -> Iterator[Meaning]:
        if not self.required:
            yield Meaning.OUT
        if self.nullable and self.kind not in {LOOSE, JSON_TEXT, CHOICE, BOOLEAN}:
            yield Meaning.NULL

    def _may_be_empty(self) -> bool:
        if self.kind in {LINES, ROWS}:
            return not self.limits.get("minItems")
        plain = self.kind == BYTES or (self.kind == TEXT and "format" not in self.limits)
        return plain and not self.limits.get("minLength") and _matches_nothing(self.limits.get("pattern", ""))


def nodes_of(schema: Mapping[str, Any]) -> list[FormNode]:
    """The nodes of the properties of an object's schema."""
    return list(_Reader(schema.get("$defs", {})).members(schema, ()))


def node_of(key: str, schema: Mapping[str, Any], defs: Mapping[str, Any], *, required: bool = True) -> FormNode:
    """The node of a single schema, whose references are in ``defs``."""
    return _Reader(defs).node(key, schema, (), required=required)


class _Reader:
    def __init__(self, defs: Mapping[str, Any]) -> None:
        self._defs = defs

    def members(self, schema: Mapping[str, Any], seen: Sequence[str]) -> Iterator[FormNode]:
        needed = schema.get("required", ())
        for key, own in schema.get("properties", {}).items():
            yield self.node(key, own, seen, required=key in needed)

    def node(self, key: str, schema: Mapping[str, Any], seen: Sequence[str], *, required: bool) -> FormNode:
        full, seen = self._resolved(schema, seen)
        bare, nullable = _without_null(full)
        bare, seen = self._resolved(bare, seen)
        plain = FormNode(
            key,
            JSON_TEXT,
            required,
            nullable,
            schema.get("default", ABSENT),
            _title(key, schema),
            str(schema.get("description") or bare.get("description") or ""),
            limits={name: bare[name] for name in LIMITS if name in bare},
        )
        found = self._with_kind(plain, bare, seen)
        if found.kind != JSON_TEXT:
            return found
        return replace(found, limits={**found.limits, "examples": list(self._examples(bare, seen))})

    def _with_kind(self, plain: FormNode, schema: Mapping[str, Any], seen: Sequence[str]) -> FormNode:
        if choices := _choices(schema):
            return replace(plain, kind=CHOICE, choices=[one for one in choices if one is not None])
        kind = schema.get("type")
        if kind == "string":
            return replace(plain, kind=BY_FORMAT.get(schema.get("format", ""), TEXT))
        if isinstance(kind, str) and kind in BY_TYPE:
            return replace(plain, kind=BY_TYPE[kind])
        if kind in {"array", "object"} and seen.count("") < DEEPEST:
            return (self._array if kind == "array" else self._object)(plain, schema, seen)
        return self._of_types(plain, self._simple_types(schema))

    def _of_types(self, plain: FormNode, types: Sequence[str] | None) -> FormNode:
        """The node for any of these types, for any value if there are none, or for JSON if they are not simple."""
        if types is None:
            return plain
        if not types or not TEXTUAL.issuperset(types):
            return replace(plain, kind=LOOSE, limits={**plain.limits, "types": types})
        format_of = {} if TEXT in types else {"format": " or ".join(types)}
        return replace(plain, kind=TEXT, limits={**format_of, "types": types})

    def _array(self, plain: FormNode, schema: Mapping[str, Any], seen: Sequence[str]) -> FormNode:
        below = [*seen, ""]
        prefix = schema.get("prefixItems")
        if prefix:
            if not len(prefix) == schema.get("minItems") == schema.get("maxItems"):
                return plain
            items = [self.node(str(place), own, below, required=True) for place, own in enumerate(prefix)]
            return replace(plain, kind=TUPLE, children=items)
        item = self.node("", schema.get("items", {}), below, required=True)
        if item.kind in ON_A_LINE:
            return replace(plain, kind=LINES, item=item)
        return replace(plain, kind=ROWS, item=item) if item.kind in {GROUP, TUPLE} else plain

    def _object(self, plain: FormNode, schema: Mapping[str, Any], seen: Sequence[str]) -> FormNode:
        if not schema.get("properties") or schema.get("additionalProperties"):
            return plain
        return replace(plain, kind=GROUP, children=list(self.members(schema, [*seen, ""])))

    def _simple_types(self, schema: Mapping[str, Any]) -> Sequence[str] | None:
        """The kinds that a union of simple types allows, and none for any value; ``None`` for another schema."""
        members = schema.get("anyOf")
        if members is None:
            return None if {"type", "oneOf", "allOf", "$ref", "not"} & schema.keys() else ()
        resolved = [self._resolved(each, ())[0] for each in members]
        kinds = [BY_FORMAT.get(each.get("format", "")) or BY_TYPE.get(each.get("type", "")) for each in resolved]
        return None if None in kinds else list(dict.fromkeys(filter(None, kinds)))

    def _examples(self, schema: Mapping[str, Any], seen: Sequence[str]) -> Iterator[Any]:
        """A value for each alternative of a schema, or of the schema itself."""
        for each in schema.get("anyOf", schema.get("oneOf", [schema])):
            yield self._example(*self._resolved(each, seen))

    def _example(self, schema: Mapping[str, Any], seen: Sequence[str]) -> Any:
        """A short value of a schema: of an object the members that it must have."""
        if choices := _choices(schema):
            return choices[0]
        inner, kind = [*seen, ""], schema.get("type")
        if seen.count("") >= DEEPEST or not {"anyOf", "oneOf", "type"} & schema.keys():
            return EXAMPLES.get(str(kind), {} if "$ref" in schema else 1)
        if kind == "array":
            prefix = schema.get("prefixItems")
            return [next(self._examples(each, inner)) for each in prefix or [schema.get("items", {})]]
        if kind == "object":
            needed = schema.get("required", ())
            members = {key: own for key, own in schema.get("properties", {}).items() if key in needed}
            further = schema.get("additionalProperties")
            members = members or {"name": further if isinstance(further, Mapping) else {}}
            return {key: next(self._examples(own, inner)) for key, own in members.items()}
        if kind is None:
            return next(self._examples(schema, inner))
        return EXAMPLES.get(str(schema.get("format")), EXAMPLES.get(str(kind), 1))

    def _resolved(self, schema: Mapping[str, Any], seen: Sequence[str]) -> tuple[Mapping[str, Any], Sequence[str]]:
        """The schema with the one that it refers to; a reference to itself remains, and has no kind."""
        if len(schema.get("allOf", ())) == 1:
            schema = {**schema["allOf"][0], **{key: value for key, value in schema.items() if key != "allOf"}}
        name = str(schema.get("$ref", "")).removeprefix("#/$defs/")
        if not name or name in seen or name not in self._defs:
            return schema, seen
        rest = {key: value for key, value in schema.items() if key != "$ref"}
        return {**self._defs[name], **rest}, [*seen, name]


def _without_null(schema: Mapping[str, Any]) -> tuple[Mapping[str, Any], bool]:
    """The schema of the values that are not null, and whether null is allowed as well."""
    members = schema.get("anyOf")
    if members is None:
        return schema, False
    kept = [each for each in members if each.get("type") != "null"]
    if len(kept) == len(members):
        return schema, False
    rest = {key: value for key, value in schema.items() if key != "anyOf"}
    return {**kept[0], **rest} if len(kept) == 1 else {**rest, "anyOf": kept}, True


def _matches_nothing(pattern: str) -> bool:
    """Whether an empty text has this pattern, by the expressions of pydantic."""
    try:
        SchemaValidator(core_schema.str_schema(pattern=pattern)).validate_python("")
    except ValidationError:
        return False
    except SchemaError:
        return True
    return True


def _choices(schema: Mapping[str, Any]) -> list[Any]:
    """The values of an enumeration; of several enumerations, all of theirs."""
    if "const" in schema:
        return [schema["const"]]
    found = [_choices(each) for each in schema.get("anyOf", ())]
    if found and all(found):
        return [value for values in found for value in values]
    return list(schema.get("enum", ()))


def _title(key: str, schema: Mapping[str, Any]) -> str:
    """The title that a person has written; pydantic makes one from each name, and from each class."""
    title = str(schema.get("title", ""))
    made = {key.replace("_", " ").title(), key.title(), key}
    return "" if title in made or {"enum", "properties", "$ref", "anyOf"} & schema.keys() else title
