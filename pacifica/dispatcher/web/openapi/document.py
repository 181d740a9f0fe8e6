"""The OpenAPI 3.1 document, made of the routes and the registry.

``@operation`` beside a handler is the one way to declare a route; a handler without it fails a test.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from importlib.metadata import version
from typing import Any, TypeVar
from urllib.parse import quote

from ...core.registry import Registry, TaskSpec
from ..auth.route_scopes import rule
from .schemas import ANSWERED, HEADERS, PARAMETERS, SCHEMAS, component, reference
from .task_schemas import batch_schemas, needs_arguments, task_schemas

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


@dataclass(frozen=True, slots=True)
class Facts:
    """What the document tells of this server: whether it lets in who sends no token, and the most items of a batch."""

    anonymous: bool = True
    batch_limit: int = 10_000


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
    (as JSON), a media type, also with the schema of its text (``text/plain uuid``), a header of
    ``schemas.ANSWERED``, or nothing; ``body`` is given in the same way. Errors that many routes have need not
    be declared (``_errors``). ``query`` maps a parameter's name to its schema. ``headers`` are request headers
    of ``schemas.HEADERS``.
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


def document(root: Any, registry: Registry, facts: Facts) -> dict[str, Any]:
    """The document: all routes, and each task's own path with the schemas of its arguments and result."""
    paths: dict[str, dict[str, Any]] = {}
    for method, handler in handlers(root):
        for declared in getattr(handler, "operations", ()):
            paths.setdefault(declared.path, {})[method.lower()] = _operation(method, declared, handler, facts)
    schemas = dict(SCHEMAS) | batch_schemas(registry, facts.batch_limit)
    for spec in registry.values():
        schemas |= task_schemas(spec)
        paths[f"/dispatch/{quote(spec.name)}"] = {
            method: _task_operation(spec, method, general) for method, general in paths["/dispatch/{task}"].items()
        }
    return {
        "openapi": "3.1.0",
        "info": {"title": "Pacifica Dispatcher", "version": version("pacifica-dispatcher")},
        "servers": [{"url": "/"}],
        "paths": paths,
        "components": {"schemas": schemas, "securitySchemes": {"bearer": BEARER}},
    }


BEARER: Mapping[str, Any] = {
    "type": "http",
    "scheme": "bearer",
    "description": "A token of pacifica-dispatcher-cmd token create; each operation names the scope that it takes.",
}


def _operation(method: str, declared: Operation, handler: Callable[..., Any], facts: Facts) -> dict[str, Any]:
    words = re.findall(r"\w+", declared.path)
    inside = [PARAMETERS[name] | {"in": "path", "required": True} for name in re.findall(r"{(\w+)}", declared.path)]
    asked = [{"name": name, "in": "query", "schema": dict(schema)} for name, schema in declared.query.items()]
    headers = [HEADERS[name] for name in declared.headers]
    found = rule(handler)
    scope = found.scope if found else None
    summary, _, more = (handler.__doc__ or "").strip().partition("\n\n")
    errors = dict.fromkeys(_errors(method, declared.path, guarded=scope is not None), "Problem")
    answers = {status: _response(status, told) for status, told in {**errors, **declared.responses}.items()}
    described: dict[str, Any] = {
        "operationId": "_".join([method.lower(), *words]),
        "summary": " ".join(summary.split()),
        "parameters": [*inside, *asked, *headers],
        "responses": {str(status): answers[status] for status in sorted(answers)},
        "security": [{"bearer": [scope]}, *([{}] if facts.anonymous else [])] if scope else [],
    }
    if more:
        described["description"] = " ".join(more.split())
    if declared.body:
        described["requestBody"] = {"content": _content(declared.body), "required": declared.body != "Dispatch"}
    return described


def _errors(method: str, path: str, *, guarded: bool) -> set[int]:
    """The statuses of errors that every route of this kind may have, without those of its own."""
    found = {400, 408, 414, 431, 503} | ({401, 403, 406, 429} if guarded else set())
    found |= {411, 413, 415} if method == "POST" else set()
    return found | ({404} if "{" in path else set()) | ({410} if "{uuid}" in path else set())


def _parts(told: str) -> list[str]:
    return [part for part in told.split(", ") if part]


def _content(told: str) -> dict[str, Any]:
    content: dict[str, Any] = {}
    for each in _parts(told):
        if each in ANSWERED:
            continue
        if "/" in each:
            kind, _, schema = each.partition(" ")
            content[kind] = {"schema": TEXTS.get(schema) or reference(schema)}
        else:
            kind = "application/problem+json" if each == "Problem" else "application/json"
            content[kind] = {"schema": reference(each)}
    return content


TEXTS: Mapping[str, Mapping[str, Any]] = {"": {"type": "string"}, "uuid": {"type": "string", "format": "uuid"}}
"""What is told of a media type's text; else it is the name of a schema."""


def _response(status: int, told: str) -> dict[str, Any]:
    found: dict[str, Any] = {
        "description": "A problem (RFC 9457)." if told == "Problem" else f"{HTTPStatus(status).phrase}."
    }
    if content := _content(told):
        found["content"] = content
    always = OF_PROBLEMS.get(status, []) if told == "Problem" else []
    headers = ["X-Request-ID", *always, *(part for part in _parts(told) if part in ANSWERED)]
    found["headers"] = {name: ANSWERED[name] for name in headers}
    if place := next((LEADS[kind] for kind in _parts(told) if status < 300 and kind in LEADS), None):
        found["links"] = _links(place)
    return found


OF_PROBLEMS: Mapping[int, list[str]] = {401: ["WWW-Authenticate"], 429: ["Retry-After"], 503: ["Retry-After"]}
"""Headers that every problem of the status has."""
LEADS: Mapping[str, str] = {
    "text/plain uuid": "$response.body",
    "Job": "$response.body#/uuid",
    "Page": "$response.body#/jobs/0/uuid",
    "BatchAnswer": "$response.body#/jobs/0/uuid",
    "History": "$response.body#/events/0/job",
    "HistoryPage": "$response.body#/events/0/job",
}
"""Where in an answer a job is named; of several representations the first counts."""


def _links(place: str) -> dict[str, Any]:
    """Where a job leads."""
    return {
        name: {"operationId": identity, "parameters": {"uuid": place}}
        for name, identity in {
            "status": "get_status_uuid",
            "result": "get_result_uuid",
            "events": "get_status_uuid_events",
            "cancel": "delete_status_uuid",
            "retry": "post_status_uuid_retry",
        }.items()
    }


def _task_operation(spec: TaskSpec, method: str, general: Mapping[str, Any]) -> dict[str, Any]:
    own = {
        **general,
        "operationId": f"{method}_dispatch_{spec.name}",
        "parameters": [each for each in general["parameters"] if each["in"] != "path"],
        "responses": {status: answer for status, answer in general["responses"].items() if status != "404"},
    }
    needs = needs_arguments(spec)
    if method != "post":
        return _never(spec, own) if needs else own
    result = {"anyOf": [{"type": "null"}, reference(component(spec.name, "result"))]}
    job = {"allOf": [reference("Job"), {"properties": {"result": result}}]}
    answers = {status: _with_job(own["responses"][status], job) for status in ("200", "202")}
    return {
        **own,
        "summary": (spec.doc or f"Dispatch {spec.name}.").splitlines()[0],
        "requestBody": {
            "content": {"application/json": {"schema": reference(component(spec.name, "dispatch"))}},
            "required": needs,
        },
        "responses": {**own["responses"], **answers},
    }


def _with_job(answer: Mapping[str, Any], job: Mapping[str, Any]) -> dict[str, Any]:
    return {**answer, "content": {**answer["content"], "application/json": {"schema": job}}}


def _never(spec: TaskSpec, own: Mapping[str, Any]) -> dict[str, Any]:
    """The operation of a path without the arguments that its task needs: it is there, and refuses."""
    refused = {status: answer for status, answer in own["responses"].items() if status != "200"}
    return {**own, "summary": f"Refused: {spec.name} needs arguments, as segments of the path.", "responses": refused}
