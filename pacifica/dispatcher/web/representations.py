"""Renders values: as JSON, or as bare text for shells."""

from functools import lru_cache, partial
from importlib.metadata import version
from typing import Any

import cherrypy
from cherrypy.lib import cptools

from ..core import strict_json
from ..core.errors import EndedWithoutResult
from ..core.job import Event, Job, JobError, State, iso
from ..core.permissions import READ
from ..core.registry import TaskSpec
from ..core.strict_json import JsonText
from ..monitoring.health import Part, ReadinessReport
from .request.request_context import caller
from .server.loop import WAITER

JSON, TEXT = "application/json", "text/plain"
HIDDEN = dict.fromkeys(("result", "error", "args", "kwargs", "progress")) | {"labels": {}}
"""Replaces the content of a job for callers who may cancel or retry it but not read it."""
TIMES = ("created", "eta", "expires", "published", "started", "finished")


def negotiate(*offered: str) -> str:
    """The offered media type that the client's ``Accept`` prefers; raises 406 if it accepts none of them."""
    cherrypy.serving.response.headers["Vary"] = "Accept"
    headers = cherrypy.serving.request.headers
    if headers.get("Accept", "*/*") == "*/*":
        return offered[0]
    headers["Accept"] = headers["Accept"].lower()  # Media types are case-insensitive (RFC 9110, section 8.3.1).
    chosen: str = cptools.accept(list(offered))
    return chosen


def as_json(value: Any) -> bytes:
    """A JSON value as a response body; sets its content type."""
    cherrypy.serving.response.headers["Content-Type"] = JSON
    return WAITER.run_if_away(partial(strict_json.pretty, value))


def as_text(text: str) -> bytes:
    """A text as a response body, without a trailing newline; sets its content type."""
    cherrypy.serving.response.headers["Content-Type"] = f"{TEXT};charset=utf-8"
    return text.encode("utf-8", "backslashreplace")


def bare(value: Any) -> str:
    """A result for a shell: a string as it is, anything else as JSON."""
    if isinstance(value, JsonText):
        if value.text[0] != '"':
            return value.text
        value = WAITER.run_if_away(partial(strict_json.loads, value.text))
    return value if isinstance(value, str) else strict_json.dumps(value)


def job(value: Job, *, dispatched: bool = False) -> dict[str, Any]:
    """A job as JSON; its content is hidden from callers without the scope ``read`` for it.

    ``dispatched`` shows the content to the caller whose request dispatched the job, except for the traceback.
    """
    hidden = {} if dispatched or may_read(value) else HIDDEN
    return {
        "uuid": value.uuid,
        "task": value.task,
        "state": value.state.value,
        "result": value.result,
        "error": _error(value),
        "progress": value.progress,
        **{name: iso(getattr(value, name)) for name in TIMES},
        "args": value.args,
        "kwargs": value.kwargs,
        "attempt": value.attempt,
        "retries": value.retries,
        "max_attempts": value.max_attempts,
        "queue": value.queue,
        "priority": value.priority,
        "worker": value.worker,
        "replay_of": value.replay_of,
        "caller": value.caller or None,
        "traceparent": value.traceparent,
        "labels": value.labels or {},
        **hidden,
    }


def cancelling_job(value: Job) -> dict[str, Any]:
    """A running job that its worker was asked to stop, with a sentence that says so."""
    shown = job(value)
    first = {name: shown.pop(name) for name in ("uuid", "task", "state")}
    message = (
        "The job is being cancelled: its worker was asked to stop it, and stops it within seconds. "
        f"GET /status/{value.uuid}?wait=30 waits until the job has ended, and shows how."
    )
    return {**first, "message": message, **shown}


def _error(value: Job) -> dict[str, Any] | None:
    if value.error is None:
        return None
    shown = _reason(value.error)
    return shown | {"traceback": value.error.traceback} if value.error.traceback and shows_traceback(value) else shown


def may_read(value: Job) -> bool:
    """Whether the caller has the scope ``read`` for the job."""
    return caller().visibility(READ).covers(value.task, value.caller)


def shows_traceback(value: Job) -> bool:
    """Whether the caller may see the traceback of the job's error."""
    return value.error is not None and cherrypy.serving.request.sees_tracebacks() and may_read(value)


def job_version(value: Job, media: str) -> bytes:
    """A text that changes whenever the representation of a readable job does; the source of its ``ETag``.

    Each write increments the row's version. The times also distinguish rows that a restored backup counts again.
    """
    row = (value.uuid, value.version, value.state.value, value.published, value.started, value.finished)
    return f"{media} {_version()} {shows_traceback(value)} {row}".encode()


@lru_cache(maxsize=1)
def _version() -> str:
    """The version of this service, as another version may render the same row differently."""
    return version("pacifica-dispatcher")


def job_text(value: Job) -> str:
    """The bare result after success, else the state."""
    return bare(value.result) if value.state is State.SUCCESS else value.state.value


def event(value: Event) -> dict[str, Any]:
    data = {key: iso(item) if key == "eta" else item for key, item in value.data.items()}
    shown = {"id": value.id, "job": value.job, "at": iso(value.at), "kind": value.kind}
    return {**shown, "data": data} if data else shown


def no_result(value: Job) -> EndedWithoutResult:
    """The error for a job that has ended without a result."""
    return EndedWithoutResult(value.uuid, value.state.value, _reason(value.error) if value.error else None)


def _reason(error: JobError) -> dict[str, Any]:
    return {"type": error.type, "message": error.message, "at": error.at or None}


def readiness(found: ReadinessReport) -> dict[str, Any]:
    """The verdict of each part; ages are rounded to milliseconds."""
    checks = {name: _check(part) for name, part in found.parts.items()}
    summary = {name: check["message"] or check["verdict"] for name, check in checks.items()}
    return {
        "status": found.verdict,
        "database": summary["database"],
        "broker": summary["broker"],
        "outbox": {"waiting": found.waiting},
        "workers": {"living": found.workers.living},
        "checks": checks,
    }


def _check(part: Part) -> dict[str, Any]:
    age = None if part.age is None else round(part.age, 3)
    return {"verdict": part.verdict, "age": age, "message": part.message}


def task(spec: TaskSpec) -> dict[str, Any]:
    """A task with the JSON Schemas of its arguments and result."""
    return {
        "name": spec.name,
        "doc": spec.doc,
        "arguments": spec.arguments_schema(),
        "result": spec.result_schema(),
    }
