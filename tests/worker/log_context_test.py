"""The log context of a worker's thread, and the limit of its last flush of spans."""

import time
from threading import Event
from typing import Any

from celery import Celery

from pacifica.dispatcher.logs import log_context
from pacifica.dispatcher.monitoring.otel import LAST_FLUSH, briefly
from pacifica.dispatcher.worker.signals import bind_log_context, unbind_log_context


def nothing() -> None:
    """A task's function."""


def called_task(celery: Celery, **request: Any) -> tuple[str, Any]:
    """A task with the request that Celery gives it when it sends its signals."""
    task = celery.task(name=request["id"])(nothing)
    task.push_request(**request)
    return request["id"], task


def test_nested_call_restores_the_log_context_of_its_job() -> None:
    celery = Celery(set_as_current=False)
    outer, outer_task = called_task(celery, id="outer", request_id="r", is_eager=False)
    inner, inner_task = called_task(celery, id="inner", is_eager=True)
    bind_log_context(outer, outer_task)
    log_context.note(attempt=1)
    bind_log_context(inner, inner_task)
    within = dict(log_context.current())
    unbind_log_context(inner_task)
    after = dict(log_context.current())
    unbind_log_context(outer_task)
    assert within == {"request": "r", "job": "inner", "task": "inner"}
    assert after == {"request": "r", "job": "outer", "task": "outer", "attempt": 1}
    assert log_context.current() == {}


def test_silent_collector_delays_the_end_of_a_process_by_a_second_at_most() -> None:
    never, began = Event(), time.monotonic()
    assert not briefly(never.wait)
    assert time.monotonic() - began < 2 * LAST_FLUSH
    never.set()
    assert briefly(lambda: None)
