"""``Task.retry``: what it asks for is noted in the task's request, until the outcome of the attempt is reported."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from celery import Task
from celery.exceptions import Reject, Retry

from ..core.job import RETRIES_BEFORE, micros
from ..delivery.task_message import keep_headers
from .python_dispatch import checked_limits, dispatch_options

COLUMNS = ("queue", "priority", "expires")
"""Options of a retry that are columns of the row."""
HEADERS = ("time_limit", "soft_time_limit", "link", "link_error", "shadow")
"""Options of a retry that are headers of its message."""


class RetryWithoutRequest(Exception):
    """The function raised Celery's ``Retry`` itself, which says neither when nor with which arguments to run again."""


def request_retry(task: Task, options: Mapping[str, Any], ask: Any) -> Retry:
    """Have Celery decide by ``ask()`` on a retry with these options; returns the ``Retry`` that is to be raised.

    Raises the exception that ends the job if there are no retries left, and ``ValueError``, ``BadOptions`` or
    ``BadArguments`` for a retry that is not possible.
    """
    request = task.request
    request.update(retry_columns=_columns(task, options))
    try:
        wanted: Retry = ask()
    except Reject as refused:  # Celery's wrapping of whatever ``note_retry`` raises.
        raise refused.reason from None
    request.update(wanted_retry=wanted)
    return wanted


def note_retry(task: Task, args: Sequence[Any], kwargs: Mapping[str, Any], options: Mapping[str, Any]) -> Any:
    """Note the arguments and the time of the retry, as ``Task.retry`` sends its message."""
    call = task.app.container.registry.of_job(task.name).bind_python(args, kwargs)
    at = datetime.now(UTC)
    start = dispatch_options({key: options.get(key) for key in ("eta", "countdown")}, task.app.naive_zone).start(at)
    task.request.update(
        requested_retry={
            "args": call.args,
            "kwargs": call.kwargs,
            "retries": options["retries"] + getattr(task.request, RETRIES_BEFORE, 0),
            "eta": micros(start or at),
            "columns": getattr(task.request, "retry_columns", {}),
        }
    )
    return task.AsyncResult(task.request.id)


def raise_requested(request: Any, error: BaseException | None = None) -> None:
    """Raise the ``Retry`` of a function that asked for it and returned, or raised something else, all the same."""
    wanted: Retry | None = getattr(request, "wanted_retry", None)
    if wanted is None:
        if isinstance(error, Retry):
            lone = RetryWithoutRequest("Celery's Retry was raised by hand; call self.retry(), which says when.")
            request.update(raised=lone)
            raise lone from error
        return
    if wanted.exc is None and isinstance(error, Exception) and error is not wanted:
        wanted.exc = error
    raise wanted


def _columns(task: Task, options: Mapping[str, Any]) -> Mapping[str, Any]:
    """The columns of the row that a retry changes; raises ``ValueError`` for an option that it cannot keep."""
    unknown = sorted(set(options) - {*COLUMNS, *HEADERS})
    if unknown:
        raise ValueError(
            f"retry() cannot change {', '.join(unknown)}; it takes {', '.join((*COLUMNS, *HEADERS))}, beside args, "
            "kwargs, exc, throw, eta, countdown and max_retries."
        )
    checked = dispatch_options({key: options.get(key) for key in COLUMNS}, task.app.naive_zone)
    end = checked.end(datetime.now(UTC))
    found = {
        "queue": checked.queue,
        "priority": checked.priority,
        "expires": None if end is None else micros(end),
        "headers": _headers(task, {key: options.get(key) for key in HEADERS}),
    }
    route = task.app.container.new_jobs.route(task.name, checked.queue, checked.priority)
    if checked.queue is not None:
        found["target_queue"] = route.queue
    if checked.priority is not None:
        found["target_priority"] = route.priority
    return {name: value for name, value in found.items() if value is not None}


def _headers(task: Task, options: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """All headers of the job, with those of the retry; ``None`` if the retry changes none."""
    checked_limits(options)
    changed = keep_headers(options)
    if not changed:
        return None
    job = task.app.container.jobs.get(task.request.id)
    return {**((job and job.headers) or {}), **changed}
