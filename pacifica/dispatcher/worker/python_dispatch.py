"""Dispatching from Python: ``apply_async``, ``delay``, and the steps of a workflow."""

import logging
from collections.abc import Mapping, Sequence
from datetime import datetime, tzinfo
from typing import Any

from celery import Task
from celery.result import AsyncResult

from ..core.dispatch_options import DispatchOptions, checked_options
from ..core.errors import PurgedJob
from ..core.job import parse_uuid
from ..delivery.task_message import keep_headers, route_task
from ..logs import log_context
from ..service.new_job import DispatchContext, outbox_entry

logger = logging.getLogger(__name__)


def dispatch(
    task: Task, args: Sequence[Any], kwargs: Mapping[str, Any], task_id: str | None, options: Mapping[str, Any]
) -> AsyncResult:
    """Create the job's row, then send its message at once; the relay sends it if the broker is unavailable.

    If a job with this ``task_id`` exists, the result is that job's: the next step of a chain whose previous step
    ran twice. A purged job is not run again either, and raises nothing, as an error would fail the previous step.

    Raises ``BadArguments``, ``BadOptions``, ``ValueError``, ``DatabaseUnavailable``, and ``BadId`` for a ``task_id``
    that is not a UUID; then no job exists.
    """
    app, container = task.app, task.app.container
    task_id = None if task_id is None else parse_uuid(str(task_id))
    checked_limits(options)
    call = container.registry.of_job(task.name).bind_python(args, kwargs)
    own = app.current_worker_task and app.current_worker_task.request
    replaces = bool(own) and task_id is not None and task_id == own.id
    headers = keep_headers(_with_parents(own, options, replaces=replaces))
    context = DispatchContext(uuid=task_id, headers=headers, request_id=log_context.current().get("request"))
    try:
        job = container.python_service.dispatch(call, dispatch_options(_routed(app, options), app.naive_zone), context)
    except PurgedJob as purged:
        result = task.AsyncResult(task_id)
        logger.info("%s", purged)
    else:
        result = task.AsyncResult(job.uuid)
        if job.eta is None and job.due is not None:
            container.publish_now(outbox_entry(job))
    if options.get("add_to_parent", True) and own and not replaces:
        app.current_worker_task.add_trail(result)
    return result


def checked_limits(given: Mapping[str, Any]) -> None:
    """Raise ``ValueError`` for time limits that no worker could keep: a malformed one ends a worker."""
    hard, soft = (given.get(name) for name in ("time_limit", "soft_time_limit"))
    for name, value in (("time_limit", hard), ("soft_time_limit", soft)):
        if value is not None and (isinstance(value, bool) or not isinstance(value, int | float) or not value > 0):
            raise ValueError(f"{name} must be a number of seconds above 0, not {value!r:.80}")
    if hard is not None and soft is not None and soft > hard:
        raise ValueError(f"soft_time_limit ({soft}) must not be above time_limit ({hard})")


def _routed(app: Any, options: Mapping[str, Any]) -> Mapping[str, Any]:
    """The options; a ``map`` or ``starmap`` goes to the queue of the task that it calls."""
    name = options.get("route_name")
    if name is None or options.get("queue") is not None:
        return options
    queue = route_task(app, name, {}).get("queue")
    return options if queue is None else {**options, "queue": queue.name}


def dispatch_options(given: Mapping[str, Any], zone: tzinfo) -> DispatchOptions:
    """Celery's execution options as dispatch options; the others go with the message's headers.

    ``zone`` is that of times without one.
    """
    eta, expires = given.get("eta"), given.get("expires")
    return checked_options(
        queue=getattr(given.get("queue"), "name", given.get("queue")),
        priority=given.get("priority"),
        countdown=None if given.get("countdown") is None else float(given["countdown"]),
        eta=aware(eta, zone) if isinstance(eta, datetime) else eta,
        expires=aware(expires, zone) if isinstance(expires, datetime) else None if expires is None else float(expires),
    )


def own_expiry(task: Task) -> float | datetime | None:
    """The time or the seconds after which the jobs of a task expire, as the option ``expires`` of the task says."""
    declared = task.expires
    if isinstance(declared, datetime):
        return aware(declared, task.app.naive_zone)
    return float(declared) if isinstance(declared, int | float) else None


def aware(moment: datetime, zone: tzinfo) -> datetime:
    """The moment, which is in this zone if it names none."""
    return moment if moment.tzinfo else moment.replace(tzinfo=zone)


def _with_parents(own: Any, options: Mapping[str, Any], *, replaces: bool) -> Mapping[str, Any]:
    """The options, with the ids of the task that this thread runs, if any, as parent and root.

    ``own`` is the request of that task; a task that replaces it has the same parent.
    """
    if own and own.id:
        found = {"root_id": own.root_id or own.id, "parent_id": own.parent_id if replaces else own.id}
        return found | {key: value for key, value in options.items() if value is not None}
    return options
