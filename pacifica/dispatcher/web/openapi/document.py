"""The OpenAPI 3.1 document, generated from the declared operations and the registry."""

import re
from collections.abc import Callable, Mapping
from http import HTTPStatus
from importlib.metadata import version
from typing import Any
from urllib.parse import quote

from ...core.registry import Registry, TaskSpec
from ..middleware import path_prefix
from ..operation import Operation, handlers
from .schemas import PARAMETERS, REQUEST_HEADERS, RESPONSE_HEADERS, SCHEMAS, component, options_schema, reference
from .task_schemas import batch_schemas, needs_arguments, task_schemas


def document(root: Any, registry: Registry, batch_limit: int, *, anonymous: bool) -> dict[str, Any]:
    """All operations, and for each task a path with the schemas of its arguments and result.

    ``anonymous`` states that callers need no token. The server is the one that the current request has reached.
    """
    paths: dict[str, dict[str, Any]] = {}
    for method, handler in handlers(root):
        for declared in getattr(handler, "operations", ()):
            if declared.switched_off or declared.page:
                continue
            paths.setdefault(declared.path, {})[method.lower()] = _operation(
                method, declared, handler, anonymous=anonymous
            )
    schemas = dict(SCHEMAS) | batch_schemas(registry, batch_limit) | {"Options": options_schema(registry.queues)}
    for spec in registry.values():
        schemas |= task_schemas(spec)
        paths[f"/dispatch/{quote(spec.name)}"] = {
            method: _task_operation(spec, method, general) for method, general in paths["/dispatch/{task}"].items()
        }
    return {
        "openapi": "3.1.0",
        "info": {"title": "Pacifica Dispatcher", "version": version("pacifica-dispatcher")},
        "servers": [{"url": path_prefix.of_request() or "/"}],
        "paths": paths,
        "components": {"schemas": schemas, "securitySchemes": {"bearer": BEARER}},
    }


BEARER: Mapping[str, Any] = {
    "type": "http",
    "scheme": "bearer",
    "description": "A token made by pacifica-dispatcher-cmd token create. Each operation names the scope it requires.",
}


def _operation(method: str, declared: Operation, handler: Callable[..., Any], *, anonymous: bool) -> dict[str, Any]:
    summary, _, description = (handler.__doc__ or "").strip().partition("\n\n")
    described: dict[str, Any] = {
        "operationId": "_".join([method.lower(), *re.findall(r"\w+", declared.path)]),
        "summary": " ".join(summary.split()),
        "parameters": _parameters(declared),
        "responses": _responses(method, declared),
        "security": _security(declared.scope, anonymous=anonymous),
    }
    if description:
        described["description"] = " ".join(description.split())
    if declared.body:
        described["requestBody"] = {"content": _content(declared.body), "required": declared.body != "Dispatch"}
    return described


def _parameters(declared: Operation) -> list[Mapping[str, Any]]:
    path = [PARAMETERS[name] | {"in": "path", "required": True} for name in re.findall(r"{(\w+)}", declared.path)]
    query = [{"name": name, "in": "query", "schema": dict(schema)} for name, schema in declared.query.items()]
    return [*path, *query, *(REQUEST_HEADERS[name] for name in declared.headers)]


def _security(scope: str | None, *, anonymous: bool) -> list[dict[str, list[str]]]:
    if scope is None:
        return []
    return [{"bearer": [scope]}, {}] if anonymous else [{"bearer": [scope]}]


def _responses(method: str, declared: Operation) -> dict[str, Any]:
    errors = dict.fromkeys(_common_errors(method, declared), "Problem")
    contents = sorted({**errors, **declared.responses}.items())
    return {str(status): _response(status, content) for status, content in contents}


def _common_errors(method: str, declared: Operation) -> set[int]:
    """The statuses of the errors that every operation of this kind may answer."""
    found = {400, 408, 414, 431, 503} | ({401, 403, 406, 429} if declared.scope else set())
    found |= {411, 413, 415} if method == "POST" else set()
    return found | ({404} if "{" in declared.path else set()) | ({410} if "{uuid}" in declared.path else set())


def _parts(content: str) -> list[str]:
    return [part for part in content.split(", ") if part]


def _content(declared: str) -> dict[str, Any]:
    content: dict[str, Any] = {}
    for part in _parts(declared):
        if part in RESPONSE_HEADERS:
            continue
        if "/" in part:
            media, _, schema = part.partition(" ")
            content[media] = {"schema": TEXT_SCHEMAS.get(schema) or reference(schema)}
        else:
            media = "application/problem+json" if part == "Problem" else "application/json"
            content[media] = {"schema": reference(part)}
    return content


TEXT_SCHEMAS: Mapping[str, Mapping[str, Any]] = {
    "": {"type": "string"},
    "uuid": {"type": "string", "format": "uuid"},
    "outcome": {"type": "string", "description": "The UUID of the job; the bare result, if the request waited for it."},
}
"""Schemas that may follow a media type; any other name is a component of the document."""


def _response(status: int, declared: str) -> dict[str, Any]:
    is_problem = declared == "Problem"
    found: dict[str, Any] = {
        "description": "A problem document (RFC 9457)." if is_problem else f"{HTTPStatus(status).phrase}."
    }
    if content := _content(declared):
        found["content"] = content
    always = PROBLEM_HEADERS.get(status, []) if is_problem else []
    names = ["X-Request-ID", *always, *(part for part in _parts(declared) if part in RESPONSE_HEADERS)]
    found["headers"] = {name: RESPONSE_HEADERS[name] for name in names}
    if uuid := next((JOB_UUIDS[part] for part in _parts(declared) if status < 300 and part in JOB_UUIDS), None):
        found["links"] = {
            name: {"operationId": operation_id, "parameters": {"uuid": uuid}} for name, operation_id in LINKS.items()
        }
    return found


PROBLEM_HEADERS: Mapping[int, list[str]] = {401: ["WWW-Authenticate"], 429: ["Retry-After"], 503: ["Retry-After"]}
"""Headers that every problem with this status carries."""
JOB_UUIDS: Mapping[str, str] = {
    "text/plain uuid": "$response.body",
    "text/plain outcome": "$response.body",
    "Job": "$response.body#/uuid",
    "CancellingJob": "$response.body#/uuid",
    "Page": "$response.body#/jobs/0/uuid",
    "BatchAnswer": "$response.body#/jobs/0/uuid",
    "History": "$response.body#/events/0/job",
    "HistoryPage": "$response.body#/events/0/job",
}
"""Runtime expressions for the UUID of a job in a response; the first representation listed is used."""
LINKS: Mapping[str, str] = {
    "status": "get_status_uuid",
    "result": "get_result_uuid",
    "events": "get_status_uuid_events",
    "cancel": "delete_status_uuid",
    "retry": "post_status_uuid_retry",
}
"""The operations to which a job links."""


def _task_operation(spec: TaskSpec, method: str, general: Mapping[str, Any]) -> dict[str, Any]:
    own = {
        **general,
        "operationId": f"{method}_dispatch_{spec.name}",
        "parameters": [each for each in general["parameters"] if each["in"] != "path"],
        "responses": {status: answer for status, answer in general["responses"].items() if status != "404"},
    }
    needs = needs_arguments(spec)
    if method != "post":
        return _refused(spec, own) if needs else own
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


def _refused(spec: TaskSpec, own: Mapping[str, Any]) -> dict[str, Any]:
    """The operation on a path without the arguments that its task requires: it always answers with an error."""
    responses = {status: answer for status, answer in own["responses"].items() if status not in {"200", "202", "409"}}
    summary = f"Always refused: {spec.name} requires arguments, as segments of the path."
    return {**own, "summary": summary, "responses": responses}
