"""The messages of the pool: a process runs the jobs of one, and returns the reports of their attempts."""

import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, get_args

from celery import current_app
from celery.app.trace import trace_task

from ..core import strict_json
from ..core.work import ClaimedJob, Report
from .begin_tokens import Lane, append_outcome, next_job, read_outcomes, take_tokens
from .claim import CLAIM_FIELD, GRANTED, REPORTS
from .job_request import JobRequest
from .writer_partners import Item


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


class Message:
    """A message in the pool, as the main process sees it; its lane is what the process that runs it shares with it."""

    def __init__(self, items: list[Item], lane: Lane | None, since: float, *, short: bool) -> None:
        self.items = items
        self.alone = len(items) == 1
        self.lane = lane
        self.ended: set[int] = set()
        self.place = 0
        self.short = short
        self.since = since
        self.pid: int | None = None
        self.cancelled = ""
        self.shown = False

    def left(self) -> int:
        """How many of its jobs have not ended, as far as is known."""
        return len(self.items) - len(self.ended)

    def take_back(self) -> list[Item]:
        """Take back the jobs that have not begun: the last ones."""
        begun = len(self.items) - (0 if self.lane is None else take_tokens(self.lane))
        back = self.items[begun:]
        del self.items[begun:]
        return back

    def read_outcomes(self) -> Sequence[tuple[int, Done]]:
        """The ends of the jobs that have shared the message, since the last call."""
        if self.lane is None or self.alone:
            return ()
        found, self.place = read_outcomes(self.lane, self.place)
        return list(map(unpacked, found))

    def turned_long(self) -> bool:
        """Whether one of several jobs is left and runs, and Celery's remote control has not been shown it."""
        return self.left() == 1 and not self.alone and not self.shown and self.pid is not None

    def show(self, request_of: Callable[[ClaimedJob], JobRequest]) -> JobRequest | None:
        """The request of the job that has turned long, which is made if it came without a message."""
        if not self.turned_long():
            return None
        number = next(number for number in range(len(self.items)) if number not in self.ended)
        job, request = self.items[number]
        request = request or request_of(job)
        self.items[number] = job, request
        self.shown = True
        return request

    def at_hand(self) -> list[Item]:
        """Those jobs, once the others are taken back: one, unless billiard gave the message of a dead process away."""
        return [item for number, item in enumerate(self.items) if number not in self.ended]


KINDS: Sequence[Any] = get_args(Report)
LONGEST_BATCH = 1.0
"""Seconds after which a pool process begins no further job of a message.

The main process takes the jobs back earlier, unless it is frozen: then another worker may have them by now.
"""


def run(orders: Sequence[Order], hostname: str, lane: Lane | None) -> Done | None:
    """Run jobs one after the other, while there is a token for the next one.

    Returns the end of a job that is alone in its message, if it was begun; those of others are written to the lane.
    """
    if lane is None:
        return _run_one(orders[0], hostname)
    since = time.perf_counter()
    while time.perf_counter() - since < LONGEST_BATCH and (number := next_job(lane)) is not None:
        done = _run_one(orders[number], hostname)
        if len(orders) == 1:
            return done
        append_outcome(lane, packed(number, done))
    return None


def packed(number: int, done: Done) -> Any:
    """The end of a job in plain values, as a class of its own costs more to unpickle than all of them."""
    return number, done.seconds, [(KINDS.index(type(report)), *report) for report in done.reports]


def unpacked(outcome: Any) -> tuple[int, Done]:
    """The number of a job in its message, and its end."""
    number, seconds, reports = outcome
    return number, Done([KINDS[kind](*values) for kind, *values in reports], seconds)


def _run_one(order: Order, hostname: str) -> Done:
    reports: list[Report] = []
    begin = time.perf_counter()
    result, info, seconds, text = _run(order, hostname, reports)
    return Done(reports, time.perf_counter() - begin, (1, result, seconds) if info else (0, text, seconds))


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
