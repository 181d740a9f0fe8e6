"""Handlers of Celery's signals in a worker: log format, log context, shared memory, and the last spans.

``-l`` and ``-f`` decide as usual how much is logged, and where. Celery's own lines about a job ("received",
"succeeded in", "retry", "raised unexpected") are left out: ``monitoring.job_log`` logs the same events.
"""

import gc
import logging
import os
from typing import Any

from celery import Celery, signals

from ..core.errors import DispatcherError
from ..delivery.task_message import target
from ..logs import log_context
from ..logs.setup import set_format
from ..monitoring.job_log import REQUEST
from . import printed_lines
from .claim import claim_early
from .task import DispatcherTask

logger = logging.getLogger(__name__)

TRACE_LOGGER = "celery.app.trace"
ALL_QUEUES = "DISPATCHER_ALL_QUEUES"
"""The environment variable by which ``up`` has its only worker consume the queue of each task."""


class HideOutcomeLines(logging.Filter):
    """Drops the lines that Celery logs at the end of a job's attempt; those of plain Celery tasks stay."""

    def __init__(self, app: Celery) -> None:
        super().__init__()
        self._app = app

    def filter(self, record: logging.LogRecord) -> bool:
        """Return whether to keep the record."""
        return not (hasattr(record, "data") and isinstance(self._app.current_task, DispatcherTask))


def connect(app: Any) -> None:
    """Connect all handlers, for this app's worker."""

    def set_up_root(logger: logging.Logger, **_: Any) -> None:
        _set_format(app, logger.handlers)
        trace = logging.getLogger(TRACE_LOGGER)
        trace.addFilter(HideOutcomeLines(app))
        _skip_success_lines(trace, app)

    signals.after_setup_logger.connect(set_up_root, weak=False)
    signals.after_setup_task_logger.connect(lambda logger, **_: _set_format(app, logger.handlers), weak=False)
    signals.celeryd_after_setup.connect(consume_routed_queues)
    signals.task_prerun.connect(bind_log_context)
    signals.task_prerun.connect(claim_early)
    signals.task_postrun.connect(unbind_log_context)
    signals.worker_before_create_process.connect(_freeze_objects)
    signals.worker_process_init.connect(_unfreeze_objects)
    signals.worker_process_shutdown.connect(lambda **_: app.container.tracing.flush(), weak=False)


def consume_routed_queues(instance: Any, **_: Any) -> None:
    """Add the queues to which the tasks are routed to those that the worker consumes, if ``ALL_QUEUES`` is set."""
    if not os.environ.get(ALL_QUEUES):
        return
    queues = instance.app.amqp.queues
    for name in list(instance.app.tasks):
        try:
            queue = queues[target(instance.app, name, None, None).queue]
        except Exception:
            logger.exception("The queue of the task %s is not known; up takes none of its jobs.", name)
        else:
            queues.select_add(queue)


def _skip_success_lines(logger: logging.Logger, app: Celery) -> None:
    """Keep Celery from making the record of each job's success, which ``HideOutcomeLines`` would drop."""
    is_enabled = logger.isEnabledFor

    def is_enabled_for(level: int) -> bool:
        return is_enabled(level) and not (level == logging.INFO and isinstance(app.current_task, DispatcherTask))

    vars(logger)["isEnabledFor"] = is_enabled_for


def _set_format(app: Any, handlers: list[logging.Handler]) -> None:
    try:
        settings = app.container.settings.logging
    except DispatcherError:
        return  # The worker is about to end, and prints the reason.
    set_format(handlers, settings)


def _freeze_objects(**_: Any) -> None:
    """Before the first fork: objects that the garbage collector does not touch stay shared by all children."""
    if not gc.get_freeze_count():
        gc.collect()
        gc.freeze()


def _unfreeze_objects(**_: Any) -> None:
    """In a child, let the collector free objects of the parent that are no longer used, such as a broker connection.

    It does so when it examines old objects; the more of them exist, the less often that is.
    """
    gc.unfreeze()


def bind_log_context(task_id: str, task: Any, **_: Any) -> None:
    """Add the job, its task and its HTTP request to every line that this thread logs."""
    context = task.request
    request = getattr(context, REQUEST, None)
    if context.is_eager:  # A job's function called this task by ``apply()``: it serves the same HTTP request.
        request = request or log_context.current().get("request")
    # Calls may be nested; each has its own context, which restores that of the outer call.
    context.log_bound = log_context.bind(request=request, job=task_id, task=task.name)


def unbind_log_context(task: Any, **_: Any) -> None:
    """Restore the log context that the thread had before the task, after the line that the task has not ended."""
    printed_lines.flush()
    bound = getattr(task.request, "log_bound", None)
    if bound is not None:
        log_context.unbind(bound)
