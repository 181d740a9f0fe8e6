"""New jobs: the values of the row, the idempotency key of the request, and the outbox entry."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from datetime import UTC, datetime, timedelta
from operator import attrgetter
from typing import Any, NamedTuple

from ..core import strict_json
from ..core.dispatch_options import DEFAULT_OPTIONS, DispatchOptions
from ..core.job import EncodedArguments, Job, OutboxEntry, State, micros, new_uuid, now
from ..core.registry import Call
from ..store.idempotency import IdempotencyKey

HAND_OVER = 5_000_000
"""Microseconds for which only the process that accepted a new job publishes it; then any relay may."""


@dataclass(frozen=True, slots=True)
class DispatchContext:
    """The caller and the context of a dispatch: everything except task, arguments and options.

    ``uuid`` and ``headers`` come from a Celery workflow that has already named the job. The same ``idempotency_key``
    of the same ``caller`` means the same job. ``traceparent`` is a valid W3C trace context; the job's message carries
    it and ``request_id`` for the logs of the worker.
    """

    uuid: str | None = None
    headers: Mapping[str, Any] | None = None
    caller: str = ""
    idempotency_key: str | None = None
    replay_of: str | None = None
    traceparent: str | None = None
    request_id: str | None = None


class Target(NamedTuple):
    """Where a job waits for a worker."""

    queue: str | None
    priority: int


Route = Callable[[str, str | None, int | None], Target]
"""The target of a job, from its task and from the queue and the priority in its options."""


def route_as_asked(_: str, queue: str | None, priority: int | None) -> Target:
    """The target of a job without routing by task."""
    return Target(queue, priority or 0)


class NewJob(NamedTuple):
    """A job to be stored, and the idempotency key of its request."""

    job: Job
    key: IdempotencyKey | None


class JobFactory(NamedTuple):
    """Makes new jobs; keys are kept for ``keep_keys`` seconds.

    ``max_attempts`` is the default of jobs whose task has no number of its own. A job without ``eta``
    is due ``hand_over`` microseconds after its creation.
    """

    max_attempts: int
    keep_keys: float
    route: Route = route_as_asked
    hand_over: int = HAND_OVER

    def make(self, call: Call, options: DispatchOptions, context: DispatchContext, item: int | None = None) -> NewJob:
        """A new job; ``item`` is its place in a batch, whose items share one idempotency key."""
        at = now()
        if options.expires is None and call.expires is not None:
            options = options.model_copy(update={"expires": call.expires})
        eta, expires = (None, None) if options is DEFAULT_OPTIONS else _start_and_end(options, at)
        target = self.route(call.task, options.queue, options.priority)
        job = Job(
            uuid=context.uuid or new_uuid(),
            task=call.task,
            args=call.args,
            kwargs=call.kwargs,
            state=State.PENDING,
            created=at,
            max_attempts=options.max_attempts or call.max_attempts or self.max_attempts,
            queue=options.queue,
            priority=options.priority,
            eta=eta,
            expires=expires,
            due=at + self.hand_over if eta is None else eta,
            target_queue=target.queue,
            target_priority=target.priority,
            headers=_headers(context),
            traceparent=context.traceparent,
            replay_of=context.replay_of,
            caller=context.caller,
            labels=options.labels or None,
            encoded=call.encoded,
        )
        if context.idempotency_key is None:
            return NewJob(job, None)
        request = request_text(call.task, call.encoded, options.model_dump(mode="json"), context.replay_of)
        return NewJob(job, self.key(context, request, at, "" if item is None else f"\x1f{item}"))

    def key(self, context: DispatchContext, request: str, at: int, suffix: str = "") -> IdempotencyKey:
        """The idempotency key of a request; two requests are the same when their texts are equal."""
        since = at - int(self.keep_keys * 1_000_000)
        return IdempotencyKey(context.caller, f"{context.idempotency_key}{suffix}", request, since)


def request_text(task: str, encoded: EncodedArguments, *others: Any) -> str:
    """The JSON text of an array: the task, its arguments, and other values."""
    return f"[{strict_json.dumps(task)},{encoded.args},{encoded.kwargs},{strict_json.dumps(others)[1:]}"


_entry_values = attrgetter(*(column.name for column in fields(OutboxEntry)))


def outbox_entry(job: Job) -> OutboxEntry:
    """The outbox entry of a job."""
    return OutboxEntry(*_entry_values(job))


def _headers(context: DispatchContext) -> Mapping[str, Any] | None:
    headers = dict(context.headers or {})
    if context.traceparent is not None:
        headers["traceparent"] = context.traceparent
    if context.request_id is not None:
        headers["request_id"] = context.request_id
    return headers or context.headers


def _start_and_end(options: DispatchOptions, at: int) -> tuple[int | None, int | None]:
    """The earliest start, if it is in the future, and the time at which the job expires, in microseconds."""
    moment = datetime.fromtimestamp(0, UTC) + timedelta(microseconds=at)
    start, end = options.start(moment), options.end(moment)
    eta = None if start is None else micros(start)
    return eta if eta is not None and eta > at else None, None if end is None else micros(end)
