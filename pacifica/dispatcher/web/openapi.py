"""The OpenAPI 3.1 document, made of the routes and the registry.

``@operation`` beside a handler is the one way to declare a route; a handler without it fails a test.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any, TypeVar
from urllib.parse import quote

from ..registry import Registry, TaskSpec
from .schemas import HEADERS, PARAMETERS, SCHEMAS, reference

Handler = TypeVar("Handler", bound=Callable[..., Any])
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")


@dataclass(frozen=True, slots=True)
class Operation:
    """What ``@operation`` says of a handler."""

    path: str
    responses: Mapping[int, str]
    body: str | None
    query: Mapping[str, Mapping[str, Any]]
    headers: Sequence[str]


def operation(
    path: str,
    responses: Mapping[int, str],
    *,
    body: str | None = None,
    query: Mapping[str, Mapping[str, Any]] | None = None,
    headers: Sequence[str] = (),
) -> Callable[[Handler], Handler]:
    """Declare that a handler answers ``path``; its docstring is the description.

    ``responses`` gives for each status what is in it, separated by commas: a schema of ``schemas.SCHEMAS``
    (as JSON), a media type, also with the schema of its text (``text/plain uuid``), or nothing; ``body`` is
    given in the same way. Errors need not be declared. ``query`` maps a parameter's name to its schema.
    ``headers`` are request headers of ``schemas.HEADERS``.
    """

    def declare(handler: Handler) -> Handler:
        known = getattr(handler, "operations", ())
        handler.operations = (Operation(path, responses, body, query or {}, headers), *known)  # type: ignore[attr-defined]
        return handler

    return declare


def handlers(resource: Any) -> Iterator[tuple[str, Callable[..., Any]]]:
    """Each method of each resource of the tree, with the handler that answers it."""
    for name in METHODS:
        if hasattr(resource, name):
            yield name, getattr(resource, name)
    public = [child for name, child in vars(resource).items() if not name.startswith("_")]
    children = [*public, *getattr(resource, "below", {}).values()]
    for child in children:
        if getattr(child, "exposed", False):
            yield from handlers(child)


def document(root: Any, registry: Registry) -> dict[str, Any]:
    """The document: all routes, and each task's own path with the schemas of its arguments and result."""
    paths: dict[str, dict[str, Any]] = {}
    for method, handler in handlers(root):
        for declared in getattr(handler, "operations", ()):
            paths.setdefault(declared.path, {})[method.lower()] = _operation(method, declared, handler.__doc__ or "")
    schemas = dict(SCHEMAS)
    for spec in registry.values():
        schemas |= _task_schemas(spec)
        paths[f"/dispatch/{quote(spec.name)}"] = {
            method: _task_operation(spec, method, general) for method, general in paths["/dispatch/{task}"].items()
        }
    return {
        "openapi": "3.1.0",
        "info": {"title": "Pacifica Dispatcher", "version": version("pacifica-dispatcher")},
        "servers": [{"url": "/"}],
        "paths": paths,
        "components": {"schemas": schemas},
    }


def _operation(method: str, declared: Operation, doc: str) -> dict[str, Any]:
    words = re.findall(r"\w+", declared.path)
    inside = [PARAMETERS[name] | {"in": "path", "required": True} for name in re.findall(r"{(\w+)}", declared.path)]
    asked = [{"name": name, "in": "query", "schema": dict(schema)} for name, schema in declared.query.items()]
    headers = [HEADERS[name] for name in declared.headers]
    summary, _, more = doc.strip().partition("\n\n")
    answers = {str(status): _response(status, told) for status, told in declared.responses.items()}
    found: dict[str, Any] = {
        "operationId": "_".join([method.lower(), *words]),
        "summary": " ".join(summary.split()),
        "parameters": [*inside, *asked, *headers],
        "responses": {**answers, "default": _response(0, "Problem")},
    }
    if more:
        found["description"] = " ".join(more.split())
    if declared.body:
        found["requestBody"] = {"content": _content(declared.body)}
    return found


def _content(told: str) -> dict[str, Any]:
    content: dict[str, Any] = {}
    for each in filter(None, told.split(", ")):
        if "/" in each:
            kind, _, format_ = each.partition(" ")
            content[kind] = {"schema": {"type": "string"} | ({"format": format_} if format_ else {})}
        else:
            kind = "application/problem+json" if each == "Problem" else "application/json"
            content[kind] = {"schema": reference(each)}
    return content


def _response(status: int, told: str) -> dict[str, Any]:
    found: dict[str, Any] = {"description": "A problem (RFC 9457)." if told == "Problem" else told or "No content."}
    if content := _content(told):
        found["content"] = content
    if status == 202 and told.startswith("Job"):
        found["links"] = LINKS
    return found


LINKS: Mapping[str, Any] = {
    name: {"operationId": identity, "parameters": {"uuid": "$response.body#/uuid"}}
    for name, identity in {
        "status": "get_status_uuid",
        "result": "get_result_uuid",
        "cancel": "delete_status_uuid",
        "retry": "post_status_uuid_retry",
    }.items()
}
"""Where an accepted job leads."""


def _key(spec: TaskSpec, part: str) -> str:
    """The name of a component: it may hold no other signs than these."""
    return re.sub(r"[^A-Za-z0-9._-]", "-", f"{spec.name}.{part}")


def _task_schemas(spec: TaskSpec) -> dict[str, Any]:
    parts = {"arguments": spec.arguments_schema(), "result": spec.result_schema()}
    keys = {_key(spec, part): schema for part, schema in parts.items()}
    return {key: _rooted(schema, f"#/components/schemas/{key}/$defs/") for key, schema in keys.items()}


def _rooted(schema: Any, prefix: str) -> Any:
    """The schema with its references to ``#/$defs/`` resolved from the document's root."""
    if isinstance(schema, dict):
        return {
            key: prefix + value.removeprefix("#/$defs/")
            if key == "$ref" and isinstance(value, str)
            else _rooted(value, prefix)
            for key, value in schema.items()
        }
    return [_rooted(item, prefix) for item in schema] if isinstance(schema, list) else schema


def _task_operation(spec: TaskSpec, method: str, general: Mapping[str, Any]) -> dict[str, Any]:
    own = {
        **general,
        "operationId": f"{method}_dispatch_{spec.name}",
        "parameters": [each for each in general["parameters"] if each["in"] != "path"],
    }
    if method != "post":
        return own
    result = {"anyOf": [{"type": "null"}, reference(_key(spec, "result"))]}
    job = {"allOf": [reference("Job"), {"properties": {"result": result}}]}
    arguments = reference(_key(spec, "arguments"))["$ref"]
    named = {name: {"$ref": f"{arguments}/properties/{name}"} for name in spec.arguments_schema()["properties"]}
    body = {"allOf": [reference("Dispatch"), {"properties": {"kwargs": {"properties": named}}}]}
    answer = {**general["responses"]["202"], "content": {"application/json": {"schema": job}}}
    return {
        **own,
        "summary": (spec.doc or f"Dispatch {spec.name}.").splitlines()[0],
        "requestBody": {"content": {"application/json": {"schema": body}}},
        "responses": {**general["responses"], "202": answer},
    }
