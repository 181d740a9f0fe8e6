"""The Celery result backend on the job rows: it stores the outcomes that Celery reports, and serves ``AsyncResult``."""

import logging
from collections.abc import Callable
from functools import cached_property, partial
from typing import Any

from celery import group, states
from celery.app.task import Context
from celery.backends.base import BaseBackend
from celery.result import result_from_tuple

from ..core import errors
from ..core.job import Job, JobError, State, iso, parse_uuid
from ..core.redaction import mask_passwords
from ..store.jobs import JobStore
from . import foreign_chords, outcomes, reporting
from .claim import CLAIM_FIELD

logger = logging.getLogger(__name__)

STORED = "dispatcher_stored"
"""The field of a request whose outcome is reported, while Celery fails its chain and calls its errbacks."""


KEPT = (
    "[retention] in the configuration says how long a result is kept, and `pacifica-dispatcher-cmd purge` deletes jobs."
)


class PeeweeBackend(BaseBackend):  # type: ignore[misc]
    """Stores the outcomes that workers report, and answers ``AsyncResult``."""

    supports_autoexpire = False
    persistent = True

    def as_uri(self, include_password: bool = False) -> str:  # noqa: ARG002, FBT001, FBT002 - Celery's signature
        """The URL of the record, which the banner of a worker shows; its password is masked in any case."""
        return mask_passwords(self.app.container.settings.database.peewee_url)

    def store_result(
        self, task_id: str, result: Any, state: str, traceback: Any = None, request: Any = None, **_: Any
    ) -> Any:
        """The last two steps of an attempt; see ``worker.task``. A task that was not claimed gets a row, too."""
        if getattr(request, CLAIM_FIELD, None) is None:
            reporting.store_unclaimed(self.app.container, task_id, request, state, result)
        else:
            self._report(task_id, result, state, traceback, request)
        return result

    def exception_to_python(self, exc: Any) -> Any:
        """The stored exception; Celery would call its class with the sentence, which is not how ours are made."""
        if isinstance(exc, dict) and exc.get("exc_module") == errors.__name__:
            kind = getattr(errors, exc["exc_type"], None)
            if isinstance(kind, type) and issubclass(kind, errors.DispatcherError):
                return kind.restored(exc["exc_message"])
        return super().exception_to_python(exc)

    def mark_as_failure(
        self,
        task_id: str,
        exc: Any,
        traceback: Any = None,
        request: Any = None,
        **options: Any,
    ) -> None:
        """Report a failure; only one that has ended the job fails its chain too, and calls its errbacks.

        A job that is put back has not failed, and a report that comes too late counts for nothing.
        """
        if options.get("store_result", True) and getattr(request, CLAIM_FIELD, None) is not None:
            rest = partial(super().mark_as_failure, task_id, exc, traceback, request, **options)
            self._report(task_id, exc, states.FAILURE, traceback, request, rest)
        else:
            super().mark_as_failure(task_id, exc, traceback, request, **options)

    def apply_chord(self, header_result_args: Any, body: Any, **options: Any) -> Any:
        """Start a chord whose parts the record counts."""
        body[foreign_chords.COUNTED] = True
        return super().apply_chord(header_result_args, body, **options)

    def on_chord_part_return(self, request: Any, state: str, result: Any, **_: Any) -> None:
        """Count a part of a chord that a program without the dispatcher has started."""
        if foreign_chords.COUNTED not in request.chord:
            with foreign_chords.logged(request):
                if self._counting is not None:
                    self._counting.on_chord_part_return(request, state, result)

    @cached_property
    def _counting(self) -> Any:
        return foreign_chords.counting_backend(self.app, self)

    def chord_error_from_stack(self, callback: Any, exc: Any = None) -> Any:
        """Fail the body of a chord whose header failed; its row is made first, so that its id is known."""
        for step in callback.tasks if isinstance(callback, group) else [callback]:
            if step.id:
                body = Context({"task": step.task, "args": step.args, "kwargs": step.kwargs})
                reporting.store_unclaimed(self.app.container, step.id, body, states.FAILURE, exc)
        return super().chord_error_from_stack(callback, exc)

    def _report(  # noqa: PLR0913, PLR0917 - Celery's values, and what follows
        self,
        task_id: str,
        result: Any,
        state: str,
        traceback: Any,
        request: Any,
        then: Callable[[], object] = lambda: None,
    ) -> None:
        """Report the outcome, once; then, if that has ended the job, do the rest."""
        if getattr(request, STORED, False):
            return
        container, body = (
            self.app.container,
            getattr(self.app.tasks.get(str(getattr(request, "task", ""))), "run", None),
        )
        outcome = outcomes.classify(request, state, result, traceback, body)
        if outcome is None:
            return
        if getattr(request, "claim", None) is None:
            vars(request)[STORED] = True
            reporting.report_from_main(container, task_id, request, outcome, then)
        elif reporting.report(container, task_id, request, outcome):
            vars(request)[STORED] = True
            then()

    def _get_task_meta_for(self, task_id: str) -> dict[str, Any]:
        """The state and result for ``AsyncResult``; an unknown id looks PENDING, as with every Celery backend."""
        jobs: JobStore = self.app.container.jobs
        job = jobs.get(str(task_id))
        return {"task_id": task_id, "status": states.PENDING, "result": None} if job is None else self._meta(job)

    def _meta(self, job: Job) -> dict[str, Any]:
        failed = job.state in (State.FAILURE, State.RETRY, State.REVOKED)
        own = job.progress if job.state is State.STARTED and job.progress and "state" in job.progress else None
        meta = {
            "task_id": job.uuid,
            "status": own["state"] if own else job.state.value,
            "result": own["meta"] if own else _exception_meta(job.error) if failed else job.result,
            "traceback": job.error.traceback if failed and job.error else None,
            "children": self._children(job),
            "date_done": None if job.finished is None else f"{(iso(job.finished) or '').removesuffix('Z')}+00:00",
            "name": job.task,
            "args": list(job.args),
            "kwargs": dict(job.kwargs),
            "worker": job.worker,
            "retries": job.retries,
            "queue": job.queue,
        }
        decoded: dict[str, Any] = self.meta_from_decoded(meta)
        return decoded

    def _children(self, job: Job) -> list[Any]:
        """The jobs that the last attempt of a job dispatched, if it has ended; its history keeps them."""
        jobs: JobStore = self.app.container.jobs
        data = [event.data for event in jobs.events(job.uuid) if event.kind == job.state] if job.final else []
        found: list[Any] = data[-1].get("children", []) if data else []
        return found

    def add_to_chord(self, *_: Any) -> Any:
        """Refuse; Celery supports it on Redis alone."""
        raise NotImplementedError("add_to_chord() is not supported: put all tasks into the chord as it is dispatched.")

    def _save_group(self, group_id: str, result: Any) -> Any:
        last = result
        while getattr(last, "results", None):
            last = last.results[-1]
        self.app.container.saved_groups.save(parse_uuid(group_id), result.as_tuple(), parse_uuid(last.id))
        return result

    def _restore_group(self, group_id: str) -> dict[str, Any] | None:
        found = self.app.container.saved_groups.members(parse_uuid(group_id))
        return None if found is None else {"result": result_from_tuple(found, self.app)}

    def _delete_group(self, group_id: str) -> None:
        self.app.container.saved_groups.delete(parse_uuid(group_id))

    def _forget(self, task_id: str) -> None:
        """Refuse; an adopted application, whose code has called it before, gets a line in the log."""
        if not self.app.asked:
            raise NotImplementedError(f"forget() is not supported: {KEPT}")
        logger.info("The result of job %s is not forgotten: %s", task_id, KEPT)


def _exception_meta(error: JobError | None) -> dict[str, Any] | None:
    if error is None:
        return None
    return {"exc_type": error.type, "exc_module": error.module, "exc_message": list(error.arguments)}
