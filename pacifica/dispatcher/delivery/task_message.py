"""The message of a job, in Celery's protocol 2, and its route.

A message names the task and the job but carries no arguments: the worker reads them from the row as it claims the
job. Source: https://docs.celeryq.dev/en/stable/internals/protocol.html#version-2
"""

import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from celery import Celery
from kombu.messaging import Producer
from kombu.utils.json import JSONEncoder
from kombu.utils.json import dumps as kombu_dumps
from kombu.utils.json import loads as kombu_loads

from ..core import strict_json
from ..core.job import RETRIES_BEFORE, OutboxEntry
from ..core.json_values import NotJson, finite, plain
from ..core.tracing import Tracing
from ..service.new_job import Target

HIGHEST_PRIORITY = 9
WORKFLOW_HEADERS = (
    "link",
    "link_error",
    "chain",
    "chord",
    "group_id",
    "group_index",
    "root_id",
    "parent_id",
    "reply_to",
    "shadow",
    "time_limit",
    "soft_time_limit",
    "replaced_task_nesting",
)
"""Options of a Celery workflow that a message's headers carry; the row keeps them until the message is sent."""
ORIGIN_HEADERS = ("traceparent", "request_id")
"""The service's own headers, which name the origin of a job."""
DEFAULT_HEADERS: Mapping[str, Any] = {
    "shadow": None,
    "group_index": None,
    "timelimit": [None, None],
    "argsrepr": "()",
    "kwargsrepr": "{}",
    "replaced_task_nesting": 0,
    "stamped_headers": None,
    "stamps": {},
}
"""Optional headers of protocol 2, each with the value that means the same as no header."""
SENDER_HEADER = "origin"
"""The header that names the sending process; a worker does not need it."""
ROUTE_OPTIONS = ("queue", "exchange", "routing_key", "priority", "delivery_mode", "compression")
"""Attributes of a Celery task that choose how its messages are published."""
LONG_AGO = datetime(2000, 1, 1, tzinfo=UTC)
"""The header ``expires`` of a job of an adopted task, whose row has the time at which it expires.

A worker of the application that does not have the dispatcher would call the function without its arguments, even of a
task that is to run at most once. So it drops the message as expired, and the message is published again later.
"""
NO_TRACING = Tracing()


class _HeaderEncoder(JSONEncoder):
    """Kombu's encoder, which restores dates and bytes, and for all other values that of a job's own arguments."""

    def default(self, o: Any) -> Any:
        try:
            return super().default(o)  # type: ignore[no-untyped-call]
        except TypeError:
            return plain(o)


def keep_headers(options: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """The workflow headers among Celery's options, as JSON values; ``None`` for a job outside a workflow.

    Raises ``ValueError`` if an argument of a later step has no JSON form, or would lose a value.
    """
    given = {key: options.get(key) for key in WORKFLOW_HEADERS}
    defaults = {"replaced_task_nesting": 0}
    headers = {key: value for key, value in given.items() if value not in (defaults.get(key), None, [], ())}
    if not headers:
        return None
    try:
        strict_json.check_keys(headers)
        kept: Mapping[str, Any] = finite(json.loads(kombu_dumps(headers, cls=_HeaderEncoder)))
    except ValueError as error:
        reason = error.sentence("a value") if isinstance(error, NotJson) else error
        raise ValueError(f"the arguments of a later step of the workflow are not JSON: {reason}") from error
    return kept


def made_message(app: Celery, job: OutboxEntry) -> Any:
    """Celery's message of one job: headers, properties and body."""
    kept = job.headers or {}
    origin = {name: kept[name] for name in (*ORIGIN_HEADERS, RETRIES_BEFORE) if name in kept}
    workflow = kombu_loads(json.dumps(kept)) if len(kept) > len(origin) else {}
    for name in origin:
        workflow.pop(name, None)
    message = app.amqp.as_task_v2(
        job.uuid,
        job.task,
        (),
        {},
        retries=job.retries,
        expires=LONG_AGO if is_adopted(app.tasks.get(job.task)) else _datetime(job.expires),
        callbacks=_list(workflow.pop("link", None)),
        errbacks=_list(workflow.pop("link_error", None)),
        argsrepr="()",
        kwargsrepr="{}",
        ignore_result=False,
        **workflow,
    )
    _drop_default_headers(message.headers)
    message.headers.update(origin)
    return message


def is_adopted(task: Any) -> bool:
    """Whether a worker without the dispatcher may have the task, too."""
    return hasattr(task, "dispatcher_asked")


def send(app: Celery, producer: Producer, job: OutboxEntry, route: Mapping[str, Any]) -> None:
    """Have Celery make the message of one job, and publish it."""
    message = made_message(app, job)
    queue = getattr(route.get("queue"), "name", None) or str(route.get("routing_key") or "")
    with tracing_of(app).sending(job.uuid, queue, (job.headers or {}).get("traceparent")) as context:
        if context is not None:
            message.headers["traceparent"] = context
        app.amqp.send_task_message(producer, job.task, message, retry=False, mandatory=True, **route)


def route_job(app: Celery, producer: Producer, job: OutboxEntry) -> dict[str, Any]:
    """The options with which the message of a job is published."""
    options = route_task(app, job.task, {"queue": job.queue, "priority": job.priority})
    if producer.connection.transport.driver_type == "redis":
        options["priority"] = HIGHEST_PRIORITY - (options.get("priority") or 0)  # kombu's Redis serves 0 before 9.
    return options


def route_task(app: Celery, name: str, own: Mapping[str, Any]) -> dict[str, Any]:
    """How to publish messages of a task: a job's ``own`` options override the task's, which override the routes'."""
    options = declared_options(app, name) | {key: value for key, value in own.items() if value is not None}
    routed: dict[str, Any] = app.amqp.router.route(options, name, (), {}, app.tasks.get(name))
    return routed


def target(app: Celery, name: str, queue: str | None, priority: int | None) -> Target:
    """The queue and the priority, from 0 to 9, of a job with these options."""
    routed = route_task(app, name, {"queue": queue, "priority": priority})
    chosen = getattr(routed.get("queue"), "name", None) or routed.get("routing_key") or app.conf.task_default_queue
    return Target(str(chosen), min(HIGHEST_PRIORITY, max(0, int(routed.get("priority") or 0))))


def declared_options(app: Celery, name: str) -> dict[str, Any]:
    """The options of ``ROUTE_OPTIONS`` that a task declares; one that is ``None`` would hide a configured route."""
    task = app.tasks.get(name)
    declared = {key: getattr(task, key, None) for key in ROUTE_OPTIONS}
    return {key: value for key, value in declared.items() if value is not None}


def tracing_of(app: Celery) -> Tracing:
    """The tracing of the app's process; an app without a container traces nothing."""
    found: Tracing = getattr(getattr(app, "container", None), "tracing", NO_TRACING)
    return found


def _drop_default_headers(headers: dict[str, Any]) -> None:
    """Remove the headers that repeat a default: a worker would decode each of them for each job."""
    headers.pop(SENDER_HEADER, None)
    for name, default in DEFAULT_HEADERS.items():
        if headers.get(name) == default:
            headers.pop(name, None)


def _list(value: Any) -> list[Any] | None:
    return value if value is None or isinstance(value, list) else [value]


def _datetime(micros: int | None) -> datetime | None:
    return None if micros is None else datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=micros)
