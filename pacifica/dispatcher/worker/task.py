"""The base of every dispatchable Celery task, and the decorator that makes one of a function."""

import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, overload

from billiard.common import terminate_handler_fired
from celery import Task, current_task, shared_task
from celery.exceptions import Ignore, Reject, Retry, WorkerShutdown, WorkerTerminate
from celery.result import AsyncResult

from ..core.arguments import DEFAULT_LIMITS, ArgumentLimits
from ..core.dispatch_options import DispatchOptions, options_of
from ..core.errors import DatabaseUnavailable, PurgedJob
from ..core.job import Claim, micros, now
from ..core.registry import TaskSpec, plain_arguments
from ..core.retry import retry_while_unavailable
from ..delivery.publisher import keep_headers
from ..logs import log_context
from ..service.verbs import DispatchContext, outgoing
from ..store.jobs import JobStore
from .progress import Number, Reports, reported
from .result_backend import CLAIM_KEY

logger = logging.getLogger(__name__)
Function = Callable[..., Any]


ENDS_WORKER = (Ignore, Reject, MemoryError)
"""Exceptions of a body that Celery takes for more than a failure; so it does whatever is no ``Exception``."""


class BodyExit(Exception):
    """Something left a task's body that would end a Celery worker, or leave the job without an end.

    The job fails with what it was, like after any other exception, and the worker lives.
    """


class DispatcherTask(Task):  # type: ignore[misc]
    """A task whose every run is a job: it has a row before it has a message.

    ``check`` may refuse arguments that fit the annotations, by a ``ValueError``, before a job exists.
    """

    abstract = True
    ignore_result = False
    DispatchContext = "pacifica.dispatcher.worker.bootsteps:JobRequest"
    Strategy = "pacifica.dispatcher.worker.bootsteps:quietly"
    check: Callable[..., object] | None = None

    def spec(self, limits: ArgumentLimits = DEFAULT_LIMITS) -> TaskSpec:
        """The name and typed signature; raises ``ValueError`` when an annotation cannot be used."""
        return TaskSpec(self.name, self.run, self.__doc__ or "", type(self).check, limits)

    def apply_async(  # noqa: PLR0913, PLR0917 - Celery's signature
        self,
        args: Sequence[Any] | None = None,
        kwargs: Mapping[str, Any] | None = None,
        task_id: str | None = None,
        producer: Any = None,
        link: Any = None,
        link_error: Any = None,
        shadow: str | None = None,
        **options: Any,
    ) -> AsyncResult:
        """Dispatch a job, as HTTP does, and send its message at once; if the broker is away the relay sends it.

        A ``task_id`` whose job is there already is that job: the step of a chain whose predecessor ran again. One
        whose job was purged is not run again either, and says nothing: an error would make the predecessor fail.

        Raises ``BadArguments``, ``BadOptions`` and ``DatabaseUnavailable``, and then there is no job.
        """
        app = self._get_app()
        options |= {"link": link, "link_error": link_error, "shadow": shadow}
        if app.conf.task_always_eager:
            return super().apply_async(args, kwargs, task_id, producer, **options)
        if task_id is not None and task_id == self.request.id and options.get("retries"):
            return self._ask_for_retry(args or (), kwargs or {}, options)
        call = app.registry[self.name].bind(*plain_arguments(args or (), kwargs or {}))
        headers = keep_headers(_with_parents(app, options))
        request = DispatchContext(uuid=task_id, headers=headers, request_id=log_context.current().get("request"))
        try:
            job = app.container.python_service.dispatch(call, _options(options), request)
        except PurgedJob as purged:
            result = self.AsyncResult(task_id)
            logger.info("%s", purged)
        else:
            result = self.AsyncResult(job.uuid)
            if job.eta is None and job.due is not None:
                app.container.publish_now(outgoing(job))
        if options.get("add_to_parent", True) and app.current_worker_task:
            app.current_worker_task.add_trail(result)
        return result

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """In a worker: claim the job and run the body; anywhere else: call the function."""
        request = self.request
        if request.called_directly or request.is_eager:
            return super().__call__(*args, **kwargs)
        app = self._get_app()
        claim = self._claim(app, request)
        if claim is None:
            raise Ignore(f"Job {request.id} is not waiting to be run.")
        reports = self._reports(app, claim)
        request.update(claim=claim, args=claim.args, kwargs=dict(claim.kwargs), reports=reports)
        spec = app.registry[self.name]
        queue = str((request.delivery_info or {}).get("routing_key") or "")
        context = getattr(request, "traceparent", None)
        try:
            with app.container.tracing.processing(request.id, self.name, queue, claim.attempt, context):
                return spec.dump(self._run_body(spec, claim), app.container.settings.dispatcher.result_limit)
        finally:
            reports.finish()

    def progress(self, current: Number, total: Number | None = None, message: str = "") -> None:
        """Say how far the running job is; status and event streams show it.

        ``current`` counts up to ``total``, in whatever the task counts. Call it as often as you like: what comes
        too soon after another report is stored a little later, or replaced by the next. Outside a worker it
        does nothing. Raises ``ValueError`` or ``TypeError`` for what is no report.
        """
        value = reported(current, total, message)
        reports: Reports | None = getattr(self.request, "reports", None)
        if reports is not None:
            reports.report(value)

    @staticmethod
    def _reports(app: Any, claim: Claim) -> Reports:
        def store(value: Mapping[str, Any]) -> None:
            app.container.jobs.report_progress(claim.job, token=claim.token, progress=value, at=now())
            if isinstance(threading.current_thread(), threading.Timer):
                app.container.database.close()  # A connection belongs to its thread, and this one ends.

        return Reports(store, app.container.settings.dispatcher.progress_interval)

    @staticmethod
    def _claim(app: Any, request: Any) -> Claim | None:
        """The right to run the job; when the database stays away the message goes back to the broker."""
        token = getattr(request, CLAIM_KEY)
        asked: list[str] = []  # By this process: a pool gives the same delivery to another child when one died early.

        def claim() -> Claim | None:
            jobs: JobStore = app.container.jobs
            again = bool(asked)
            asked.append(token)
            return jobs.claim(
                request.id,
                token=token,
                worker=request.hostname,
                holder=app.container.holder,
                retries=request.retries,
                at=now(),
                again=again,
            )

        try:
            return retry_while_unavailable(claim, float(app.container.settings.dispatcher.report_patience))
        except DatabaseUnavailable as error:
            raise Reject(error, requeue=True) from error

    def _run_body(self, spec: TaskSpec, claim: Claim) -> Any:
        args, kwargs = spec.load(claim.args, claim.kwargs)
        try:
            return self.run(*args, **kwargs)
        except (Retry, WorkerShutdown, WorkerTerminate):
            raise
        except BaseException as error:
            if terminate_handler_fired():
                # The pool has told this process to end: the body did not fail, and the main process speaks for it.
                raise SystemExit from error
            self.request.update(raised=error)
            if isinstance(error, Exception) and not isinstance(error, ENDS_WORKER):
                raise
            raise BodyExit(type(error).__name__) from error

    def _ask_for_retry(self, args: Sequence[Any], kwargs: Mapping[str, Any], options: Mapping[str, Any]) -> AsyncResult:
        """Keep what ``Task.retry`` wants until the result backend stores it, with the attempt's error."""
        plain_args, plain_kwargs = plain_arguments(args, kwargs)
        self.request.update(
            retry_asked={
                "args": plain_args,
                "kwargs": plain_kwargs,
                "retries": options["retries"],
                "eta": micros(_start(options) or datetime.now(UTC)),
            }
        )
        return self.AsyncResult(self.request.id)


def progress(current: Number, total: Number | None = None, message: str = "") -> None:
    """``DispatcherTask.progress`` of the task that is running, for functions that are not bound to theirs."""
    running = current_task._get_current_object() if current_task else None
    if isinstance(running, DispatcherTask):
        running.progress(current, total, message)
    else:
        reported(current, total, message)


@overload
def task(function: Function, /) -> Any: ...
@overload
def task(**options: Any) -> Callable[[Function], Any]: ...
def task(*functions: Function, **options: Any) -> Any:
    """Make a typed function a dispatchable Celery task: ``@task`` or ``@task(name=…, time_limit=…)``.

    ``options`` are those of Celery's ``app.task`` (``name``, ``bind``, ``autoretry_for``,
    ``time_limit``, ``rate_limit`` …), and ``check``: a function of the same arguments that raises
    ``ValueError`` when they do not go together. The task belongs to whichever app runs.

    Source: https://docs.celeryq.dev/en/stable/userguide/tasks.html#list-of-options
    """
    if "check" in options:
        options["check"] = staticmethod(options["check"])
    options.setdefault("base", DispatcherTask)
    return shared_task(*functions, **options)


def _options(given: Mapping[str, Any]) -> DispatchOptions:
    """Celery's execution options as ours; those that a message header carries are kept elsewhere."""
    eta, expires = given.get("eta"), given.get("expires")
    return options_of(
        queue=getattr(given.get("queue"), "name", given.get("queue")),
        priority=given.get("priority"),
        countdown=None if given.get("countdown") is None else float(given["countdown"]),
        eta=_aware(eta) if isinstance(eta, datetime) else eta,
        expires=_aware(expires) if isinstance(expires, datetime) else None if expires is None else float(expires),
    )


def _start(options: Mapping[str, Any]) -> datetime | None:
    return _options({"eta": options.get("eta"), "countdown": options.get("countdown")}).start(datetime.now(UTC))


def _aware(moment: datetime) -> datetime:
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _with_parents(app: Any, options: dict[str, Any]) -> dict[str, Any]:
    """The options with the ids of the running task, when one dispatches another."""
    parent = app.current_worker_task
    if parent and parent.request.id:
        found = {"root_id": parent.request.root_id or parent.request.id, "parent_id": parent.request.id}
        return found | {key: value for key, value in options.items() if value is not None}
    return options
