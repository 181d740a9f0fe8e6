"""What a worker's thread is at, and that no collector of spans holds it."""

import time
from threading import Event
from typing import Any

from celery import Celery

from pacifica.dispatcher.logs import log_context
from pacifica.dispatcher.monitoring.otel import LAST_FLUSH, briefly
from pacifica.dispatcher.worker.signals import bind_log_context, unbind_log_context


def nothing() -> None:
    """A body."""


def a_call(celery: Celery, **request: Any) -> tuple[str, Any]:
    """A task with the request that Celery gives it around the signals."""
    task = celery.task(name=request["id"])(nothing)
    task.push_request(**request)
    return request["id"], task


def test_a_call_within_a_body_leaves_the_job_what_its_lines_have() -> None:
    celery = Celery(set_as_current=False)
    outer, outer_task = a_call(celery, id="outer", request_id="r", is_eager=False)
    inner, inner_task = a_call(celery, id="inner", is_eager=True)
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


def test_a_collector_that_says_nothing_holds_a_process_a_second_at_most() -> None:
    never, began = Event(), time.monotonic()
    assert not briefly(never.wait)
    assert time.monotonic() - began < 2 * LAST_FLUSH
    never.set()
    assert briefly(lambda: None)
