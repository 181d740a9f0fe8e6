"""Values as representations: a job as JSON, or as the bare text that a shell wants."""

from functools import lru_cache
from importlib.metadata import version
from typing import Any

import cherrypy
from cherrypy.lib import cptools

from ..core import strict_json
from ..core.job import Event, Job, State, iso
from ..core.registry import TaskSpec
from ..monitoring.health import Readiness

JSON, TEXT = "application/json", "text/plain"
UNREAD = dict.fromkeys(("result", "error", "args", "kwargs", "progress")) | {"labels": {}}
"""A job's values for those who may cancel or retry it, and not read it."""
TIMES = ("created", "eta", "expires", "published", "started", "finished")


def wanted(*offered: str) -> str:
    """Of the media types offered, the one that the client's ``Accept`` likes best; 406 when it likes none."""
    cherrypy.serving.response.headers["Vary"] = "Accept"
    asked = cherrypy.serving.request.headers
    if asked.get("Accept", "*/*") == "*/*":
        return offered[0]
    asked["Accept"] = asked["Accept"].lower()  # A type is the same in any case (RFC 9110, section 8.3.1).
    chosen: str = cptools.accept(list(offered))
    return chosen


def as_json(value: Any) -> bytes:
    """The response body of a JSON value."""
    cherrypy.serving.response.headers["Content-Type"] = JSON
    return strict_json.pretty(value)


def as_text(text: str) -> bytes:
    """The response body of a bare text, without a newline at its end."""
    cherrypy.serving.response.headers["Content-Type"] = f"{TEXT};charset=utf-8"
    return text.encode("utf-8", "backslashreplace")


def bare(value: Any) -> str:
    """A result as a shell wants it: text as it is, anything else as JSON."""
    return value if isinstance(value, str) else strict_json.dumps(value)


def job(value: Job) -> dict[str, Any]:
    """A job as JSON shows it; what went in and came out only to those who may read it (``web.guard``)."""
    error = value.error
    request = cherrypy.serving.request
    shows = error is not None and getattr(request, "dispatcher_tracebacks", False)
    hidden = UNREAD if getattr(request, "dispatcher_hides", False) else {}
    return {
        "uuid": value.uuid,
        "task": value.task,
        "state": value.state.value,
        "result": value.result,
        "error": None
        if error is None
        else {
            "type": error.type,
            "message": error.message,
            **({"traceback": error.traceback} if shows else {}),
        },
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
        "progress": value.progress,
        **{name: iso(getattr(value, name)) for name in TIMES},
        **hidden,
    }


def job_mark(value: Job, media: str) -> bytes:
    """Text that is another one when what is shown of the job, as that media type, is: its ``ETag`` is made of it.

    Each write of a row counts up its version. The times beside it tell rows apart that a database brought back from
    a backup would count up again.
    """
    request = cherrypy.serving.request
    shown = getattr(request, "dispatcher_tracebacks", False), getattr(request, "dispatcher_hides", False)
    row = (value.uuid, value.version, value.state.value, value.published, value.started, value.finished)
    return f"{media} {_version()} {shown} {row}".encode()


@lru_cache(maxsize=1)
def _version() -> str:
    """Another version may show the same row in another way."""
    return version("pacifica-dispatcher")


def job_text(value: Job) -> str:
    """The bare result once there is one, else the state."""
    return bare(value.result) if value.state is State.SUCCESS else value.state.value


def event(value: Event) -> dict[str, Any]:
    """One entry of a job's history."""
    data = {key: iso(item) if key == "eta" else item for key, item in value.data.items()}
    told = {"id": value.id, "job": value.job, "at": iso(value.at), "kind": value.kind}
    return {**told, "data": data} if data else told


def readiness(seen: Readiness) -> dict[str, Any]:
    """The verdicts; of ages, whole milliseconds are told."""
    parts = {
        name: {"verdict": verdict, "age": None if age is None else round(age, 3), "message": message}
        for name, (verdict, age, message) in seen.parts.items()
    }
    told = {name: part.message or part.verdict for name, part in seen.parts.items()}
    return {
        "status": seen.verdict,
        "database": told["database"],
        "broker": told["broker"],
        "outbox": {"waiting": seen.waiting},
        "workers": {"living": seen.workers.living},
        "checks": parts,
    }


def task(spec: TaskSpec) -> dict[str, Any]:
    """A task with the JSON Schemas of its arguments and result."""
    return {
        "name": spec.name,
        "doc": spec.doc,
        "arguments": spec.arguments_schema(),
        "result": spec.result_schema(),
    }
