"""Keeps an attempt from ending the worker, or leaving its job without an outcome, whatever the task's code does.

`own_code` surrounds the task's own code: its function, the loading of its arguments and the conversion of its
result. ``contain`` surrounds all that Celery does in an attempt, such as signal handlers and the stored report.
"""

import logging
import os
import signal
import threading
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any

from billiard import current_process
from billiard.common import terminate_handler_fired
from billiard.einfo import ExceptionInfo, ExceptionWithTraceback
from celery import states
from celery.app.task import Context
from celery.exceptions import Ignore, Reject, Retry, WorkerShutdown, WorkerTerminate

from ..core.interruption import UNINTERRUPTED
from .claim import ATTEMPT, Attempt, claim_once

logger = logging.getLogger(__name__)
Trace = Callable[..., Any]

CELERYS_OWN: tuple[type[Exception], ...] = (Retry, WorkerShutdown, WorkerTerminate)
"""Exceptions of an attempt that are no failure to Celery, and may leave the task's code."""
NOT_FAILURES = (Ignore, Reject, MemoryError)
"""Exceptions that Celery does not treat as a task's failure, beside all that do not derive from ``Exception``."""
KEPT_SIGNALS = tuple(getattr(signal, name) for name in ("SIGTERM", "SIGUSR1") if hasattr(signal, name))
"""The signals that stop a job, end a worker, and report that a soft time limit is over."""


class TaskExit(Exception):
    """A task raised something that would end the worker, or leave the job without an outcome.

    The job fails with that exception, like with any other, and the worker goes on.
    """


def is_failure(error: BaseException) -> bool:
    """Whether Celery treats this exception as an ordinary failure of a task."""
    return isinstance(error, Exception) and not isinstance(error, NOT_FAILURES)


@contextmanager
def own_code() -> Iterator[None]:
    """Surround the task's own code, which the soft time limit may interrupt.

    A process that the code has forked ends here, and reports nothing. The next job of this process finds the working
    directory and the handlers of ``KEPT_SIGNALS`` as they were.
    """
    pid, before = os.getpid(), _surroundings()
    try:
        UNINTERRUPTED.allow()
        yield
    except BaseException as error:
        end_fork(pid, error)
        raise
    finally:
        UNINTERRUPTED.forbid()
        end_fork(pid, None)
        _restore(before)


def contain(task: Any, trace: Trace) -> Trace:
    """Celery's function that carries out an attempt of the task, returning a failure where it would end the worker."""

    def run(uuid: str, args: Any, kwargs: Any, request: dict[str, Any] | None = None) -> Any:
        attempt = Attempt()
        own = {**(request or {}), ATTEMPT: attempt}
        UNINTERRUPTED.begin_attempt()
        try:
            done = trace(uuid, args, kwargs, own)
        except (*CELERYS_OWN, Reject):
            raise
        except BaseException as error:
            if terminate_handler_fired():
                raise
            return _give_up(task, uuid, Context(own), error)
        finally:
            end_fork(attempt.pid, None)
            UNINTERRUPTED.end_attempt()
        return _harmless(done)

    return run


def _give_up(task: Any, uuid: str, request: Any, error: BaseException) -> Any:
    """Report the failure unless an outcome is stored already, and return it."""
    from celery.app.trace import traceback_clear  # A worker has it; a web server does not import Celery's worker.

    name, trace = type(error).__name__, "".join(traceback.format_exception(error))
    traceback_clear(error)  # Its frames may hold the large values.
    logger.error("Job %s: %s outside the task's function.\n%s", uuid, name, trace)
    try:
        _report(task, uuid, request, error, trace)
    except Ignore as late:
        return _ended(late, states.IGNORED)
    except Reject as delayed:
        return _ended(delayed, states.REJECTED)
    except BaseException:  # The heartbeat puts the job back.
        if terminate_handler_fired():
            raise
        logger.exception("Job %s: cannot report the failure, so the job will be put back.", uuid)
    return _ended(TaskExit(name), states.FAILURE)


def _report(task: Any, uuid: str, request: Any, error: BaseException, trace: str) -> None:
    attempt: Attempt = getattr(request, ATTEMPT)
    if attempt.claimed is None:
        claim_once(request, [], {})
    if not attempt.reported:
        if getattr(attempt.claimed, "raised", None) is None:
            attempt.claimed.update(raised=error)
        task.backend.mark_as_failure(uuid, TaskExit(type(error).__name__), trace, request=attempt.claimed)


def _harmless(done: Any) -> Any:
    """Replace a returned exception that would end the main process, after Celery has stored it as a failure."""
    error = getattr(done.retval, "exception", None) if done.info else None
    error = error.exc if isinstance(error, ExceptionWithTraceback) else error
    if isinstance(error, MemoryError) or (isinstance(error, BaseException) and not isinstance(error, Exception)):
        return _ended(TaskExit(type(error).__name__), states.FAILURE)
    return done


def _ended(error: Exception, state: str) -> Any:
    """Celery's description of an attempt that ended with this error."""
    from celery.app.trace import TraceInfo, trace_ok_t

    try:
        raise error
    except type(error):
        return trace_ok_t(ExceptionInfo(), TraceInfo(state, error), 0.0, "")


def _surroundings() -> tuple[str | None, Mapping[int, Any]] | None:
    """Working directory and signal handlers; ``None`` in a thread beside others, which may have changed them."""
    if threading.current_thread() is not threading.main_thread():
        return None
    # In a main process Celery itself changes them while it stops.
    kept = KEPT_SIGNALS if current_process().daemon else ()
    return _folder(), {number: signal.getsignal(number) for number in kept}


def _restore(before: tuple[str | None, Mapping[int, Any]] | None) -> None:
    if before is None or terminate_handler_fired():  # The pool is ending this process, and has changed its handlers.
        return
    folder, handlers = before
    if folder is not None and _folder() != folder:
        with suppress(OSError):  # The folder was removed.
            os.chdir(folder)
            logger.warning("The task changed the working directory; it is %s again.", folder)
    for number, handler in handlers.items():
        if handler is not None and signal.getsignal(number) != handler:
            signal.signal(number, handler)
            logger.warning("The task changed the handler of %s, which the worker needs.", signal.Signals(number).name)


def _folder() -> str | None:
    try:
        return os.getcwd()  # noqa: PTH109 - for each job; a path object would cost more than the call
    except OSError:
        return None


def end_fork(pid: int, error: BaseException | None) -> None:
    """End this process if it is not the one of this id, but was forked from it by the task's code or by a hook.

    Its status is the one that ``sys.exit`` would have given it.
    """
    if os.getpid() == pid:
        return
    status = 0 if error is None else 1
    try:
        if isinstance(error, SystemExit):
            status = error.code & 0xFF if isinstance(error.code, int) else int(error.code is not None)
        elif error is not None:
            logger.error("A process that the task forked has failed.", exc_info=error)
    finally:
        os._exit(status)
