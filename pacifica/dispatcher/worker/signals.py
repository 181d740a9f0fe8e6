"""What a worker does at Celery's signals: its log is in our form, its children share what they can, and their spans
are sent before they end.

``-l`` and ``-f`` say, as ever, how much is logged and where it goes.
Of our own jobs Celery's "received", "succeeded in", "retry" and "raised unexpected" are left out: the lines of
``journal`` tell the same moves.
"""

import gc
import logging
from typing import Any

from celery import Celery, signals

from ..core.errors import DispatcherError
from ..logs import log_context
from ..logs.setup import dress
from ..monitoring.job_log import REQUEST
from .task import DispatcherTask

TRACE = "celery.app.trace"


class NotOurs(logging.Filter):
    """Leaves out what Celery says of the end of a job's attempt; a plain Celery task's lines stay."""

    def __init__(self, app: Celery) -> None:
        super().__init__()
        self._app = app

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether the record is kept."""
        return not (hasattr(record, "data") and isinstance(self._app.current_task, DispatcherTask))


def make_no_records(logger: logging.Logger, app: Celery) -> None:
    """Have Celery's line of a success, which ``NotOurs`` leaves out, not be made while a job of ours runs."""
    enabled = logger.isEnabledFor

    def is_enabled(level: int) -> bool:
        return enabled(level) and not (level == logging.INFO and isinstance(app.current_task, DispatcherTask))

    vars(logger)["isEnabledFor"] = is_enabled


def connect(app: Any) -> None:
    """Have the signals of Celery's logging and tasks do this, for this app's worker."""

    def dress_root(logger: logging.Logger, **_: Any) -> None:
        _dress(app, logger.handlers)
        trace = logging.getLogger(TRACE)
        trace.addFilter(NotOurs(app))
        make_no_records(trace, app)

    def dress_tasks(logger: logging.Logger, **_: Any) -> None:
        _dress(app, logger.handlers)

    signals.after_setup_logger.connect(dress_root, weak=False)
    signals.after_setup_task_logger.connect(dress_tasks, weak=False)
    signals.task_prerun.connect(_begin)
    signals.task_postrun.connect(_end)
    signals.worker_before_create_process.connect(_share)
    signals.worker_process_init.connect(_own)
    signals.worker_process_shutdown.connect(lambda **_: app.container.tracing.flush(), weak=False)


def _dress(app: Any, handlers: list[logging.Handler]) -> None:
    try:
        settings = app.container.settings.logging
    except DispatcherError:
        return  # The worker is about to end, and to say why.
    dress(handlers, settings)


def _share(**_: Any) -> None:
    """Before the first fork: what the collector of cycles leaves alone stays one memory for all children."""
    if not gc.get_freeze_count():
        gc.collect()
        gc.freeze()


def _own(**_: Any) -> None:
    """In a child: what it has from its parent and lets go, such as a connection to the broker, is collected in time.

    That is when the collector looks at old objects, which it does the less often the more of them there are.
    """
    gc.unfreeze()


def _begin(task_id: str, task: Any, **_: Any) -> None:
    call = task.request
    request = getattr(call, REQUEST, None)
    if call.is_eager:  # The body of a job has called it by ``apply()``: the same request is at it.
        request = request or log_context.current().get("request")
    # Calls may be nested, and each has a request of its own, which holds what was at the thread before.
    call.log_bound = log_context.bind(request=request, job=task_id, task=task.name)


def _end(task: Any, **_: Any) -> None:
    bound = getattr(task.request, "log_bound", None)
    if bound is not None:
        log_context.unbind(bound)
