"""The JSON Schema of a task's arguments."""

from collections.abc import Mapping
from inspect import Parameter
from typing import Any

from pydantic import TypeAdapter

from .argument_type import ArgumentType
from .json_values import plain_default


def arguments_schema(parameters: Mapping[str, Parameter], types: Mapping[str, ArgumentType]) -> dict[str, Any]:
    """A JSON Schema (2020-12) of the arguments by name, in the order of the signature."""
    properties: dict[str, Any] = {}
    required = []
    schema: dict[str, Any] = {"type": "object", "properties": properties, "additionalProperties": False}
    # Made together, because references are resolved from the root of the whole schema.
    owns, shared = TypeAdapter.json_schemas([(name, "validation", one.adapter) for name, one in types.items()])
    schema |= {"$defs": shared["$defs"]} if "$defs" in shared else {}
    for name, parameter in parameters.items():
        alone = types[name].adapter.json_schema()
        # Only a schema of its own says that bytes are base64, but it cannot refer to shared schemas.
        own = owns[name, "validation"] if "$defs" in alone else alone
        if parameter.kind is Parameter.VAR_KEYWORD:
            schema["additionalProperties"] = own
        elif parameter.kind is Parameter.VAR_POSITIONAL:
            properties[name] = {"type": "array", "items": own}
        else:
            properties[name] = own
            if parameter.default is Parameter.empty:
                required.append(name)
            elif (default := plain_default(parameter.default)) is not None:
                properties[name] = {**own, "default": default}
    return {**schema, "required": required} if required else schema
