"""The Celery result backend on the job rows: the one place that hears of every outcome alike.

Success, failure, retry, revocation, expiry and time limits all come through ``store_result``. The
process that runs a job reports with its claim's token; so does the worker's main process, which
speaks for a child that cannot (a hard time limit, a dead child): it gave the token to the delivery.
"""

import logging
from collections.abc import Mapping
from typing import Any

from billiard.exceptions import WorkerLostError
from celery import states
from celery.backends.base import BaseBackend
from celery.exceptions import Retry
from pydantic_core import to_jsonable_python

from ..core import failpoints, strict_json
from ..core.errors import DatabaseUnavailable
from ..core.job import Claim, Job, JobError, State, now
from ..core.retry import retry_while_unavailable
from ..store.jobs import JobStore

logger = logging.getLogger(__name__)

LONGEST_TEXT = 65_536
"""The most characters that a row keeps of an exception's text, arguments or traceback, each."""

CLAIM_KEY = "dispatcher_claim"
"""The key under which a delivered message's request holds the token of its claim."""

TERMINATED = "terminated"
"""Celery's reason for revoking a job that was running (``celery.worker.request.Request.terminate``)."""


class PeeweeBackend(BaseBackend):  # type: ignore[misc]
    """Stores what workers report, under the rules of state, and answers ``AsyncResult``."""

    supports_autoexpire = False
    persistent = True

    def store_result(
        self, task_id: str, result: Any, state: str, traceback: Any = None, request: Any = None, **_: Any
    ) -> Any:
        """Record an outcome; one that comes too late is kept as an event.

        A process that runs jobs waits for a database that is away. When that takes too long the outcome is
        given up, and the lease, which finds the job STARTED and nobody at it, puts it back. The main process
        of a pool must not wait: what it cannot store, its lease puts back, too.
        """
        claim = getattr(request, "claim", None)
        if claim is None:
            self._store_for_child(task_id, result, state, traceback, request)
            return result
        try:
            failpoints.reach("before-finish")
            retry_while_unavailable(
                lambda: self._store(claim, result, state, traceback, request),
                self.app.container.settings.dispatcher.report_patience,
            )
            failpoints.reach("after-finish")
        except DatabaseUnavailable as error:
            logger.error("Job %s: its end as %s is given up, and it will be run again. %s", task_id, state, error)  # noqa: TRY400
        return result

    def _store(self, claim: Claim, result: Any, state: str, traceback: Any, request: Any) -> None:
        """The report of the attempt that holds the claim."""
        if state == states.SUCCESS:
            self._jobs.succeed(claim.job, token=claim.token, result=result, at=now())
        elif state == states.RETRY:
            cause = result.exc if isinstance(result, Retry) and result.exc is not None else result
            asked: Mapping[str, Any] = request.retry_asked
            self._jobs.retry(claim.job, token=claim.token, error=job_error(cause, traceback), at=now(), **asked)
        elif state in states.EXCEPTION_STATES:
            # Celery replaces an exception that cannot be pickled; the record has the one that was raised.
            cause = getattr(request, "raised", result)
            self._jobs.fail(claim.job, token=claim.token, error=job_error(cause, traceback), at=now())

    def _store_for_child(self, task_id: str, result: Any, state: str, traceback: Any, request: Any) -> None:
        """What the worker's main process says of a job whose child process cannot report."""
        token = getattr(request, CLAIM_KEY, "")
        try:
            if state == states.REVOKED:
                # A message that comes again and has expired, say, tells nothing of the attempt that runs.
                if not self._jobs.revoke(task_id, reason=str(result), at=now()) and str(result) == TERMINATED:
                    self._jobs.revoke_started(task_id, token=token, reason=str(result), at=now())
            elif state == states.RETRY or isinstance(result, WorkerLostError):
                self._jobs.lose(task_id, token=token, reason=str(result), at=now())
            elif state in states.EXCEPTION_STATES:
                self._jobs.fail(task_id, token=token, error=job_error(result, traceback), at=now())
        except DatabaseUnavailable as error:
            logger.warning("Job %s: its end as %s cannot be stored, so it is put back later. %s", task_id, state, error)

    def _get_task_meta_for(self, task_id: str) -> dict[str, Any]:
        """What ``AsyncResult`` reads; as in all Celery, an unknown id looks PENDING."""
        job = self._jobs.get(str(task_id))
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

    @property
    def _jobs(self) -> JobStore:
        jobs: JobStore = self.app.container.jobs
        return jobs


def job_error(error: Any, traceback: Any = None) -> JobError:
    """What a row keeps of an exception; a value that no JSON can hold, or a large one, is kept as its text."""
    kind = type(error)
    told = str(getattr(traceback, "traceback", traceback) or "")
    return JobError(
        type=kind.__qualname__,
        module=kind.__module__,
        message=_text(error),
        traceback=told if len(told) <= LONGEST_TEXT else f"…{told[-LONGEST_TEXT:]}",
        arguments=_arguments(error),
    )


def _exception_meta(error: JobError | None) -> dict[str, Any] | None:
    if error is None:
        return None
    return {"exc_type": error.type, "exc_module": error.module, "exc_message": list(error.arguments)}


def _text(error: Any) -> str:
    try:
        text = str(error)
    except Exception:  # noqa: BLE001 - the text is made by the task's own code, and the failure must be stored
        return f"<{type(error).__name__} whose text cannot be made>"
    return text if len(text) <= LONGEST_TEXT else f"{text[:LONGEST_TEXT]}…"


def _arguments(error: Any) -> list[Any]:
    arguments = [_plain(value) for value in getattr(error, "args", ())]
    return arguments if len(strict_json.dumps(arguments)) <= LONGEST_TEXT else [_text(error)]


def _plain(value: Any) -> Any:
    try:
        plain = to_jsonable_python(value)
        strict_json.dumps(plain)
    except Exception:  # noqa: BLE001 - here, too, the task's own code may be run
        return _text(value)
    return plain
