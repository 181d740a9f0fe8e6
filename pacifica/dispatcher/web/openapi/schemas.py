"""The JSON Schemas (2020-12), parameters and headers of the OpenAPI document."""

import re
from collections.abc import Mapping
from typing import Any

from ...core.dispatch_options import DispatchOptions
from ...core.job import State
from ...core.queue_names import QueueNames
from ...monitoring.health import PARTS, VERDICTS
from ..representations import TIMES
from ..request.body import KEY
from ..request.dispatch_body import MEMBERS

UUID: Mapping[str, Any] = {"type": "string", "format": "uuid"}
_TEXT: Mapping[str, Any] = {"type": "string"}
_TEXT_OR_NULL: Mapping[str, Any] = {"type": ["string", "null"]}
_COUNT: Mapping[str, Any] = {"type": "integer", "minimum": 0}
_TIME: Mapping[str, Any] = {"type": ["string", "null"], "format": "date-time"}


def reference(name: str) -> dict[str, Any]:
    """The schema with this name: ``any``, ``object``, or a component of the document."""
    plain: dict[str, dict[str, Any]] = {"any": {}, "object": {"type": "object"}}
    return plain.get(name, {"$ref": f"#/components/schemas/{name}"})


def _object(properties: Mapping[str, Any], **more: Any) -> dict[str, Any]:
    return {"type": "object", "properties": dict(properties), "required": list(properties)} | more


def _list(name: str) -> dict[str, Any]:
    return {"type": "array", "items": reference(name)}


_PART: Mapping[str, Any] = _object(
    {
        "verdict": {"enum": list(VERDICTS)},
        "age": {
            "type": ["number", "null"],
            "minimum": 0,
            "description": "Seconds; docs/api/service.md defines it for each part.",
        },
        "message": _TEXT_OR_NULL,
    }
)
DISPATCH: Mapping[str, Any] = {
    name: {"type": "array" if kind is list else "object"} if name != "options" else reference("Options")
    for name, (kind, _) in MEMBERS.items()
}
CLOSED: Mapping[str, Any] = {"additionalProperties": False}
"""Refuses unknown members."""


def component(task: str, part: str) -> str:
    """The name of a component of a task; OpenAPI allows only these characters, so others become their code."""
    return re.sub(r"[^A-Za-z0-9._-]", lambda found: f"-{ord(found[0]):x}-", f"{task}.{part}")


SCHEMAS: Mapping[str, Any] = {
    "Job": _object(
        {
            "uuid": UUID,
            "task": _TEXT,
            "state": {"enum": [state.value for state in State]},
            "result": {},
            "error": {"anyOf": [{"type": "null"}, _object({"type": _TEXT, "message": _TEXT, "at": _TEXT_OR_NULL})]},
            "args": {"type": ["array", "null"]},
            "kwargs": {"type": ["object", "null"]},
            "attempt": _COUNT,
            "retries": _COUNT,
            "max_attempts": _COUNT,
            "queue": _TEXT_OR_NULL,
            "priority": {"type": ["integer", "null"]},
            "worker": _TEXT_OR_NULL,
            "traceparent": _TEXT_OR_NULL,
            "replay_of": {"type": ["string", "null"], "format": "uuid"},
            "caller": _TEXT_OR_NULL,
            "labels": {"type": "object"},
            "progress": {},
            **dict.fromkeys(TIMES, _TIME),
        }
    ),
    "CancellingJob": {"allOf": [reference("Job"), _object({"message": _TEXT})]},
    "Dispatch": {"type": "object", **CLOSED, "properties": DISPATCH},
    "Options": DispatchOptions.model_json_schema(),
    "Problem": _object(
        {"type": _TEXT, "title": _TEXT, "status": {"type": "integer"}, "detail": _TEXT, "message": _TEXT}
    ),
    "Task": _object(
        {"name": _TEXT, "doc": _TEXT_OR_NULL, "arguments": {"type": "object"}, "result": {"type": "object"}}
    ),
    "Tasks": _object({"tasks": _list("Task")}),
    "Readiness": _object(
        {
            "status": {"enum": ["ok", "degraded", "unavailable"]},
            "database": _TEXT,
            "broker": _TEXT,
            "outbox": _object({"waiting": _COUNT}),
            "workers": _object({"living": _COUNT}),
            "checks": _object(dict.fromkeys(PARTS, _PART), **CLOSED),
        }
    ),
    "BatchAnswer": _object(
        {
            "jobs": {
                "type": "array",
                "items": {
                    "oneOf": [
                        _object({"uuid": UUID}, **CLOSED),
                        _object({"problem": reference("Problem")}, **CLOSED),
                    ]
                },
            }
        },
        **CLOSED,
    ),
    "Page": _object({"jobs": _list("Job"), "next": _TEXT_OR_NULL}, **CLOSED),
    "Event": _object(
        {
            "id": _COUNT,
            "job": UUID,
            "at": {"type": "string", "format": "date-time"},
            "kind": _TEXT,
            "data": {"type": "object"},
        },
        **CLOSED,
        required=["id", "job", "at", "kind"],
    ),
    "History": _object({"events": _list("Event")}, **CLOSED),
    "HistoryPage": _object({"events": _list("Event"), "next": _TEXT}, **CLOSED),
}


def options_schema(queues: QueueNames | None) -> dict[str, Any]:
    """The schema of the options, with the queues that a request may name."""
    schema = DispatchOptions.model_json_schema()
    if queues is not None:
        schema["properties"]["queue"]["anyOf"][0] = queues.schema()
    return schema


PARAMETERS: Mapping[str, dict[str, Any]] = {
    "uuid": {"name": "uuid", "schema": UUID, "description": "The UUID that a dispatch returned."},
    "task": {"name": "task", "schema": reference("TaskName"), "description": "The name of a task."},
    "name": {"name": "name", "schema": reference("TaskName"), "description": "The name of a task."},
    "arguments": {
        "name": "arguments",
        "schema": {"type": "string", "minLength": 1},
        "description": "One segment for each argument. Write a slash within an argument as %2F.",
    },
}
REQUEST_HEADERS: Mapping[str, dict[str, Any]] = {
    "Idempotency-Key": {
        "name": "Idempotency-Key",
        "in": "header",
        "schema": {"type": "string", "minLength": 1, "maxLength": 255, "pattern": f"^{KEY}$"},
        "description": "A repeated request with the same key returns the same job.",
    },
    "If-None-Match": {
        "name": "If-None-Match",
        "in": "header",
        "schema": _TEXT,
        "description": "The ETag of the representation that the client holds; 304 if it is still current.",
    },
    "Prefer": {
        "name": "Prefer",
        "in": "header",
        "schema": _TEXT,
        "description": "wait=SECONDS (RFC 7240): answer when the job is final or the time has elapsed.",
    },
    "Last-Event-ID": {
        "name": "Last-Event-ID",
        "in": "header",
        "schema": {"type": "string", "pattern": "^[0-9]{1,18}$"},
        "description": "Continue after the event with this id.",
    },
}
RESPONSE_HEADERS: Mapping[str, dict[str, Any]] = {
    "Location": {"required": True, "schema": {"type": "string", "format": "uri-reference", "pattern": "^/status/"}},
    "ETag": {"required": True, "schema": {"type": "string", "pattern": '^"[0-9a-f]+"$'}},
    "WWW-Authenticate": {"required": True, "schema": {"type": "string", "pattern": "^Bearer realm="}},
    "Retry-After": {"required": True, "schema": {"type": "integer", "minimum": 0}},
    "X-Request-ID": {"required": True, "schema": {"type": "string", "minLength": 1, "maxLength": 128}},
}
