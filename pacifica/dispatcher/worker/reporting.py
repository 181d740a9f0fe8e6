"""Reports the outcomes of attempts: to the main process of the worker, or to the record."""

import logging
from collections.abc import Callable
from functools import lru_cache
from typing import Any

from celery import Task, current_app, signals, states

from ..core import failpoints, strict_json
from ..core.backoff import retry_while_unavailable
from ..core.errors import DatabaseUnavailable
from ..core.job import FINAL, Claim, Job, State, now
from ..core.json_values import plain_arguments
from ..core.work import Ended, LostReport, Report, RetriedReport
from ..store import mapping
from ..store.lifecycle import revocation
from .claim import ATTEMPT, CLAIM_FIELD, GRANTED, REPORTS, Attempt
from .containment import end_fork
from .outcomes import TERMINATED, Failed, Lost, Outcome, Retried, Revoked, Succeeded, job_error, plain_or_text

logger = logging.getLogger(__name__)


def report(container: Any, uuid: str, request: Any, outcome: Outcome) -> bool:
    """Report the outcome of a claimed attempt in the process that ran it; returns whether it has ended the job.

    The main process stores the report, unless other code in this process may look at the record afterwards, or the
    process has claimed the job itself. Then the process waits for the database; if it stays unavailable, the heartbeat
    puts the job back.
    """
    claim: Claim = request.claim
    attempt: Attempt = getattr(request, ATTEMPT, Attempt())
    end_fork(attempt.pid, None)  # A hook may have forked this process.
    failpoints.reach("before-finish")
    reports: list[Report] | None = getattr(request, REPORTS, None)
    if reports is not None and not _is_awaited(request, outcome):
        reports.append(report_of(outcome, claim.job, claim.token))
        attempt.reported = True
        return True
    try:
        patience = container.settings.dispatcher.report_patience
        ended = retry_while_unavailable(lambda: _store(container, claim.job, claim.token, outcome), patience)
        attempt.reported = True
        failpoints.reach("after-finish")
    except DatabaseUnavailable as error:
        level, kind = logging.ERROR, type(outcome).__name__
        logger.log(level, "Job %s: cannot store the outcome %s, so the job will be put back. %s", uuid, kind, error)
        return False
    return ended


def report_from_main(container: Any, uuid: str, request: Any, outcome: Outcome, then: Callable[[], object]) -> None:
    """Report the outcome of an attempt for a process that cannot; ``then`` is called if that has ended the job."""
    writer, granted = container.writer, getattr(request, GRANTED, None)
    if writer is not None and not writer.ours:  # A pool process has a copy, whose thread does not run.
        writer = None
    if granted is not None and writer is not None:
        writer.report(
            report_of(outcome, granted.uuid, granted.token), lambda became: then() if became in FINAL else None
        )
        return
    token = getattr(request, CLAIM_FIELD, "")

    def store() -> None:
        if _store(container, uuid, token, outcome):
            then()

    if writer is not None:
        writer.do(store)
    else:
        store()


HOOKS = ("on_success", "on_failure", "on_retry", "after_return")
"""The methods of a task that Celery calls after the report."""


def _is_awaited(request: Any, outcome: Outcome) -> bool:
    """Whether code that this process runs after the report may look at the record: hooks, or the errors of a chain."""
    if isinstance(outcome, Failed) and (request.errbacks or request.chain):
        return True
    if len(signals.task_postrun.receivers) > 1:  # There are others beside the one of this package.
        return True
    receivers = (signals.task_success, signals.task_failure, signals.task_retry)
    return any(signal.receivers for signal in receivers) or _has_hooks(current_app.tasks[request.task])


@lru_cache(maxsize=1024)
def _has_hooks(task: Task) -> bool:
    return any(getattr(type(task), name) is not getattr(Task, name) for name in HOOKS)


def store_unclaimed(container: Any, uuid: str, request: Any, state: str, value: Any) -> None:
    """Store how something ended that no worker has claimed as a job, so that its id is known.

    These are the rest of a chain or the body of a chord whose earlier steps failed, and plain tasks of Celery. Without
    a request Celery does not say what it is: ``PeeweeBackend.chord_error_from_stack`` has stored it.
    """
    if state not in (states.SUCCESS, states.FAILURE) or request is None:
        return
    at, error = now(), job_error(value) if state == states.FAILURE else None
    result = None if error else plain_or_text(value)
    try:
        args, kwargs = plain_arguments(request.args or (), request.kwargs or {})
    except (ValueError, TypeError):
        args, kwargs = [], {}
    job = Job(uuid, str(request.task), args, kwargs, State(state), at, finished=at, result=result, error=error)
    try:
        container.jobs.add_ended(job)
    except DatabaseUnavailable as unavailable:
        logger.warning("Cannot store how %s (%s) ended: %s", uuid, request.task, unavailable)


def _store(container: Any, uuid: str, token: str, outcome: Outcome) -> bool:
    """Store the outcome of the attempt with this token; one that comes too late only adds to the job's history.

    Returns whether it has ended the job.
    """
    if isinstance(outcome, Revoked):
        if container.jobs.revoke(uuid, reason=outcome.reason, at=now()):
            return True
        # Only "terminated" is about the attempt that runs; a redelivered message that has expired is not.
        if outcome.reason != TERMINATED:
            return False
    (became,) = container.work_queue.report([report_of(outcome, uuid, token)])
    return became in FINAL


def report_of(outcome: Outcome, uuid: str, token: str) -> Report:
    """The report of the attempt with this token; its values are JSON text already."""
    at = now()
    match outcome:
        case Succeeded():
            data, text = _children(outcome.children), mapping.to_text(outcome.result)
            return Ended(uuid, token, State.SUCCESS.value, text, None, at, data, outcome.as_text)
        case Failed():
            data = outcome.error.summary() | _children(outcome.children)
            return Ended(uuid, token, State.FAILURE.value, None, outcome.error, at, data)
        case Retried():
            request = outcome.request
            args, kwargs = strict_json.dumps(request["args"]), strict_json.dumps(request["kwargs"])
            return RetriedReport(
                uuid, token, at, request["eta"], request["retries"], args, kwargs, outcome.error, request["columns"]
            )
        case Revoked():
            return Ended(
                uuid, token, State.REVOKED.value, None, revocation(outcome.reason), at, {"reason": outcome.reason}
            )
        case Lost():
            return LostReport(uuid, token, at, outcome.reason)


def _children(children: Any) -> dict[str, Any]:
    return {"children": list(children)} if children else {}
