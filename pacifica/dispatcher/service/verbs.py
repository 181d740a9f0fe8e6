"""The verbs of the service, one method each: an entry point parses, calls one of them, and renders the answer."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from ..core import failpoints
from ..core.dispatch_options import DEFAULT_OPTIONS, DispatchOptions
from ..core.errors import AlreadyFinal, DatabaseUnavailable, DispatcherError, PurgedJob, UnknownJob
from ..core.job import RETRIES_BEFORE, Event, Job, OutboxEntry, State, now
from ..core.job_filter import JobFilter, PageCursor
from ..core.permissions import EVERY_JOB, Visibility
from ..core.registry import Call, Registry
from ..logs import log_context
from ..store.committed_event import REPLACED
from ..store.jobs import JobStore
from ..store.lineage import RelatedJob
from ..store.replaced_jobs import VACANT
from . import batch_items
from .new_job import DispatchContext, JobFactory, outbox_entry
from .waiting import Waiting


@dataclass(frozen=True, slots=True)
class Service:
    """The verbs for the jobs of one database; each raises ``DatabaseUnavailable``.

    ``hand_over`` gives an accepted job to the relay; it must neither block nor fail. ``count`` is called with the task
    and the outcome of each dispatch; the task is empty if it is not known.
    """

    registry: Registry
    jobs: JobStore
    waiting: Waiting
    new_jobs: JobFactory
    batch_limit: int = 10_000
    hand_over: Callable[[OutboxEntry], None] = field(default=lambda _: None)
    count: Callable[[str, str], object] = field(default=lambda _task, _outcome: None)

    def dispatch(
        self, call: Call, options: DispatchOptions = DEFAULT_OPTIONS, context: DispatchContext | None = None
    ) -> Job:
        """Store the job, then hand it over, without waiting for the broker.

        If the idempotency key or the UUID of the context belongs to an earlier job, that job is returned; if it was
        purged, ``PurgedJob`` is raised, because it must not run again. Raises ``KeyReused``. After
        ``DatabaseUnavailable``, nothing was stored.
        """
        context = context or DispatchContext()
        # If the task of a workflow runs again, it names its next job by the same UUID.
        if context.uuid is not None:
            if (known := self.jobs.get(context.uuid)) is not None:
                return self._take_over(known, call, options, context) if known.holder == VACANT else known
            if self.jobs.was_purged(context.uuid):
                raise PurgedJob(context.uuid)
        job, key = self.new_jobs.make(call, options, context)
        try:
            earlier = self.jobs.add([job], key)
        except DatabaseUnavailable as error:
            self._conclude(job, error)
            raise
        if earlier is None:
            failpoints.reach("after-commit")
        self._conclude(job, earlier or job.uuid)
        if "job" not in log_context.current():  # A running job that dispatches another one keeps its own.
            log_context.note(job=earlier or job.uuid, task=job.task)
        return job if earlier is None else self._earlier(earlier)

    def dispatch_batch(
        self, items: Iterable[batch_items.Item], context: DispatchContext | None = None
    ) -> Sequence[str | DispatcherError]:
        """Dispatch every valid item; return for each item, in order, the UUID of its job or the reason why it has none.

        Raises ``BatchTooLarge``, ``KeyReused`` and ``DatabaseUnavailable``, and then nothing was stored. If the
        database fails after the first chunk, its error is the reason for the items that were not stored.
        """
        context = context or DispatchContext()
        read = batch_items.at_most(self.batch_limit, items)
        bound = batch_items.bind(read, self.registry, self.new_jobs, context)
        whole = batch_items.whole_key(read, bound, self.new_jobs, context)
        outcomes = [new if isinstance(new, DispatcherError) else "" for new in bound]
        for item, outcome in zip(read, outcomes, strict=True):
            if isinstance(outcome, DispatcherError):
                self.count(item.task if isinstance(item, batch_items.DispatchItem) else "", "refused")
        for number, chunk in enumerate(batch_items.chunks(bound)):
            jobs, keys = [new.job for new in chunk.values()], [new.key for new in chunk.values()]
            try:
                stored: Sequence[str | DispatcherError] = self.jobs.add_many(jobs, keys, None if number else whole)
            except DatabaseUnavailable as error:
                if number == 0:
                    raise
                stored = [error] * len(jobs)
            for place, job, outcome in zip(chunk, jobs, stored, strict=True):
                outcomes[place] = outcome
                self._conclude(job, outcome)
        return outcomes

    def status(self, uuid: str, visibility: Visibility, *, large_as_text: bool = False) -> Job:
        """The job in its current state; raises ``UnknownJob``, also for a job that is not visible.

        ``large_as_text`` is for a job that is only shown. Raises ``PurgedJob`` only if every job is visible, because
        task and caller of a purged job are not known.
        """
        job = self.jobs.get(uuid, large_as_text=large_as_text)
        if job is not None and visibility.covers(job.task, job.caller):
            return job
        if job is None and visibility == EVERY_JOB and self.jobs.was_purged(uuid):
            raise PurgedJob(uuid)
        raise UnknownJob(uuid)

    def search(
        self, filters: JobFilter, after: PageCursor | None, limit: int, visibility: Visibility
    ) -> tuple[Sequence[Job], PageCursor | None]:
        """At most ``limit`` visible jobs after the cursor, newest first, and the cursor of the next page.

        A page may have fewer jobs, or none, although there is a next one.
        """
        return self.jobs.search(filters, after, limit, visibility)

    def beginning_with(self, beginning: str, limit: int, visibility: Visibility) -> tuple[Sequence[Job], bool]:
        """The visible ones of the newest ``limit`` jobs whose UUID has this beginning, and whether there are more."""
        jobs = self.jobs.beginning_with(beginning, limit + 1)
        return [job for job in jobs[:limit] if visibility.covers(job.task, job.caller)], len(jobs) > limit

    def events(self, uuid: str, visibility: Visibility) -> Sequence[Event]:
        """The job's history, oldest first; raises as ``status``."""
        return self.jobs.events(self.status(uuid, visibility).uuid)

    def retries(self, job: Job, visibility: Visibility) -> Sequence[RelatedJob]:
        """The visible retries of a job, as ``JobStore.retries`` finds them."""
        return [one for one in self.jobs.retries(job) if visibility.covers(one.task, one.caller)]

    def children(self, job: Job, visibility: Visibility) -> Sequence[RelatedJob]:
        """The visible children of a job, as ``JobStore.children`` finds them."""
        return [one for one in self.jobs.children(job) if visibility.covers(one.task, one.caller)]

    def cancel(self, uuid: str, visibility: Visibility) -> Job:
        """Revoke a waiting job, or ask the worker of a started one to stop it; returns the job in its new state.

        Raises as ``status``, and ``AlreadyFinal`` if the job has ended.
        """
        requested = False
        # Between the two statements a job may start or be put back; then neither applies, and both are repeated.
        while not (job := self.status(uuid, visibility)).final and not job.cancel:
            if self.jobs.revoke(uuid, reason="cancelled", at=now()):
                return self.status(uuid, visibility)
            requested = self.jobs.ask_to_cancel(uuid, at=now())
        if job.final and not (requested and job.state is State.REVOKED):
            raise AlreadyFinal(uuid, job.state.value)
        return job

    def retry(self, uuid: str, visibility: Visibility, context: DispatchContext | None = None) -> Job:
        """Dispatch a new job with the same task, arguments and options, to start at once; raises as ``status``.

        A job that has replaced itself is repeated as it was dispatched; that task must be visible, too.
        """
        old = self.status(uuid, visibility)
        replaced = [event.data for event in self.jobs.events(uuid) if event.kind == REPLACED]
        first: Mapping[str, Any] = (
            replaced[0] if replaced else {"task": old.task, "args": old.args, "kwargs": old.kwargs}
        )
        if not visibility.covers(first["task"], old.caller):
            raise UnknownJob(uuid)
        call = self.registry.of_job(first["task"]).bind_python(first["args"], first["kwargs"])
        options = DispatchOptions(
            queue=old.queue, priority=old.priority, max_attempts=old.max_attempts, labels=dict(old.labels or {})
        )
        return self.dispatch(call, options, replace(context or DispatchContext(), replay_of=old.uuid))

    def _take_over(self, known: Job, call: Call, options: DispatchOptions, context: DispatchContext) -> Job:
        """Give a job whose task has replaced itself to the task that takes its place."""
        headers = {**(context.headers or {}), RETRIES_BEFORE: known.retries}
        self.jobs.take_over(self.new_jobs.make(call, options, replace(context, headers=headers)).job)
        return self._earlier(known.uuid)

    def _earlier(self, uuid: str) -> Job:
        job = self.jobs.get(uuid)
        if job is None:
            raise PurgedJob(uuid)
        return job

    def _conclude(self, job: Job, outcome: str | DispatcherError) -> None:
        """Count the outcome of a dispatch, and hand over the job if it was stored: ``outcome`` is then its own UUID."""
        if isinstance(outcome, DispatcherError):
            self.count(job.task, "failed")
        elif outcome != job.uuid:
            self.count(job.task, "repeated")
        else:
            self.count(job.task, "accepted")
            if job.eta is None:
                self.hand_over(outbox_entry(job))
