"""What text on a command line or in a CSV file is for a task: as in a URL, what its annotations ask for.

The annotations are known by the JSON Schema of the task's arguments. Only the types are looked at; all the rest
is the service's to judge.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from ..core.text_values import possible_values

Schema = Mapping[str, Any]
KINDS: Mapping[str, type | tuple[type, ...]] = {
    "null": type(None),
    "boolean": bool,
    "integer": int,
    "number": (int, float),
    "string": str,
    "array": list,
    "object": dict,
}


def positional(arguments: Schema, texts: Sequence[str]) -> list[Any]:
    """The values of arguments by position."""
    properties = list(arguments.get("properties", {}).items())
    rest = next((place for place, (name, own) in enumerate(properties) if _takes_the_rest(arguments, name, own)), None)
    values = []
    for place, text in enumerate(texts):
        if rest is not None and place >= rest:
            own = properties[rest][1]["items"]
        else:
            own = properties[place][1] if place < len(properties) else {}
        values.append(value(text, own, arguments))
    return values


def named(arguments: Schema, texts: Mapping[str, str]) -> dict[str, Any]:
    """The values of arguments by name."""
    properties, more = arguments.get("properties", {}), arguments.get("additionalProperties", {})
    return {name: value(text, properties.get(name, more), arguments) for name, text in texts.items()}


def value(text: str, schema: Any, root: Schema) -> Any:
    """The likeliest reading of a text that is of a type which the schema allows, else the text as it is."""
    return next((reading for reading in possible_values(text) if _allows(schema, reading, root)), text)


def _takes_the_rest(arguments: Schema, name: str, own: Schema) -> bool:
    """Whether it is a ``*name``: an array that is neither required nor has a default."""
    optional = name not in arguments.get("required", ()) and "default" not in own
    return optional and own.get("type") == "array" and "items" in own


def _allows(schema: Any, reading: Any, root: Schema) -> bool:
    if isinstance(schema, bool):
        return schema
    if "$ref" in schema:
        return _allows(root.get("$defs", {}).get(schema["$ref"].rpartition("/")[2], {}), reading, root)
    if "enum" in schema or "const" in schema:
        allowed = schema.get("enum", [schema.get("const")])
        return any(type(one) is type(reading) and one == reading for one in allowed)
    for several in ("anyOf", "oneOf"):
        if several in schema:
            return any(_allows(one, reading, root) for one in schema[several])
    return _is_of(schema.get("type"), reading)


def _is_of(kind: str | None, reading: Any) -> bool:
    if kind is None:
        return True
    if isinstance(reading, bool):
        return kind == "boolean"
    return isinstance(reading, KINDS.get(kind, object))
