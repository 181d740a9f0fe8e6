"""The messages of the pool: a process runs the jobs of one, and returns the reports of their attempts."""

import time
from collections.abc import Sequence
from typing import Any, NamedTuple

from celery import current_app
from celery.app.trace import trace_task

from ..core import strict_json
from ..core.work import ClaimedJob, Report
from .begin_tokens import may_begin
from .claim import CLAIM_FIELD, GRANTED, REPORTS


class Order(NamedTuple):
    """A job to run: the request and body of its message; without a message, the request is made of the claimed row."""

    job: ClaimedJob
    request: dict[str, Any] | None = None
    body: Sequence[Any] | None = None


class Done(NamedTuple):
    """The end of an attempt: its reports for the main process to store, and its duration.

    ``returned`` is what Celery's ``trace_task_ret`` returns, if the job was alone in its message. An attempt that has
    reported itself has no reports.
    """

    reports: Sequence[Report]
    seconds: float
    returned: Any = None


LONGEST_BATCH = 1.0
"""Seconds after which a pool process begins no further job of a message.

The main process takes the jobs back earlier, unless it is frozen: then another worker may have them by now.
"""


def run(orders: Sequence[Order], hostname: str, pipe: int | None) -> list[Done]:
    """Run jobs one after the other, while the pipe has a token for the next one; returns those that were begun."""
    done: list[Done] = []
    since = time.perf_counter()
    for order in orders:
        begin = time.perf_counter()
        if (done and begin - since > LONGEST_BATCH) or not may_begin(pipe):
            break
        reports: list[Report] = []
        result, info, seconds, text = _run(order, hostname, reports)
        returned = None if len(orders) > 1 else (1, result, seconds) if info else (0, text, seconds)
        done.append(Done(reports, time.perf_counter() - begin, returned))
    return done


def _run(order: Order, hostname: str, reports: list[Report]) -> Any:
    job = order.job
    request = request_of(job) if order.request is None else order.request
    args, kwargs, embed = order.body or ((), {}, None)
    args, kwargs = list(args), dict(kwargs)  # The claim fills them.
    own = {"args": args, "kwargs": kwargs, "hostname": hostname, "is_eager": False, REPORTS: reports}
    request = {**request, **own, **(embed or {})}
    return trace_task(current_app.tasks[job.task], job.uuid, args, kwargs, request, app=current_app)


def request_of(job: ClaimedJob) -> dict[str, Any]:
    """The request of a claimed job that is in no workflow, as Celery would make it of its message."""
    return {
        **(strict_json.loads(job.headers) if job.headers else {}),
        "id": job.uuid,
        "task": job.task,
        "lang": "py",
        "retries": job.retries,
        "root_id": job.uuid,
        "correlation_id": job.uuid,
        "reply_to": None,
        "ignore_result": False,
        "properties": {},
        "delivery_info": {
            "exchange": "",
            "routing_key": job.queue,
            "priority": job.priority,
            "redelivered": job.attempt - job.retries > 1,
        },
        CLAIM_FIELD: job.token,
        GRANTED: job,
    }
