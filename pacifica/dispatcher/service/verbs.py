"""What the service does, one method for each verb; the doors parse, call one of these, and render."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from datetime import UTC, datetime, timedelta
from operator import attrgetter
from typing import Any

from ..core import failpoints, strict_json
from ..core.dispatch_options import DEFAULT_OPTIONS, DispatchOptions, parse_options
from ..core.errors import AlreadyFinal, BatchTooLarge, DatabaseUnavailable, DispatcherError, PurgedJob, UnknownJob
from ..core.job import Event, Job, OutboxEntry, State, micros, new_uuid, now
from ..core.job_filter import JobFilter, PageCursor
from ..core.permissions import EVERY_JOB, Visibility
from ..core.registry import Call, Registry
from ..logs import log_context
from ..store.idempotency import Key
from ..store.jobs import JobStore
from ..store.outbox import Outbox
from .waiting import Waiting

CHUNK = 500
"""How many jobs of a batch are stored in one transaction, so that other writers have their turn."""
HAND_OVER = 5_000_000
"""Microseconds that a fresh job is left to the process that took it before any other relay may publish it."""


@dataclass(frozen=True, slots=True)
class DispatchContext:
    """Who asked, and how: what a dispatch says beside task, arguments and options.

    ``uuid`` and ``headers`` come from a Celery workflow that has named the job already.
    ``idempotency_key`` makes of the same request by the same ``caller`` the same job. ``traceparent`` is a
    valid W3C trace context; the job's message carries it, and ``request_id``, so that a worker's log names it.
    """

    uuid: str | None = None
    headers: Mapping[str, Any] | None = None
    caller: str = ""
    idempotency_key: str | None = None
    replay_of: str | None = None
    traceparent: str | None = None
    request_id: str | None = None


@dataclass(frozen=True, slots=True)
class DispatchItem:
    """One item of a batch: what a dispatch of its own would say."""

    task: str
    args: Sequence[Any]
    kwargs: Mapping[str, Any]
    options: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Service:
    """The verbs. ``hand_over`` gives an accepted job to the relay; it must neither block nor fail.

    ``count`` is told each dispatch that got as far as here: its task, empty where none is known, and what became of it.
    """

    registry: Registry
    jobs: JobStore
    outbox: Outbox
    waiting: Waiting
    max_attempts: int
    keep_keys: float = 86_400
    batch_limit: int = 10_000
    hand_over: Callable[[OutboxEntry], None] = field(default=lambda _: None)
    count: Callable[[str, str], object] = field(default=lambda _task, _outcome: None)

    def dispatch(
        self, call: Call, options: DispatchOptions | None = None, request: DispatchContext | None = None
    ) -> Job:
        """Store the job, then hand it to the relay; the answer does not wait for the broker.

        Raises ``DatabaseUnavailable``, and then nothing was accepted, ``KeyReused``, and ``PurgedJob`` when the
        key or the UUID of the request stands for one: it was carried out, and is not carried out again.
        """
        options, request = options or DEFAULT_OPTIONS, request or DispatchContext()
        if request.uuid is not None:  # A workflow's task that is run again names the next one by the same id.
            if (known := self.jobs.get(request.uuid)) is not None:
                return known
            if self.jobs.was_purged(request.uuid):
                raise PurgedJob(request.uuid)
        job = self._new_job(call, options, request)
        try:
            earlier = self.jobs.add([job], self._key(call, options, request, job.created))
        except DatabaseUnavailable:
            self.count(call.task, "failed")
            raise
        self.count(call.task, "accepted" if earlier is None else "repeated")
        if "job" not in log_context.current():  # In a request, and not in a running job that dispatches another.
            log_context.note(job=earlier or job.uuid, task=job.task)
        if earlier is not None:
            if (found := self.jobs.get(earlier)) is None:
                raise PurgedJob(earlier)
            return found
        failpoints.reach("after-commit")
        if job.eta is None:
            self.hand_over(outgoing(job))
        return job

    def dispatch_batch(
        self, asked: Iterable[DispatchItem | DispatcherError], request: DispatchContext | None = None
    ) -> list[str | DispatcherError]:
        """Dispatch all that can be, in order: for each item its job's UUID, or why there is none.

        Raises ``BatchTooLarge``, ``KeyReused`` and ``DatabaseUnavailable``, and then nothing was stored. A
        database that fails in the middle is the error of the items that it did not take.
        """
        request = request or DispatchContext()
        items = list(self._at_most(asked))
        plans = [self._plan(item, request) for item in items]
        outcome: list[str | DispatcherError] = [plan if isinstance(plan, DispatcherError) else "" for plan in plans]
        valid = [(place, plan) for place, plan in enumerate(plans) if not isinstance(plan, DispatcherError)]
        for first in range(0, len(valid), CHUNK):
            chunk = valid[first : first + CHUNK]
            keys = [self._item_key(plan, request, place) for place, plan in chunk]
            whole = self._whole_key(items, request) if first == 0 else None
            try:
                stored: Sequence[str | DispatcherError] = self.jobs.add_many(
                    [plan.job for _, plan in chunk], keys, whole
                )
            except DatabaseUnavailable as error:
                if first == 0:
                    raise
                stored = [error] * len(chunk)
            for (place, plan), found in zip(chunk, stored, strict=True):
                outcome[place] = found
                self.count(plan.call.task, _fate(plan.job, found))
                if found == plan.job.uuid and plan.job.eta is None:
                    self.hand_over(outgoing(plan.job))
        return outcome

    def status(self, uuid: str, visibility: Visibility = EVERY_JOB) -> Job:
        """The job as it stands; raises ``UnknownJob``, also for a job that is not visible.

        Raises ``PurgedJob`` only if every job is visible, as neither task nor caller of a purged job is known.
        """
        job = self.jobs.get(uuid)
        if job is not None and visibility.covers(job.task, job.caller):
            return job
        if job is None and visibility == EVERY_JOB and self.jobs.was_purged(uuid):
            raise PurgedJob(uuid)
        raise UnknownJob(uuid)

    def search(
        self, filters: JobFilter, after: PageCursor | None, limit: int, visibility: Visibility
    ) -> tuple[Sequence[Job], bool]:
        """A page of at most ``limit`` visible jobs after ``after``, newest first; and whether there are more."""
        found = self.jobs.search(filters, after, limit + 1, visibility)
        return found[:limit], len(found) > limit

    def events(self, uuid: str, visibility: Visibility = EVERY_JOB) -> Sequence[Event]:
        """The job's history, oldest first; raises as ``status``."""
        return self.jobs.events(self.status(uuid, visibility).uuid)

    def cancel(self, uuid: str, visibility: Visibility = EVERY_JOB) -> Job:
        """Revoke a job that waits, or ask the worker of one that runs to stop it; the job as it then stands.

        Raises as ``status``, and ``AlreadyFinal`` when it has ended.
        """
        asked = False
        # A job may start, or be put back, between the two: then neither holds, and it is looked at again.
        while not (job := self.status(uuid, visibility)).final and not job.cancel:
            if self.jobs.revoke(uuid, reason="cancelled", at=now()):
                return self.status(uuid, visibility)
            asked = self.jobs.ask_to_cancel(uuid, at=now())
        if job.final and not (asked and job.state is State.REVOKED):
            raise AlreadyFinal(uuid, job.state.value)
        return job

    def retry(self, uuid: str, visibility: Visibility = EVERY_JOB, request: DispatchContext | None = None) -> Job:
        """A new job with the same task, arguments and options, to start at once; raises as ``status``."""
        old = self.status(uuid, visibility)
        call = self.registry[old.task].bind(old.args, old.kwargs)
        options = DispatchOptions(
            queue=old.queue, priority=old.priority, max_attempts=old.max_attempts, labels=dict(old.labels or {})
        )
        return self.dispatch(call, options, replace(request or DispatchContext(), replay_of=old.uuid))

    def _at_most(self, asked: Iterable[DispatchItem | DispatcherError]) -> Iterator[DispatchItem | DispatcherError]:
        for number, item in enumerate(asked, 1):
            if number > self.batch_limit:
                raise BatchTooLarge(self.batch_limit)
            yield item

    def _plan(self, item: DispatchItem | DispatcherError, request: DispatchContext) -> "_Plan | DispatcherError":
        if isinstance(item, DispatcherError):
            self.count("", "refused")
            return item
        try:
            call, options = self.registry[item.task].bind(item.args, item.kwargs), parse_options(item.options)
            return _Plan(call, options, self._new_job(call, options, request))
        except DispatcherError as error:
            self.count(item.task, "refused")
            return error

    def _whole_key(self, items: Sequence[DispatchItem | DispatcherError], request: DispatchContext) -> Key | None:
        """The key of a batch, for all its items as they came, also those of which no job can be made."""
        if request.idempotency_key is None:
            return None
        told = [
            str(item) if isinstance(item, DispatcherError) else [item.task, item.args, item.kwargs, item.options]
            for item in items
        ]
        return self._new_key(request, strict_json.dumps(told), now())

    def _item_key(self, plan: "_Plan", request: DispatchContext, place: int) -> Key | None:
        """The key of one item of a batch: its place under the key of the batch."""
        if request.idempotency_key is None:
            return None
        own = replace(request, idempotency_key=f"{request.idempotency_key}\x1f{place}")
        return self._key(plan.call, plan.options, own, plan.job.created)

    def _new_job(self, call: Call, options: DispatchOptions, request: DispatchContext) -> Job:
        at = now()
        eta, end = (None, None) if options is DEFAULT_OPTIONS else _moments(options, at)
        return Job(
            uuid=request.uuid or new_uuid(),
            task=call.task,
            args=call.args,
            kwargs=call.kwargs,
            state=State.PENDING,
            created=at,
            max_attempts=options.max_attempts or self.max_attempts,
            queue=options.queue,
            priority=options.priority,
            eta=eta,
            expires=end,
            due=at + HAND_OVER if eta is None else eta,
            headers=_headers(request),
            traceparent=request.traceparent,
            replay_of=request.replay_of,
            caller=request.caller,
            labels=options.labels or None,
            encoded=call.encoded,
        )

    def _key(self, call: Call, options: DispatchOptions, request: DispatchContext, at: int) -> Key | None:
        if request.idempotency_key is None:
            return None
        task, rest = (
            strict_json.dumps(call.task),
            strict_json.dumps([options.model_dump(mode="json"), request.replay_of]),
        )
        return self._new_key(request, f"[{task},{call.encoded.args},{call.encoded.kwargs},{rest[1:]}", at)

    def _new_key(self, request: DispatchContext, asked: str, at: int) -> Key:
        key = request.idempotency_key or ""
        return Key(request.caller, key, asked, at - int(self.keep_keys * 1_000_000))


@dataclass(frozen=True, slots=True)
class _Plan:
    """An item of a batch that can be stored."""

    call: Call
    options: DispatchOptions
    job: Job


def _fate(job: Job, found: str | DispatcherError) -> str:
    """What became of an item of a batch, for those who count."""
    if isinstance(found, DispatcherError):
        return "failed"
    return "accepted" if found == job.uuid else "repeated"


def _headers(request: DispatchContext) -> Mapping[str, Any] | None:
    told = dict(request.headers or {})
    if request.traceparent is not None:
        told["traceparent"] = request.traceparent
    if request.request_id is not None:
        told["request_id"] = request.request_id
    return told or request.headers


def _moments(options: DispatchOptions, at: int) -> tuple[int | None, int | None]:
    """When the job is to start, where that is later than now, and when it is not worth starting any more."""
    moment = datetime.fromtimestamp(0, UTC) + timedelta(microseconds=at)
    start, end = options.start(moment), options.end(moment)
    eta = None if start is None else micros(start)
    return eta if eta is not None and eta > at else None, None if end is None else micros(end)


_told = attrgetter(*(column.name for column in fields(OutboxEntry)))


def outgoing(job: Job) -> OutboxEntry:
    """What the message of a job says."""
    return OutboxEntry(*_told(job))
