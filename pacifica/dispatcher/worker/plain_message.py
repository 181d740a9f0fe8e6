"""Plain Celery messages: a worker makes the job that another program's ``send_task`` or ``delay`` has published.

The worker's main process makes the job as it receives the message, and the turn that claims the job inserts its row. A
later attempt reads the arguments from the row, as for any job.
"""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, tzinfo
from typing import Any, NamedTuple

from celery.exceptions import InvalidTaskError
from celery.utils.time import maybe_iso8601

from ..core import strict_json
from ..core.dispatch_options import checked_options
from ..core.errors import BadArguments, BadOptions, UnknownTask, UnusableTask
from ..core.job import EncodedArguments, Job
from ..core.json_values import plain_arguments
from ..core.registry import Call, TaskSpec
from ..delivery.task_message import HIGHEST_PRIORITY, ORIGIN_HEADERS, keep_headers
from ..service.new_job import DispatchContext
from .python_dispatch import aware


class PlainJob(NamedTuple):
    """The job of a plain message, and the reason why its arguments do not fit."""

    job: Job
    refusal: BadArguments | None


def headers_of(headers: Mapping[str, Any]) -> Mapping[str, Any]:
    """The headers with which Celery is to receive a plain message.

    It must neither wait in the worker's memory, nor be dropped as expired, nor lose its result: the row has its times,
    and its outcome.
    """
    return {**headers, "eta": None, "expires": None, "ignore_result": False}


def job_of(container: Any, request: Any, headers: Mapping[str, Any]) -> PlainJob:
    """The job of a plain message with these headers; raises ``InvalidTaskError`` for one that cannot be a job."""
    info = request.delivery_info or {}
    queue, zone = info.get("routing_key"), container.app.naive_zone
    try:
        call, refusal = _call(container.registry.of_job(request.task.name), request.args, request.kwargs)
        options = checked_options(
            queue=queue if queue in container.app.amqp.queues else None,
            priority=_priority(container, info.get("priority")),
            eta=_moment(headers.get("eta"), zone),
            expires=_moment(headers.get("expires"), zone),
        )
        kept = keep_headers(_workflow(request.request_dict, request.body[2] or {}))
    except (UnusableTask, UnknownTask, BadOptions, ValueError) as error:
        raise InvalidTaskError(str(error)) from error
    origin = {name: value for name in ORIGIN_HEADERS if isinstance(value := headers.get(name), str)}
    context = DispatchContext(request.id, {**(kept or {}), **origin} or None)
    job = container.python_service.new_jobs.make(call, options, context).job
    retries = headers.get("retries") or 0  # Of a worker without this package, which has run it as often.
    return PlainJob(replace(job, retries=retries, attempt=retries), refusal)


def _call(spec: TaskSpec, args: Sequence[Any], kwargs: Mapping[str, Any]) -> tuple[Call, BadArguments | None]:
    """The call for the row, and why the task refuses it; arguments that a row cannot hold are left out."""
    try:
        return replace(spec.bind_python(args, kwargs), expires=None), None  # The sender has decided it.
    except BadArguments as error:
        refusal = error
    with suppress(ValueError):
        call = _unchecked(spec, *plain_arguments(args, kwargs))
        if spec.fits_row(call.encoded):
            return call, refusal
    return _unchecked(spec, [], {}), refusal


def _unchecked(spec: TaskSpec, args: list[Any], kwargs: dict[str, Any]) -> Call:
    return Call(spec.name, args, kwargs, EncodedArguments(strict_json.dumps(args), strict_json.dumps(kwargs)))


def _workflow(headers: Mapping[str, Any], embed: Mapping[str, Any]) -> Mapping[str, Any]:
    """The options of Celery's canvas in the message, under the names that ``task_message`` keeps."""
    hard, soft = headers.get("timelimit") or (None, None)
    same = ("root_id", "parent_id", "shadow", "group_index", "reply_to", "replaced_task_nesting")
    return {
        **{name: headers.get(name) for name in same},
        "chain": embed.get("chain"),
        "chord": embed.get("chord"),
        "link": embed.get("callbacks"),
        "link_error": embed.get("errbacks"),
        "group_id": headers.get("group"),
        "time_limit": hard,
        "soft_time_limit": soft,
    }


def _priority(container: Any, number: Any) -> int | None:
    """The priority for a later attempt; 0 is that of a message without one, and with Redis 9 is the lowest."""
    if not isinstance(number, int) or number <= 0:
        return None
    driver = container.app.connection_for_read().get_transport_cls().driver_type
    highest = min(number, HIGHEST_PRIORITY)
    return HIGHEST_PRIORITY - highest if driver == "redis" else highest


def _moment(text: str | None, zone: tzinfo) -> datetime | None:
    found: datetime | None = maybe_iso8601(text)
    return None if found is None else aware(found, zone).astimezone(UTC)
