"""Plain Celery messages: a worker makes the row of the job that another program's ``send_task`` has published.

The row is made by the process that would run the job, before it claims the job. A later attempt reads the arguments
from the row, as for any job.
"""

import logging
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple, NoReturn

from celery.exceptions import Ignore
from celery.utils.time import maybe_iso8601
from kombu.message import Message

from ..core import strict_json
from ..core.dispatch_options import checked_options
from ..core.errors import BadArguments, BadOptions, UnknownTask, UnusableTask
from ..core.faults import Fault
from ..core.job import EncodedArguments, Job, now
from ..core.json_values import plain_arguments
from ..core.registry import Call, TaskSpec
from ..delivery.task_message import ORIGIN_HEADERS, keep_headers
from ..service.new_job import DispatchContext
from .message_check import names_a_job_only

logger = logging.getLogger(__name__)

PLAIN_FIELD = "dispatcher_plain"
"""The field of a delivered message's request that holds ``eta`` and ``expires`` of a plain Celery message."""


class AdoptedJob(NamedTuple):
    """The job of a plain message, and the reason why its arguments do not fit."""

    job: Job
    refusal: BadArguments | None


def headers_of(message: Message, headers: Mapping[str, Any]) -> Mapping[str, Any]:
    """The headers with which Celery is to receive the message.

    A plain message must neither wait in the worker's memory, nor be dropped as expired, nor lose its result: the row
    has its times, and its outcome.
    """
    if names_a_job_only(message):
        return headers
    times = {name: headers.get(name) for name in ("eta", "expires")}
    return {**headers, "eta": None, "expires": None, "retries": 0, "ignore_result": False, PLAIN_FIELD: times}


def adopt(container: Any, request: Any) -> AdoptedJob | None:
    """The job of a plain message, which ``store`` stores; ``None`` for the message of a job that has a row."""
    times = getattr(request, PLAIN_FIELD, None)
    if times is None:
        return None
    queue = (request.delivery_info or {}).get("routing_key")
    try:
        call, refusal = _call(container.registry.of_job(request.task), request.args, request.kwargs)
        options = checked_options(
            queue=queue if queue in container.app.amqp.queues else None,
            eta=_moment(times["eta"]),
            expires=_moment(times["expires"]),
        )
    except (UnusableTask, UnknownTask, BadOptions) as error:
        _refuse(container, request.id, str(error))
    origin = {name: value for name in ORIGIN_HEADERS if isinstance(value := getattr(request, name, None), str)}
    context = DispatchContext(request.id, {**(keep_headers(_workflow(request)) or {}), **origin} or None)
    return AdoptedJob(container.python_service.new_jobs.make(call, options, context).job, refusal)


def store(container: Any, adopted: AdoptedJob) -> None:
    """Store the job, unless it is stored already; raises ``Ignore`` if the message is to start nothing now."""
    job = adopted.job
    known = container.jobs.get(job.uuid)
    if known is None:
        if container.jobs.was_purged(job.uuid):
            raise Ignore(f"Job {job.uuid} has been purged.")
        container.jobs.add([job])
    elif known.task != job.task:
        _refuse(container, job.uuid, f"It is for task {job.task}, but there is a job of that id, of task {known.task}.")
    if job.eta is not None and job.eta > now():
        raise Ignore(f"Job {job.uuid} waits in the record until its eta.")


def _refuse(container: Any, uuid: str, reason: str) -> NoReturn:
    """Log and count a message that cannot be a job; raises ``Ignore``."""
    logger.error("The plain message %s is refused. %s", uuid, reason)
    container.event_counts.add_refused_message()
    raise Ignore(reason)


def _call(spec: TaskSpec, args: Sequence[Any], kwargs: Mapping[str, Any]) -> tuple[Call, BadArguments | None]:
    """The call for the row, and why the task refuses it; arguments that a row cannot hold are left out."""
    try:
        plain_args, plain_kwargs = plain_arguments(args, kwargs)
    except ValueError as error:
        return _unchecked(spec, [], {}), BadArguments(spec.name, [Fault("arguments", str(error))])
    try:
        return spec.bind(plain_args, plain_kwargs, naive=True), None
    except BadArguments as refusal:
        call = _unchecked(spec, plain_args, plain_kwargs)
        fits = spec.fits_row(call.encoded)
        return call if fits else _unchecked(spec, [], {}), refusal


def _unchecked(spec: TaskSpec, args: list[Any], kwargs: dict[str, Any]) -> Call:
    return Call(spec.name, args, kwargs, EncodedArguments(strict_json.dumps(args), strict_json.dumps(kwargs)))


def _workflow(request: Any) -> Mapping[str, Any]:
    """The options of Celery's canvas in the message, under the names that ``task_message`` keeps."""
    hard, soft = request.timelimit or (None, None)
    same = {name: getattr(request, name, None) for name in ("chain", "chord", "root_id", "parent_id", "shadow")}
    return {
        **same,
        "link": request.callbacks,
        "link_error": request.errbacks,
        "group_id": request.group,
        "group_index": request.group_index,
        "reply_to": request.reply_to,
        "time_limit": hard,
        "soft_time_limit": soft,
        "replaced_task_nesting": request.replaced_task_nesting,
    }


def _moment(text: str | None) -> datetime | None:
    found: datetime | None = maybe_iso8601(text)
    if found is None:
        return None
    return found.astimezone(UTC) if found.tzinfo else found.replace(tzinfo=UTC)
