"""The life of a job in a worker: the base of every dispatchable Celery task, and the decorator that makes one.

Celery drives an attempt. Its five steps, in this order:

1. **claim** the job: its row becomes ``STARTED`` and yields the arguments (``worker.claim``);
2. **load** the arguments as the types of the function's annotations;
3. **run** the function, and contain exceptions that would end the worker;
4. **classify** the outcome (``worker.outcomes``);
5. **report** it to the record, under the token of the claim.

The signal ``task_prerun`` does the first, so that Celery's hooks see the arguments; ``before_start`` and
``DispatcherTask.__call__`` do it if no one has, and the latter does the next two. Celery then dispatches the next steps
of the job's workflow, and calls ``worker.result_backend.PeeweeBackend.store_result``, which does the last two. Celery
calls it from the main process instead where the running process cannot report: after a hard time limit or the death
of the child, and for a job that was cancelled or has expired. If nothing is reported at all, the job is put back by
``worker.heartbeat`` (its process is gone) or by ``upkeep.lost_jobs`` (the whole worker is gone).

``worker.python_dispatch`` creates jobs from Python; ``worker.job_writer`` claims jobs, each turn with one token.
"""

import functools
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, overload

from billiard.common import terminate_handler_fired
from celery import Task, current_task, shared_task
from celery.exceptions import Retry, WorkerShutdown, WorkerTerminate
from celery.result import AsyncResult

from ..core.arguments import DEFAULT_LIMITS, ArgumentLimits
from ..core.interruption import UNINTERRUPTED
from ..core.job import Claim, now
from ..core.registry import TaskSpec
from . import declaration, own_states, python_dispatch, replacement, retrying
from .async_body import refuse_coroutine
from .claim import claim_once
from .containment import TaskExit, Trace, contain, is_failure, own_code
from .progress import Number, ProgressReporter, progress_value
from .task_options import check_options

Function = Callable[..., Any]


class DispatcherTask(Task):  # type: ignore[misc]
    """A task each run of which is a job: it has a row before it has a message.

    ``check`` may refuse arguments that fit the annotations: it raises ``ValueError`` before a job exists. A decorator
    of the function passes the ``hidden`` arguments, which are in no schema.
    """

    abstract = True
    ignore_result = False
    Request = "pacifica.dispatcher.worker.job_request:JobRequest"
    Strategy = "pacifica.dispatcher.worker.job_request:receive_without_log_line"
    check: Callable[..., object] | None = None
    hidden: Collection[str] = ()
    dispatcher_trace: Trace | None = None

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        declaration.make_plain(cls)
        declaration.claim_before_start(cls)

    @property
    def __trace__(self) -> Trace | None:
        """Celery's function that carries out an attempt, contained; a worker sets it for each process."""
        return self.dispatcher_trace

    @__trace__.setter
    def __trace__(self, trace: Trace) -> None:
        self.dispatcher_trace = contain(self, trace)

    def spec(self, limits: ArgumentLimits = DEFAULT_LIMITS) -> TaskSpec:
        """The name and typed signature; raises ``ValueError`` for a function or annotation that cannot be used."""
        declaration.refuse_generator(self.run)
        hidden = (self.hidden,) if isinstance(self.hidden, str) else self.hidden
        spec = TaskSpec(self.name, self.run, self.__doc__ or "", type(self).check, limits, hidden=hidden)
        spec.expires = python_dispatch.own_expiry(self)
        return spec

    def __call__(self, /, *args: Any, **kwargs: Any) -> Any:
        """Claim, load and run the job in a worker; anywhere else, call the function."""
        request = self.request  # Read once: Celery looks it up on a stack for each access.
        if is_function_call(request):
            return super().__call__(*args, **kwargs)
        container = self.app.container
        if getattr(request, "claim", None) is None or hasattr(request, "unclaimed"):  # No hook has claimed it.
            claim_once(request, request.args, request.kwargs)
            args, kwargs = request.args, request.kwargs
        claim: Claim = request.claim
        reporter = _progress_reporter(container, claim)
        request.update(reporter=reporter)
        queue = str((request.delivery_info or {}).get("routing_key") or "")
        parent = getattr(request, "traceparent", None)
        try:
            with container.tracing.processing(request.id, self.name, queue, claim.attempt, parent):
                return self.dispatcher_run(container.registry.of_job(self.name), args, kwargs)
        except (WorkerShutdown, WorkerTerminate):
            raise
        except BaseException as error:
            if terminate_handler_fired():
                # The pool is ending this process: the task did not fail, and the main process reports the outcome.
                raise SystemExit from error
            replacement.raise_replaced(request)
            retrying.raise_requested(request, error)
            own_states.end_as_stated(self, error)
            request.update(raised=error)
            if is_failure(error):
                raise
            raise TaskExit(type(error).__name__) from error
        finally:
            reporter.finish()

    def dispatcher_run(self, spec: TaskSpec, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
        """Call the function with the job's arguments, and return its result for Celery."""
        with own_code():
            args, kwargs = self.dispatcher_load(spec, args, kwargs)
            result = self.dispatcher_call(*args, **kwargs)
            replacement.raise_replaced(self.request)
            retrying.raise_requested(self.request)
            refuse_coroutine(result)
            return self.dispatcher_result(spec, result)

    def dispatcher_claimed(self, args: list[Any], kwargs: dict[str, Any]) -> None:
        """Change the arguments for hooks and signals in place."""

    def dispatcher_load(self, spec: TaskSpec, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
        """The arguments as the types of the annotations."""
        return spec.load(args, kwargs)

    def dispatcher_call(self, *args: Any, **kwargs: Any) -> Any:
        """Call the function."""
        return self.run(*args, **kwargs)

    def dispatcher_result(self, spec: TaskSpec, result: Any) -> Any:
        """The result as JSON values, for the record and for Celery."""
        return spec.dump(result, self.app.container.settings.dispatcher.result_limit)

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
        """Dispatch a job like HTTP does; see ``python_dispatch.dispatch``. ``Task.retry`` calls it as well."""
        options |= {"link": link, "link_error": link_error, "shadow": shadow}
        if self.app.conf.task_always_eager:
            return super().apply_async(args, kwargs, task_id, producer, **options)
        if task_id is not None and task_id == self.request.id and options.get("retries"):
            return retrying.note_retry(self, args or (), kwargs or {}, options)
        with UNINTERRUPTED:
            return python_dispatch.dispatch(self, args or (), kwargs or {}, task_id, options)

    def retry(  # noqa: PLR0913, PLR0917 - Celery's signature
        self,
        args: Sequence[Any] | None = None,
        kwargs: Mapping[str, Any] | None = None,
        exc: Any = None,
        throw: bool = True,  # noqa: FBT001, FBT002 - Celery's signature
        eta: Any = None,
        countdown: float | None = None,
        max_retries: int | None = None,
        **options: Any,
    ) -> Retry:
        """Celery's ``retry``: the attempt ends as a retry, also if ``throw`` is false or the ``Retry`` is caught.

        ``options`` (``queue``, ``priority``, ``expires``, ``time_limit``, ``link`` …) change the job for all later
        attempts; raises ``ValueError`` for one that cannot be kept.
        """
        ask = functools.partial(
            super().retry, args, kwargs, exc, throw=False, eta=eta, countdown=countdown, max_retries=max_retries
        )
        if self.request.called_directly or self.request.is_eager:
            wanted: Retry = ask(**options)
        else:
            wanted = retrying.request_retry(self, options, ask)
        if throw:
            raise wanted
        return wanted

    def on_replace(self, sig: Any) -> Any:
        """The last step of Celery's ``replace``: the job goes on as the signature; see ``worker.replacement``."""
        if self.request.is_eager or self.request.called_directly:
            return super().on_replace(sig)
        return replacement.hand_over(self, sig)

    def update_state(self, task_id: str | None = None, state: Any = None, meta: Any = None, **_: Any) -> None:
        """Celery's ``update_state``; see ``own_states``. Raises ``ValueError`` for what a job cannot do."""
        own_states.update_state(self, task_id, state, meta)

    def progress(self, current: Number, total: Number | None = None, message: str = "") -> None:
        """Report how far the running job is; status and event streams show it.

        ``current`` counts up to ``total``, in any unit. Call it as often as you like: a report that follows
        another one too soon is stored a little later, or replaced by the next one. Outside a worker it
        does nothing. Raises ``ValueError`` or ``TypeError`` for a report that is not valid.
        """
        value = progress_value(current, total, message)
        reporter: ProgressReporter | None = getattr(self.request, "reporter", None)
        if reporter is not None:
            reporter.report(value)


def is_function_call(request: Any) -> bool:
    """Whether a task is called as a function: outside a job, or by the code of its own job."""
    return bool(request.called_directly or request.is_eager or getattr(request, "reporter", None) is not None)


def _progress_reporter(container: Any, claim: Claim) -> ProgressReporter:
    return ProgressReporter(
        lambda value: container.jobs.report_progress(claim.job, token=claim.token, progress=value, at=now()),
        container.settings.dispatcher.progress_interval,
        close=container.database.close,
    )


def progress(current: Number, total: Number | None = None, message: str = "") -> None:
    """Report the progress of the running job; for functions that are not bound to their task."""
    if isinstance(current_task, DispatcherTask):
        DispatcherTask.progress(current_task, current, total, message)
    else:
        progress_value(current, total, message)


@overload
def task(function: Function, /) -> Any: ...
@overload
def task(**options: Any) -> Callable[[Function], Any]: ...
def task(*functions: Function, **options: Any) -> Any:
    """Make a typed function a dispatchable Celery task: ``@task`` or ``@task(name=…, time_limit=…)``.

    ``options`` are those of Celery's ``app.task`` (``name``, ``bind``, ``autoretry_for``, ``time_limit``,
    ``rate_limit`` …), and two more. ``check`` is a function of the same arguments that raises ``ValueError`` for a
    combination that is not allowed. ``hidden`` names the arguments that a decorator of the function passes, and that
    callers cannot. The task belongs to the app that is running. Raises ``TypeError`` for an object without a name,
    such as ``functools.partial``.

    Source: https://docs.celeryq.dev/en/stable/userguide/tasks.html#list-of-options
    """
    if functions and not callable(functions[0]):
        raise TypeError(f"@task takes options by name only, such as @task(name={functions[0]!r:.80})")
    check_options(options)
    if "check" in options:
        options["check"] = staticmethod(options["check"])
    options["base"] = declaration.combined_base(options.get("base", DispatcherTask), DispatcherTask)
    make = shared_task(**options)

    def decorate(function: Function) -> Any:
        if not hasattr(function, "__name__"):
            raise TypeError(f"@task needs a function with a name; {function!r} has none. Call it in a def of your own.")
        declaration.note_name(function, options.get("name"))
        return make(function)

    return decorate(*functions) if functions else decorate
