"""The arguments and the result of a task in words, from their JSON Schemas."""

from collections.abc import Mapping
from typing import Any

from ..core import strict_json


def signature(arguments: Mapping[str, Any]) -> str:
    """The arguments of a task by name, with their types and defaults."""
    parts = []
    for name, own in arguments.get("properties", {}).items():
        default = f" = {strict_json.dumps(own['default'])}" if "default" in own else ""
        optional = "" if name in arguments.get("required", ()) or default else "?"
        parts.append(f"{name}{optional}: {type_name(own)}{default}")
    if arguments.get("additionalProperties", False) is not False:
        parts.append("…")
    return ", ".join(parts)


def type_name(schema: Any) -> str:
    """The name of the type that a JSON Schema describes."""
    if schema is True:
        return "any"
    if "enum" in schema:
        return " | ".join(map(strict_json.dumps, schema["enum"]))
    union = schema.get("anyOf") or schema.get("oneOf")
    if union:
        # The texts that stand for NaN and infinity are part of any float.
        return " | ".join(type_name(each) for each in union if each.get("enum") != list(strict_json.NON_FINITE))
    if schema.get("type") == "array":
        return f"array of {type_name(schema.get('items', {}))}"
    return str(schema.get("type") or schema.get("$ref", "any").rpartition("/")[2])
