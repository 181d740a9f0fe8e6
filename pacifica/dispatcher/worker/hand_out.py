"""Hands claimed jobs to the pool: one in a message, or several short ones, and bounds how many are claimed ahead.

A message goes to one pool process. Only jobs of tasks that have lately been short, and that have no time limit, share
one. Whatever the pool does, a claimed job that has not begun after a moment is taken back, and returns to the queue.
"""

import logging
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from typing import Any

from billiard.common import TERM_SIGNAL
from celery.worker import state
from kombu.asynchronous import Hub

from ..core.work import ClaimedJob
from . import row_request
from .begin_tokens import BeginTokens
from .job_request import JobRequest
from .job_writer import JobWriter
from .outcomes import TERMINATED, Lost, Outcome, Revoked
from .pool_message import Done, Message, Order, run
from .reporting import report_of
from .run_times import MOST_JOBS, MOST_WORK, RunTimes
from .writer_partners import Item

logger = logging.getLogger(__name__)

PATIENCE = 0.25
"""Seconds after which a claimed job that has not begun is taken back."""
START_PATIENCE = 2.0
"""The same for the jobs of a message that no process has accepted: its process is being started."""
UNSAFE = 1.0
"""Seconds that a job which ended its process counts as: the next jobs of its task go alone."""
LONGEST_GIVE = 0.002
"""Seconds after which handing out pauses for the event loop; in a solo pool, one job takes all of that time."""


class HandOut:
    """The jobs that a worker has claimed, in its pool and before it.

    ``writer`` stores reports, and returns jobs to the queue. The event loop calls ``give``; in a worker without one,
    the threads that claim and end jobs do, in turns.
    """

    writer: JobWriter

    def __init__(self, worker: Any, tokens: BeginTokens | None) -> None:
        self._worker = worker
        self._tokens = tokens
        self._times = RunTimes()
        self._ready: deque[tuple[float, Item]] = deque()
        self._sending: Sequence[Item] = ()
        self._refusals: Counter[str] = Counter()
        self._messages: set[Message] = set()
        self._calls: deque[tuple[Callable[..., object], tuple[Any, ...]]] = deque()
        self._lock = threading.RLock()  # Celery ends the pool in a handler of a signal.
        self._giving = threading.Lock()
        self._give_again = self._awake = False
        self._giver = 0
        self._loop: Hub | None = None
        self.closed = True

    def room(self) -> int:
        """How many jobs may be claimed now: one for each idle process, and some more while all jobs are short."""
        messages = list(self._messages)
        ready, idle = len(self._ready) + len(self._sending), self._processes() - len(messages)
        ahead = self._times.ahead()
        if not ahead:
            return idle - ready
        lately = time.monotonic() - PATIENCE
        flowing = idle + sum(message.short and message.since > lately for message in messages)
        held = ready + sum(message.left() for message in messages if message.short)
        return max(2 * ahead * flowing - held, idle - ready)

    def starved(self) -> bool:
        """Whether a process may soon have no job to run."""
        return len(self._ready) < self._processes() * self._times.ahead() // 2

    def empty(self) -> bool:
        """Whether all claimed jobs have ended; then the next turn has nothing to wait for."""
        return not self._ready and not any(message.left() for message in list(self._messages))

    def add(self, claimed: Sequence[Item]) -> None:
        """Run these jobs; one whose task has no turn now returns to the queue."""
        at = time.monotonic()
        for job, request in claimed:
            due = row_request.refused(self._worker, job, self._refusals) if request is None else None
            if due is None:
                with self._lock:
                    self._ready.append((at, (job, request)))
            else:
                self.writer.unclaim((job, request), due=due)
        self.wake()

    def call(self, function: Callable[..., object], *values: Any) -> None:
        """Call the function in the thread of the event loop."""
        self._calls.append((function, values))
        self.wake()

    def take_back(self, patience: float = PATIENCE) -> list[Item]:
        """Take back the jobs that were claimed ``patience`` seconds ago, and have not begun."""
        before, found = time.monotonic() - patience, []
        with self._lock:
            while self._ready and self._ready[0][0] <= before:
                found.append(self._ready.popleft()[1])
        for message in list(self._messages):
            if message.since <= (before if message.pid or not patience else before + PATIENCE - START_PATIENCE):
                found += self._take_back(message)
                self._report_ended(message)
                if message.turned_long():
                    self.call(self._show, message)
        if found and patience:
            self._times.claimed_too_many()
        return found

    def open(self, loop: Hub | None) -> None:
        """Hand out jobs from now on, in the thread of this event loop if there is one."""
        self._loop, self.closed, self._awake = loop, False, False
        self.wake()

    def close(self) -> None:
        """Hand out no more jobs; threads that end jobs make the calls of the event loop."""
        self._loop, self.closed = None, True
        self.wake()

    def wake(self) -> None:
        """Make ``give`` be called soon."""
        loop = self._loop  # Another thread may close it.
        if loop is None:
            self.give()
        elif not self._awake:
            self._awake = True
            if threading.get_ident() == self._giver:  # kombu would wait for an event before it makes this call.
                loop.call_later(0.001, self.give)
            else:
                loop.call_soon(self.give)

    def holds_ahead(self) -> bool:
        """Whether it has jobs that have not begun, which may have to be taken back."""
        return bool(self._ready) or any(message.left() > 1 for message in list(self._messages))

    def in_hand(self) -> set[tuple[str, str]]:
        """Job and token of everything that is claimed and has not ended."""
        with self._lock:
            jobs = [job for _, (job, _) in self._ready] + [job for job, _ in self._sending]
            jobs += [job for message in self._messages for job, _ in message.items]
        return {(job.uuid, job.token) for job in jobs}

    def give(self) -> None:
        """Call what other threads want to be called here, then hand jobs to idle processes."""
        self._awake, self._give_again = False, True
        while self._give_again and self._giving.acquire(blocking=False):
            try:
                self._give_again, self._giver = False, threading.get_ident()
                self._give()
            finally:
                self._giver = 0
                self._giving.release()

    def stop_job(self, uuid: str) -> None:
        """Stop a job that is to be cancelled, wherever it is."""
        with self._lock:
            ready = next((entry for entry in self._ready if entry[1][0].uuid == uuid), None)
            if ready is not None:
                self._ready.remove(ready)
                self._report(*ready[1], Revoked(TERMINATED))
                return
        for message in list(self._messages):
            if any(job.uuid == uuid for job, _ in message.items):
                self._stop_in(message, uuid)

    def stop_shared(self) -> None:
        """Stop the jobs that share a message, to be put back; Celery stops those whose requests it knows."""
        for message in [message for message in list(self._messages) if not message.alone]:
            for item in self._take_back(message):
                self.writer.unclaim(item)
            self._report_ended(message)
            if message.left() and message.pid is not None and not message.shown:
                with suppress(NotImplementedError):
                    self._worker.pool.terminate_job(message.pid, TERM_SIGNAL)

    def _stop_in(self, message: Message, uuid: str) -> None:
        """Stop a job of a message: it has not begun, or is the last one that has, or it has just ended."""
        for item in self._take_back(message):
            if item[0].uuid == uuid:
                self._report(*item, Revoked(TERMINATED))
            else:
                self.writer.unclaim(item)
        if not message.items or message.items[-1][0].uuid != uuid:
            return
        request = message.items[-1][1]
        message.cancelled = uuid
        if message.alone and request is not None:
            request.terminate(self._worker.pool)
        elif message.pid is not None:
            self._worker.pool.terminate_job(message.pid, TERM_SIGNAL)

    def _show(self, message: Message) -> None:
        """Show Celery's remote control the job at hand of a message that several jobs have shared."""
        with self._lock:
            request = message.show(partial(row_request.request_of, self._worker))
        if request is not None:
            request.show(message.pid, message.since)

    def _processes(self) -> int:
        """How many processes the pool has, or may have if it scales itself."""
        scaler = self._worker.autoscaler
        return int(self._worker.pool.num_processes if scaler is None else scaler.max_concurrency)

    def _give(self) -> None:
        while self._calls:
            function, values = self._calls.popleft()
            try:
                function(*values)
            except Exception:
                # Such as an acknowledgement that the broker's library refuses; the worker must go on.
                logger.exception("Unhandled exception while ending a job")
        end = time.monotonic() + LONGEST_GIVE
        while not self.closed and (idle := self._processes() - len(self._messages)) > 0:
            if not (items := self._next(idle)):
                return
            try:
                self._send(items)
            except Exception:
                # Such as a message that cannot be made; the worker must go on.
                logger.exception("Cannot send job %s to the pool", items[0][0].uuid)
                for job, request in items:
                    self._report(job, request, Lost("it could not be sent to the pool"))
            self._sending = ()
            if time.monotonic() >= end:
                self.wake()
                return

    def _next(self, idle: int) -> list[Item]:
        """The jobs of the next message; none if the first was claimed long ago, as it is about to be taken back."""
        items: list[Item] = []
        work = 0.0
        with self._lock:
            shared = self._tokens is not None and self._tokens.any()
            size = min(MOST_JOBS, -(-len(self._ready) // idle)) if shared else 1
            while self._ready and len(items) < size:
                at, item = self._ready[0]
                expected = self._times.expected(item[0].task) if row_request.may_share(self._worker, item) else None
                if time.monotonic() - at > PATIENCE or (items and (expected is None or work + expected > MOST_WORK)):
                    break
                items.append(self._ready.popleft()[1])
                if expected is None:
                    break
                work += expected
            self._sending = items
        return items

    def _send(self, items: list[Item]) -> None:
        worker = self._worker
        alone = len(items) == 1
        if alone:
            job, request = items[0]
            request = request or row_request.received(worker, job)
            if request is None:  # It was revoked, and this is reported.
                return
            items[0] = job, request
        lane = self._tokens.lend(len(items)) if self._tokens else None
        message = Message(items, lane, time.monotonic(), short=self._times.expected(items[0][0].task) is not None)
        with self._lock:
            self._messages.add(message)
            self._sending = ()
        orders = [Order(job, request and request.request_dict, request and request.body) for job, request in items]

        def accepted(pid: int, at: float) -> None:
            message.pid = pid
            if alone and request is not None and message.items:  # It may have been taken back.
                request.on_accepted(pid, at)

        callbacks = {
            "callback": partial(self._finish, message),
            "error_callback": partial(self._lose, message),
            "accept_callback": accepted,
        }
        try:
            if alone and request is not None:
                request.start(worker.pool, run, (orders, worker.hostname, lane), **callbacks)
            else:
                worker.pool.apply_async(run, (orders, worker.hostname, lane), **callbacks)
        except Exception:
            self._release(message)
            raise

    def _finish(self, message: Message, done: Done | None) -> None:
        """Report the jobs of a message that the pool has run; it may have begun none, or not all."""
        self._report_ended(message, done)
        for item in self._take_back(message):
            self.writer.unclaim(item)
        for job, request in message.at_hand():  # Billiard gave the message of a dead process to another one.
            self._report(job, request, Lost("its process ended"))
        self._release(message)

    def _report_ended(self, message: Message, done: Done | None = None) -> None:
        """Report the jobs of a message that have ended since the last look; ``done`` is that of the only one."""
        with self._lock:
            ended: Sequence[tuple[int, Done]] = message.read_outcomes() or (((0, done),) if done else ())
            message.ended.update(number for number, _ in ended)
        for number, one in ended:
            job, request = message.items[number]
            self._times.note(job.task, one.seconds)
            if not (message.alone or message.shown):
                state.total_count[job.task] += 1
                state.all_total_count[0] += 1
            settle = None if request is None else partial(request.settle, one.returned)
            for report in one.reports:
                self.writer.report(report, settle)
            if settle is not None and not one.reports:  # The attempt has reported itself.
                self.call(settle)

    def _lose(self, message: Message, failure: Any) -> None:
        """Report the jobs of a message whose process is gone: those that have ended, and the one at hand, if any."""
        self._report_ended(message)
        for item in self._take_back(message):
            self.writer.unclaim(item)
        for job, request in message.at_hand():
            self._times.note(job.task, UNSAFE)
            if job.uuid == message.cancelled and not message.alone:
                self._report(job, request, Revoked(TERMINATED))
            elif request is not None and (message.alone or message.shown):
                request.on_failure(failure)
            else:
                self._report(job, request, Lost(str(failure.exception)))
        self._release(message)

    def _report(self, job: ClaimedJob, request: JobRequest | None, outcome: Outcome) -> None:
        self.writer.report(report_of(outcome, job.uuid, job.token), request and partial(request.settle, None))

    def _release(self, message: Message) -> None:
        """Forget a message that no process reads any more."""
        with self._lock:
            self._messages.discard(message)
            lane, message.lane = message.lane, None
            if lane is not None and self._tokens is not None:
                self._tokens.end(lane)
        self.writer.wake()
        self.wake()

    def _take_back(self, message: Message) -> list[Item]:
        """Take back the jobs of a message that have not begun: its last ones."""
        with self._lock:
            return message.take_back()
