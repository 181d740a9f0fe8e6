"""A claimed row in place of a message: its request, the signals and events of its receipt, and its rate limit."""

from collections import Counter
from collections.abc import Sequence
from typing import Any, NamedTuple

from celery import signals
from celery.worker import state

from ..core import strict_json
from ..core.job import RETRIES_BEFORE, OutboxEntry, now
from ..core.work import ClaimedJob
from ..delivery.task_message import ORIGIN_HEADERS, made_message
from .job_request import JobRequest
from .writer_partners import Item

LONGEST_DEFERRED = 300.0
"""The most seconds until a job that a rate limit has refused is due again, as the limit may be changed meanwhile."""


class RowMessage(NamedTuple):
    """The parts of a broker's message that Celery's ``Request`` reads, made of a row."""

    headers: dict[str, Any]
    payload: Sequence[Any]
    properties: dict[str, Any]
    delivery_info: dict[str, Any]
    body: Any = None
    content_type: str = "application/json"
    content_encoding: str = "utf-8"


class RowRequest(JobRequest):
    """The request of a claimed row."""

    is_row = True


def refused(worker: Any, job: ClaimedJob, refusals: Counter[str]) -> int | None:
    """When a claimed job is to be due again that this worker does not run now; ``None`` if it runs it.

    ``refusals`` counts the jobs of each task that its rate limit has refused since the last one that it let through:
    each has a later turn, so that a backlog is not claimed again and again.
    """
    task, consumer = worker.app.tasks[job.task], worker.consumer
    bucket = None if consumer.disable_rate_limits else consumer.task_buckets[task.name]
    if bucket is None or bucket.can_consume(1):
        refusals.pop(task.name, None)
        return None
    seconds = bucket.expected_time(1) + refusals[task.name] / bucket.fill_rate
    refusals[task.name] += 1
    return now() + int(min(seconds, LONGEST_DEFERRED) * 1_000_000)


def may_share(worker: Any, item: Item) -> bool:
    """Whether a job may share a message of the pool: nothing limits, follows or watches it, and it was never lost."""
    job, request = item
    if job.attempt - job.retries > 1:
        return False
    if request is not None:
        plain = request.is_plain()
    else:
        kept = strict_json.loads(job.headers) if job.headers else {}
        plain = not kept.keys() - {*ORIGIN_HEADERS, RETRIES_BEFORE} and job.uuid not in state.revoked
    return plain and shares_messages(worker, worker.app.tasks[job.task])


def shares_messages(worker: Any, task: Any) -> bool:
    """Whether jobs of the task may share a message, by the settings of the worker and the task."""
    limits = (task.time_limit, task.soft_time_limit, worker.time_limit, worker.soft_time_limit)
    # Celery counts the requests of jobs to scale a pool; those that share a message have none.
    pool = (worker.max_tasks_per_child, worker.max_memory_per_child, worker.autoscaler)
    return not (any(limits) or any(pool) or _sends_task_events(worker) or signals.task_received.receivers)


def _sends_task_events(worker: Any) -> bool:
    """Whether the worker sends events of tasks, not only those of workers."""
    events = worker.consumer.event_dispatcher
    return bool(events and events.enabled and (not events.groups or "task" in events.groups))


def received(worker: Any, job: ClaimedJob) -> JobRequest | None:
    """The request of a claimed row, announced as Celery announces a received message; ``None`` if it was revoked."""
    consumer, request = worker.consumer, request_of(worker, job)
    task, events = request.task, consumer.event_dispatcher
    if request.id in state.revoked and request.revoked():
        return None
    signals.task_received.send(sender=consumer, request=request)
    if events and events.enabled and task.send_events:
        names = {"uuid": request.id, "name": request.name, "args": request.argsrepr, "kwargs": request.kwargsrepr}
        ids = {"root_id": request.root_id, "parent_id": request.parent_id, "retries": job.retries}
        events.send("task-received", **names, **ids, eta=None, expires=None)
    state.task_reserved(request)
    for callback in consumer.on_task_message:
        callback(request)
    return request


def request_of(worker: Any, job: ClaimedJob) -> JobRequest:
    """The request of a claimed row, which no one knows yet."""
    app, events = worker.app, worker.consumer.event_dispatcher
    task = app.tasks[job.task]
    request = RowRequest(message_of(app, job), app=app, hostname=worker.hostname, eventer=events, task=task, utc=True)
    request.grant(job)
    return request


def message_of(app: Any, job: ClaimedJob) -> RowMessage:
    """The message that the relay would make of the job."""
    headers = strict_json.loads(job.headers) if job.headers else None
    entry = OutboxEntry(job.uuid, job.task, 0, job.retries, job.queue, job.priority, None, headers, job.created)
    made = made_message(app, entry)
    info = {
        "exchange": "",
        "routing_key": job.queue,
        "redelivered": job.attempt - job.retries > 1,
    }
    return RowMessage(made.headers, made.body, {**made.properties, "priority": job.priority}, info)
