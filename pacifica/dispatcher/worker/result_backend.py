"""The Celery result backend on the job rows: it stores the outcomes that Celery reports, and serves ``AsyncResult``."""

from typing import Any

from celery import states
from celery.backends.base import BaseBackend

from ..core import errors
from ..core.job import Job, JobError, State
from ..store.jobs import JobStore
from . import outcomes


class PeeweeBackend(BaseBackend):  # type: ignore[misc]
    """Stores the outcomes that workers report, and answers ``AsyncResult``."""

    supports_autoexpire = False
    persistent = True

    def store_result(
        self, task_id: str, result: Any, state: str, traceback: Any = None, request: Any = None, **_: Any
    ) -> Any:
        """The last two steps of an attempt; see ``worker.task``."""
        outcome = outcomes.classify(request, state, result, traceback)
        if outcome is not None:
            outcomes.report(self.app.container, task_id, request, outcome)
        return result

    def exception_to_python(self, exc: Any) -> Any:
        """The stored exception; Celery would call its class with the sentence, which is not how ours are made."""
        if isinstance(exc, dict) and exc.get("exc_module") == errors.__name__:
            kind = getattr(errors, exc["exc_type"], None)
            if isinstance(kind, type) and issubclass(kind, errors.DispatcherError):
                return kind.restored(exc["exc_message"])
        return super().exception_to_python(exc)

    def _get_task_meta_for(self, task_id: str) -> dict[str, Any]:
        """The state and result for ``AsyncResult``; an unknown id looks PENDING, as with every Celery backend."""
        jobs: JobStore = self.app.container.jobs
        job = jobs.get(str(task_id))
        return {"task_id": task_id, "status": states.PENDING, "result": None} if job is None else self._meta(job)

    def _meta(self, job: Job) -> dict[str, Any]:
        failed = job.state in (State.FAILURE, State.RETRY, State.REVOKED)
        meta = {
            "task_id": job.uuid,
            "status": job.state.value,
            "result": _exception_meta(job.error) if failed else job.result,
            "traceback": job.error.traceback if failed and job.error else None,
            "children": [],
            "name": job.task,
            "args": list(job.args),
            "kwargs": dict(job.kwargs),
            "worker": job.worker,
            "retries": job.retries,
            "queue": job.queue,
        }
        decoded: dict[str, Any] = self.meta_from_decoded(meta)
        return decoded


def _exception_meta(error: JobError | None) -> dict[str, Any] | None:
    if error is None:
        return None
    return {"exc_type": error.type, "exc_module": error.module, "exc_message": list(error.arguments)}
