"""Converts text from a command line or a CSV file to a job's arguments and options.

An argument is read as in a URL, by its type in the JSON Schema of the task's arguments. Only types are considered;
the service validates the rest.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, cast

from ..client import Options
from ..core.text_values import possible_values
from .exit_codes import CommandRefused

Schema = Mapping[str, Any]
Pairs = tuple[tuple[str, str], ...]
OPTION_NAMES = ", ".join(sorted(Options.__annotations__))
TYPES: Mapping[str, type | tuple[type, ...]] = {
    "null": type(None),
    "boolean": bool,
    "integer": int,
    "number": (int, float),
    "string": str,
    "array": list,
    "object": dict,
}


def positional(arguments: Schema, texts: Sequence[str]) -> list[Any]:
    """The values of positional arguments."""
    properties = list(arguments.get("properties", {}).items())
    rest = next((place for place, (name, own) in enumerate(properties) if _is_variadic(arguments, name, own)), None)
    values = []
    for place, text in enumerate(texts):
        if rest is not None and place >= rest:
            own = properties[rest][1]["items"]
        else:
            own = properties[place][1] if place < len(properties) else {}
        values.append(_value(text, own, arguments))
    return values


def named(arguments: Schema, texts: Mapping[str, str]) -> dict[str, Any]:
    """The values of arguments by name."""
    properties, more = arguments.get("properties", {}), arguments.get("additionalProperties", {})
    return {name: _value(text, properties.get(name, more), arguments) for name, text in texts.items()}


def options_of(given: Sequence[tuple[str, str]], labels: Sequence[tuple[str, str]]) -> Options:
    """The options and labels of a job as JSON values; the service validates them."""
    common = {"labels": by_name("--label", labels)} if labels else {}
    return merged(common, {name: _option(name, text) for name, text in by_name("--option", given).items()})


def by_name(option: str, pairs: Sequence[tuple[str, str]]) -> dict[str, str]:
    """The values of an option that may be repeated, by name; raises ``CommandRefused`` for two values of one name."""
    doubled = [name for name, count in Counter(name for name, _ in pairs).items() if count > 1]
    if doubled:
        raise CommandRefused(f"{option} gives {', '.join(map(repr, doubled))} twice; give each name one value.")
    return dict(pairs)


def merged(common: Mapping[str, Any], own: Mapping[str, Any]) -> Options:
    """The options and the labels of both; ``own`` takes precedence."""
    both, labels = {**common, **own}, (common.get("labels"), own.get("labels"))
    if isinstance(labels[0], Mapping) and isinstance(labels[1], Mapping):
        both["labels"] = {**labels[0], **labels[1]}
    return cast("Options", both)


def _option(name: str, text: str) -> Any:
    """``labels`` is the only option that is an object."""
    return possible_values(text)[-1 if name == "labels" else 0]


def _value(text: str, schema: Any, root: Schema) -> Any:
    """The likeliest reading of a text whose type the schema allows, else the text itself."""
    return next((reading for reading in possible_values(text) if _allows(schema, reading, root)), text)


def _is_variadic(arguments: Schema, name: str, own: Schema) -> bool:
    """Whether the argument is a ``*name``: an array that is not required and has no default."""
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
    for union in ("anyOf", "oneOf"):
        if union in schema:
            return any(_allows(one, reading, root) for one in schema[union])
    return _has_type(schema.get("type"), reading)


def _has_type(name: str | None, reading: Any) -> bool:
    if name is None:
        return True
    if isinstance(reading, bool):
        return name == "boolean"
    return isinstance(reading, TYPES.get(name, object))
