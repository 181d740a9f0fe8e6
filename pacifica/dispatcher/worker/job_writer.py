"""The thread that writes to the record for a worker: it claims jobs, and stores how their attempts ended.

Each turn is one transaction: the reports that have come since the last one, and the claims for which the pool has
room. If the database is unavailable, the turn is repeated until it is stored; meanwhile nothing is claimed, and the
worker's event loop goes on.
"""

import logging
import os
import secrets
import threading
import time
from collections import deque
from collections.abc import Callable, Container, Sequence
from contextlib import suppress
from functools import partial

from ..core import failpoints
from ..core.backoff import backoff
from ..core.errors import DatabaseUnavailable
from ..core.job import now
from ..core.work import Report, Returned, TasklessJob, Turn, WantedJobs
from ..store.connections import driver_errors
from ..store.work_queue import WorkQueue
from .claim import report_missing
from .job_request import JobRequest
from .writer_partners import Item, Pool, Watch

logger = logging.getLogger(__name__)

PACE, BUSY_PACE = 0.002, 0.008
"""The least seconds between two turns while jobs run, so that those which end in quick succession share one.

The second is for a worker that has enough to do.
"""
LONGEST_WAIT = 0.5
"""Seconds after which an idle worker looks for jobs, whatever the watch has noticed."""
SHORT_WAIT = 0.05
"""Seconds after which a worker looks again at the claimed jobs that have not begun."""
MOST_REPORTS = 500
"""The most reports of one turn."""
MOST_STRANGE = 12
"""Failures of a turn, one after the other, with an error that is not known as an outage: a row may be the cause."""
Then = Callable[[str | None], object]
"""Called with the kind of event that a report became, once it is committed; ``None`` for a report that was late."""


class JobWriter:
    """Claims and reports for one worker, under the id ``holder`` and the name ``worker``.

    ``queues`` returns the names of the queues whose rows are claimed; it is ``None`` if jobs come as messages. Rows of
    other tasks than ``tasks`` are left for ``defer`` microseconds, and ``on_taskless`` is called with each.
    """

    def __init__(  # noqa: PLR0913 - each is a part of the worker
        self,
        queue: WorkQueue,
        watch: Watch,
        pool: Pool,
        *,
        worker: str,
        holder: str,
        queues: Callable[[], Sequence[str]] | None,
        tasks: Container[str] | None = None,
        defer: int = 0,
        on_taskless: Callable[[TasklessJob], object] = lambda _: None,
    ) -> None:
        self._queue = queue
        self._watch = watch
        self._pool = pool
        self._who = {"worker": worker, "holder": holder}
        self._queues = queues
        self._tasks, self._defer, self._on_taskless = tasks, defer, on_taskless
        self._pid = os.getpid()
        self._reports: deque[tuple[Report, Then | None]] = deque()
        self._requests: deque[JobRequest] = deque()
        self._actions: deque[Callable[[], object]] = deque()
        self.claimed_messages = 0
        self._alone = 0
        self._idle = False
        self._storing: Sequence[tuple[Report, Then | None]] = ()
        self._claiming = False
        self._ended_by: float | None = None
        self._thread = threading.Thread(target=self._run, name="job-writer", daemon=True)

    @property
    def ours(self) -> bool:
        """Whether this is the process that made the writer, not a pool process that was forked from it."""
        return os.getpid() == self._pid

    def report(self, report: Report, then: Then | None = None) -> None:
        """Store a report with the next turn; for any thread."""
        self._reports.append((report, then))
        self._watch.wake()

    def claim(self, request: JobRequest) -> None:
        """Claim the job of a delivered message as soon as the pool has room."""
        self._requests.append(request)
        self._watch.wake()

    def waiting_messages(self) -> int:
        """How many delivered messages have jobs that are not claimed yet."""
        return len(self._requests)

    def surrender(self, number: int) -> list[JobRequest]:
        """Forget up to so many of them, the latest first, and return these."""
        return _take(self._requests.pop, number)

    def unclaim(self, item: Item, *, due: int | None = None) -> None:
        """Return a job that was not begun to the queue; the message of one that came by a message is claimed again."""
        (job, request), at = item, now()
        if request is not None:
            self._pool.call(request.forget)
        if request is not None and not request.is_row:
            again = None if not self._claiming else lambda _: self.claim(request)
            # Of a connection that is lost, the broker has given the message to others, who saw a job that was started.
            self.report(Returned(job.uuid, job.token, at, None if self._claiming else at), again)
            return
        self.report(Returned(job.uuid, job.token, at, at if due is None else due))

    def do(self, action: Callable[[], object]) -> None:
        """Have the writer's thread do something with the record, once; what it raises is logged."""
        self._actions.append(action)
        self._watch.wake()

    def wake(self) -> None:
        """Have the thread look again at what the pool has room for."""
        self._watch.wake()

    def start(self) -> None:
        """Claim from now on."""
        self._claiming = True
        if self._thread.ident is None:
            self._thread.start()
        self._watch.wake()

    def claim_no_more(self) -> None:
        """Claim no more jobs; the next turn returns those that have not begun. Takes no lock, for a signal handler."""
        self._claiming = False

    def pause(self, *, for_good: bool = False) -> None:
        """Claim no more jobs, and return those that have not begun to the queue; reports are stored as before.

        Messages whose jobs are not claimed return to the broker with its connection; ``for_good`` returns them now, as
        the connection is open until all running jobs have ended.
        """
        self._claiming = False
        for request in _take(self._requests.popleft, len(self._requests)):
            if for_good:
                self._pool.call(request.give_back)
        for item in self._pool.take_back(0.0):
            self.unclaim(item)

    def stop(self, timeout: float) -> None:
        """Store what has been reported, for at most ``timeout`` seconds, and end the thread."""
        self._claiming = False
        self._ended_by = time.monotonic() + timeout
        self._watch.wake()
        if self._thread.ident is not None:
            self._thread.join(timeout + 1)

    def in_hand(self) -> set[tuple[str, str]]:
        """Job and token of the reports that are not stored yet."""
        return {(report.uuid, report.token) for report, _ in self._reports.copy()}

    def _run(self) -> None:
        while True:
            begin, ends = time.monotonic(), self._ended_by is not None
            try:
                again = self._work()
            except DatabaseUnavailable as error:
                logger.warning("The worker pauses: %s", error)
                again = False
            except Exception:
                # Without this thread the worker would run no jobs any more, and no one would notice.
                logger.exception("Unhandled exception while claiming and reporting jobs")
                again = False
            if self._ended_by is not None and (time.monotonic() > self._ended_by or (ends and not self._reports)):
                break
            if not (again or self._reports):
                self._sleep()
            pace = BUSY_PACE if again and not self._pool.starved() else PACE
            if (pause := begin + pace - time.monotonic()) > 0 and not self._pool.empty():
                time.sleep(pause)
        self._watch.close()

    def _sleep(self) -> None:
        """Wait until there may be something to do."""
        try:
            self._watch.wait(self._longest_wait())
        except Exception:
            logger.exception("Unhandled exception while waiting for jobs")
            time.sleep(LONGEST_WAIT)

    def _work(self) -> bool:
        """Do what is asked for, and take a turn; returns whether there may be more to claim at once."""
        while self._actions:
            self._actions.popleft()()
        for item in self._pool.take_back() if self._claiming else self._pool.take_back(0.0):
            self.unclaim(item)
        return self._turn()

    def _longest_wait(self) -> float:
        """The seconds until a job with an ``eta`` is due, if that is soon and there is nothing else to do."""
        if self._pool.holds_ahead():
            return SHORT_WAIT
        if not self._idle or self._queues is None or not self._claiming:
            return LONGEST_WAIT
        try:
            due = self._queue.next_due(self._queues(), now())
        except DatabaseUnavailable:
            due = None
        return LONGEST_WAIT if due is None else min(LONGEST_WAIT, max(PACE, (due - now()) / 1_000_000))

    def _turn(self) -> bool:
        room = max(0, self._pool.room()) if self._claiming else 0
        if not (self._reports or self._requests):
            self._alone = 0
        most = 1 if self._alone else MOST_REPORTS
        wanted = None if self._alone else self._wanted(room - len(self._requests))
        self._idle = not (self._reports or (self._requests and room))
        if self._idle and (wanted is None or not self._queue.ready(wanted.queues, now())):
            return False
        self._idle = False
        self._storing = [self._reports[number] for number in range(min(len(self._reports), most))]
        # One that cannot be stored must be alone, to be found.
        room = 0 if self._alone and self._storing else min(room, most)
        requests = _take(self._requests.popleft, room)
        try:
            turn = self._stored([report for report, _ in self._storing], wanted, requests)
        except Exception:
            self._repeat_alone(wanted, requests)
            raise
        if turn is None:
            self._ended_by = 0.0
            return False
        self._alone = max(0, self._alone - 1)
        self.claimed_messages += len(requests)
        if self._storing:
            failpoints.reach("after-finish")
        self._end(turn.outcomes)
        claimed: list[Item] = [(job, None) for job in turn.rows]
        for request, job in zip(requests, turn.claims, strict=True):
            if job is None:
                self._pool.call(request.drop)
                plain = request.new is not None
                self.do(partial(report_missing, request.app.container, request.id, request.type, plain=plain))
            else:
                request.grant(job)
                claimed.append((job, request))
        if claimed:
            self._pool.add(claimed)
        for taskless in turn.taskless:
            self.do(partial(self._on_taskless, taskless))
        return wanted is not None and len(turn.rows) == wanted.limit

    def _end(self, outcomes: Sequence[str | None]) -> None:
        """Forget the reports of the turn, and call what follows them."""
        storing, self._storing = self._storing, ()
        for (_, then), became in zip(storing, outcomes, strict=True):
            self._reports.popleft()
            if then is not None:
                self._pool.call(then, became)

    def _repeat_alone(self, wanted: WantedJobs | None, requests: Sequence[JobRequest]) -> None:
        """Repeat a turn that has failed in short turns, so that what cannot be stored harms nothing else.

        A report that fails alone is dropped: the heartbeat puts its job back. So is a message: it is published again,
        unless it is a plain one.
        """
        number = len(self._storing) + len(requests)
        if number == 1 and wanted is None:
            self._alone = max(0, self._alone - 1)
            for request in requests:
                logger.error("The message of task %s with the id %s is dropped.", request.type, request.id)
                self._pool.call(request.drop)
                if request.new is not None:
                    self.do(request.app.container.event_counts.add_refused_message)
            self._end([None] * len(self._storing))
        elif number:
            self._requests.extendleft(reversed(requests))
            self._alone = number
        self._storing = ()

    def _wanted(self, limit: int) -> WantedJobs | None:
        queues = self._queues() if self._queues is not None and limit > 0 else ()
        return WantedJobs(queues, limit, self._tasks, self._defer) if queues else None

    def _stored(
        self, reports: Sequence[Report], wanted: WantedJobs | None, requests: Sequence[JobRequest]
    ) -> Turn | None:
        """Take the turn in the record; ``None`` if the worker is to end, and the database stays unavailable."""
        if reports:
            failpoints.reach("before-turn")
        token = secrets.token_hex(16)
        messages = [request.claims() for request in requests]
        again, strange, pauses = False, 0, backoff(0.05, 2.0)
        while True:
            try:
                turn = self._queue.turn(reports, wanted, messages, token=token, at=now(), again=again, **self._who)
            except DatabaseUnavailable as error:
                strange = strange + 1 if _may_come_of_a_row(error) else 0
                if strange >= MOST_STRANGE and self._queue.takes_writes(self._who["holder"]):
                    raise
                if not again:
                    logger.warning("The worker waits to claim and to report: %s", error)
                again = True
            else:
                if again:
                    logger.warning("The database is available again.")
                return turn
            pause = next(pauses)
            if self._ended_by is not None and time.monotonic() + pause > self._ended_by:
                logger.error("%d outcomes cannot be stored; their jobs will run again.", len(reports))
                return None
            time.sleep(pause)


def _take(pop: Callable[[], JobRequest], number: int) -> list[JobRequest]:
    """Up to so many requests of a deque, which another thread may empty meanwhile."""
    taken: list[JobRequest] = []
    with suppress(IndexError):
        taken.extend(pop() for _ in range(number))
    return taken


def _may_come_of_a_row(error: DatabaseUnavailable) -> bool:
    """Whether the database reports an error that is not known as an outage."""
    return (
        error.__cause__ is not None
        and driver_errors.kind(error.__cause__) == "other"
        and not driver_errors.is_rolled_back(error)
    )
