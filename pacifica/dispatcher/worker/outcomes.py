"""The one place that classifies how an attempt ended; ``worker.reporting`` reports it.

Celery reports every end of an attempt through the result backend, from the process that ran the job or from the
worker's main process:

===========================================  ==================================================  ============
the attempt                                  Celery reports                                      outcome
===========================================  ==================================================  ============
returned                                     ``SUCCESS``                                         `Succeeded`
raised, or met its soft time limit           ``FAILURE``                                         `Failed`
called ``retry``, or raised for autoretry    ``RETRY``                                           `Retried`
met its hard time limit                      ``FAILURE``, from the main process                  `Failed`
was cancelled while it ran                   ``REVOKED`` "terminated", from the main process     `Revoked`
was cancelled, or expired, before it began   ``REVOKED``, from the main process                  `Revoked`
died with its child process                  ``WorkerLostError``, from the main process          `Lost`
was stopped with the broker's connection     ``RETRY``, from the main process                    `Lost`
===========================================  ==================================================  ============

A child that dies unnoticed, and a worker that dies as a whole, report nothing: ``worker.heartbeat`` and
``upkeep.lost_jobs`` put such jobs back.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from billiard.common import terminate_handler_fired
from celery import states
from celery.exceptions import WorkerLostError

from ..core import strict_json
from ..core.job import JobError
from ..core.json_values import finite, plain
from .failure_place import failure_place

LONGEST_TEXT = 65_536
"""The most characters that a row keeps of an exception's text, of its arguments, and of its traceback."""
MOST_CHILDREN = 1000
"""The most jobs that the history of a job keeps as its children."""
HINTS: Mapping[str, str] = {
    "daemonic processes are not allowed to have children": (
        " (In a task, use billiard in place of multiprocessing; docs/tasks.md says more.)"
    ),
    "'PrintedLines' object has no attribute 'fileno'": (
        " (In a task, sys.stdout is Celery's log: use capture_output=True; docs/tasks.md says more.)"
    ),
}
"""The advice that follows the text of an error that is due to the limits of Celery's workers."""
KEPT_RESULT = "dispatcher_result"
"""The field of a request with the ``StoredResult`` of an adopted task, whose result itself Celery has."""
TERMINATED = "terminated"
"""Celery's reason for revoking a job that was running (``celery.worker.request.Request.terminate``)."""


class Succeeded(NamedTuple):
    """The task returned ``result``, a JSON value, and dispatched ``children``.

    ``as_text``: the result is the text of a value that is no JSON, for this reason.
    """

    result: Any
    children: Sequence[Any] = ()
    as_text: str = ""


class Failed(NamedTuple):
    """The task raised, or was stopped by a hard time limit."""

    error: JobError
    children: Sequence[Any] = ()


class Retried(NamedTuple):
    """The task asked to be run again, with the ``args``, ``kwargs``, ``retries`` and ``eta`` of ``request``."""

    error: JobError
    request: Mapping[str, Any]


class Revoked(NamedTuple):
    """The job was cancelled or has expired."""

    reason: str


class Lost(NamedTuple):
    """The process that ran the job is gone; the job must be run again."""

    reason: str


Outcome = Succeeded | Failed | Retried | Revoked | Lost


def classify(request: Any, state: str, result: Any, traceback: Any = None, body: Any = None) -> Outcome | None:
    """Classify what Celery reports of the attempt of this request; ``None`` for a state that ends no attempt.

    ``body`` is the task's function, for the place of a failure.
    """
    if getattr(request, "claim", None) is None:
        return _of_main_process(state, result, traceback, body)
    if state == states.SUCCESS:
        kept = getattr(request, KEPT_RESULT, None)
        if kept is None:
            return Succeeded(result, _children(request))
        return Succeeded(kept.value, _children(request), kept.reason)
    if state == states.RETRY:
        cause = (
            request.wanted_retry if result is None else result
        )  # Celery reports the exception that caused it, if any.
        return Retried(job_error(cause, traceback, body), request.requested_retry)
    if state in states.EXCEPTION_STATES:
        # Celery replaces an exception that cannot be pickled; the record keeps the one that was raised.
        return Failed(job_error(getattr(request, "raised", result), traceback, body), _children(request))
    return None


def _children(request: Any) -> list[Any]:
    """The jobs that the attempt has dispatched, as Celery's results in the form of JSON, from which it makes them."""
    return [child.as_tuple() for child in getattr(request, "children", [])[:MOST_CHILDREN]]


def _of_main_process(state: str, result: Any, traceback: Any, body: Any) -> Outcome | None:
    if state == states.REVOKED:
        return Revoked(str(result))
    if state == states.RETRY or isinstance(result, WorkerLostError):
        return Lost(str(result))
    if state in states.EXCEPTION_STATES:
        return Failed(job_error(result, traceback, body))
    return None


def job_error(error: Any, traceback: Any = None, body: Any = None) -> JobError:
    """The part of an exception that a row keeps; an argument that is not JSON, or is too large, becomes text."""
    kind = type(error)
    trace = str(getattr(traceback, "traceback", traceback) or "")
    return JobError(
        type=kind.__qualname__,
        module=kind.__module__,
        message=_text(error),
        traceback=trace if len(trace) <= LONGEST_TEXT else f"…{trace[-LONGEST_TEXT:]}",
        arguments=_arguments(error),
        at=failure_place(error, body),
    )


def _text(error: Any) -> str:
    try:
        text = str(error)
    except BaseException:  # The task's own code makes the text, and the failure must be stored.
        if terminate_handler_fired():
            raise
        return f"<{type(error).__name__} whose text cannot be made>"
    text += HINTS.get(text, "")
    return text if len(text) <= LONGEST_TEXT else f"{text[:LONGEST_TEXT]}…"


def _arguments(error: Any) -> list[Any]:
    arguments = [plain_or_text(value) for value in getattr(error, "args", ())]
    return arguments if len(strict_json.dumps(arguments)) <= LONGEST_TEXT else [_text(error)]


def plain_or_text(value: Any) -> Any:
    """The value as JSON values, or its text if it has none."""
    try:
        own = finite(plain(value))
        strict_json.dumps(own)
    except BaseException:  # This may run the task's own code as well.
        if terminate_handler_fired():
            raise
        return _text(value)
    return own
