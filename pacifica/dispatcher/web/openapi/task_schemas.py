"""The JSON Schemas of a dispatch: for each task, its positional and named arguments together.

Constraints between arguments, such as equal types, are not in the schemas; the task's own check enforces them.
"""

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from ...core.parameters import CallShape
from ...core.registry import Registry, TaskSpec
from .schemas import CLOSED, DISPATCH, component, reference

MOST_SHAPES = 8
"""Combinations of positional and named arguments that are listed; a task with more accepts any in its schema."""


def task_schemas(spec: TaskSpec) -> dict[str, Any]:
    """The components of a task: its arguments, its result, its dispatch, and its dispatch as an item of a batch."""
    parts = {"arguments": spec.arguments_schema(), "result": spec.result_schema()}
    keys = {component(spec.name, part): schema for part, schema in parts.items()}
    found = {key: _rooted(schema, f"#/components/schemas/{key}/$defs/") for key, schema in keys.items()}
    named = {"task": {"const": spec.name, "type": "string"}}
    found[component(spec.name, "dispatch")] = {"anyOf": _bodies(spec, {})}
    found[component(spec.name, "item")] = {"anyOf": _bodies(spec, named)}
    return found


def batch_schemas(registry: Registry, most: int) -> dict[str, Any]:
    """The components of a batch, and the names of all tasks."""
    items = [reference(component(spec.name, "item")) for spec in registry.values()]
    return {
        "TaskName": {"type": "string", "enum": list(registry)},
        "BatchItem": {"anyOf": items},
        "Batch": {"type": "array", "items": reference("BatchItem"), "minItems": 1, "maxItems": most},
    }


def needs_arguments(spec: TaskSpec) -> bool:
    """Whether the task cannot be called without arguments."""
    return all(shape.positional or shape.required for shape in spec.shapes())


def _bodies(spec: TaskSpec, first: Mapping[str, Any]) -> list[dict[str, Any]]:
    shapes = list(spec.shapes())
    if len(shapes) > MOST_SHAPES:
        return [_closed({**first, **DISPATCH}, list(first))]
    return [_body(spec, shape, first) for shape in shapes]


def _body(spec: TaskSpec, shape: CallShape, first: Mapping[str, Any]) -> dict[str, Any]:
    properties = {**first, "args": _args(spec, shape), "kwargs": _kwargs(spec, shape), "options": DISPATCH["options"]}
    needed = ["args"] * bool(shape.positional) + ["kwargs"] * bool(shape.required)
    return _closed(properties, [*first, *needed])


def _closed(properties: Mapping[str, Any], required: list[str]) -> dict[str, Any]:
    schema = {"type": "object", **CLOSED, "properties": dict(properties)}
    return {**schema, "required": required} if required else schema


def _args(spec: TaskSpec, shape: CallShape) -> dict[str, Any]:
    number = len(shape.positional)
    schema: dict[str, Any] = {"type": "array", "minItems": number}
    if shape.positional:
        schema["prefixItems"] = [_argument(spec, name) for name in shape.positional]
    return {**schema, "items": _argument(spec, shape.rest, "/items")} if shape.rest else {**schema, "maxItems": number}


def _kwargs(spec: TaskSpec, shape: CallShape) -> dict[str, Any]:
    properties: dict[str, Any] = {name: _argument(spec, name) for name in shape.named}
    schema: dict[str, Any] = {"type": "object", "properties": properties}
    if shape.required:
        schema["required"] = list(shape.required)
    if not shape.extra:
        return {**schema, **CLOSED}
    properties.update({name: {"not": {}} for name in shape.taken})
    arguments = reference(component(spec.name, "arguments"))["$ref"]
    return {**schema, "additionalProperties": {"$ref": f"{arguments}/additionalProperties"}}


def _argument(spec: TaskSpec, name: str, below: str = "") -> dict[str, Any]:
    arguments = reference(component(spec.name, "arguments"))["$ref"]
    return {"$ref": f"{arguments}/properties/{quote(name)}{below}"}


def _rooted(schema: Any, prefix: str) -> Any:
    """The schema with its references to ``#/$defs/`` rewritten relative to the root of the document."""
    if isinstance(schema, dict):
        return {
            key: prefix + value.removeprefix("#/$defs/")
            if key == "$ref" and isinstance(value, str)
            else _rooted(value, prefix)
            for key, value in schema.items()
        }
    return [_rooted(item, prefix) for item in schema] if isinstance(schema, list) else schema
