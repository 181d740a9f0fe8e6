"""Waiting for jobs: until one is final, or for as long as somebody reads what happens."""

import logging
import math
import statistics
import sys
import time
from collections.abc import Callable, Generator, Iterator
from typing import NamedTuple

from ..core.errors import DatabaseUnavailable, TooManyWaiting
from ..core.job import Event, Job, State, now
from ..core.permissions import EVERY_JOB, Visibility
from ..store.events import HistoryStore
from ..store.jobs import JobStore
from .event_feed import GRACE, EventFeed

logger = logging.getLogger(__name__)

RELOOK = 1.0
"""Seconds after which a waiter looks at the record without being told."""
PAGE = 500
"""Events that a stream reads at once."""
KEEP = 10.0
"""Seconds for which a task's typical run time is remembered."""
LONGEST_ADVICE = 60
"""The longest time that a client is told to stay away, in seconds."""


class Waited(NamedTuple):
    """A job as it stands, and whether it was waited for."""

    job: Job
    waited: bool


class Waiting:
    """Waits for the jobs of one record, with a feed that tells when to look.

    ``heartbeat`` is how long a stream may be silent, ``limit`` the longest wait that may be asked for, in seconds.
    """

    def __init__(
        self, jobs: JobStore, history: HistoryStore, feed: EventFeed, *, heartbeat: float, limit: float
    ) -> None:
        self.limit = limit
        self._feed = feed
        self._history = history
        self._jobs = jobs
        self._heartbeat = heartbeat
        self._typical: dict[str, tuple[float, float]] = {}

    def until_final(self, job: Job, seconds: float, gone: Callable[[], bool] = lambda: False) -> Waited:
        """The job once it is final, or after ``seconds``; at once when all places are taken.

        Whoever waits for nobody, as ``gone`` tells, leaves its place within ``RELOOK``.

        What was accepted is not put in doubt: when the database is away in the meantime, the job is told as
        it stood before.
        """
        if job.final or seconds <= 0:
            return Waited(job, job.final)
        end = time.monotonic() + seconds
        try:
            with self._feed.watch(job.uuid) as watch:
                while True:
                    job = self._jobs.get(job.uuid) or job
                    left = end - time.monotonic()
                    if job.final or left <= 0 or self._feed.stopped or gone():
                        return Waited(job, waited=True)
                    watch.wait(min(left, RELOOK))
        except (TooManyWaiting, DatabaseUnavailable) as error:
            logger.debug("the wait for job %s ends: %s", job.uuid, error)
            return Waited(job, waited=False)

    def follow(
        self, after: int | None = None, job: str | None = None, visibility: Visibility = EVERY_JOB
    ) -> Generator[int | Event]:
        """Events behind ``after`` as they happen, of one job or of all.

        First, and when there is silence, comes the place behind which the next one will be, for who is cut off there.

        Without ``after`` it is the whole history of a job, and of all jobs what happens from now on. It ends
        when the job is final, when the server stops, and when the database is away; whoever reads goes on
        behind the last event. Raises ``TooManyWaiting`` and ``DatabaseUnavailable`` before the first value.
        """
        with self._feed.watch(job, stream=True) as watch:
            place = after if after is not None else self._feed.position if job is None else 0
            yield place
            told = time.monotonic()
            try:
                while True:
                    last = self._feed.stopped or (job is not None and self._is_final(job))
                    upto = self._feed.position if job is None else sys.maxsize
                    for event in self._between(place, upto, job, visibility):
                        place, told = event.id, time.monotonic()
                        yield event
                    place = place if job is not None else max(place, upto)
                    if last:
                        return
                    if time.monotonic() - told >= self._heartbeat:
                        told = time.monotonic()
                        yield place
                    watch.wait(min(RELOOK, self._heartbeat))
            except DatabaseUnavailable as error:
                logger.warning("A stream of events ends: %s", error)

    def page(self, after: int, limit: int, visibility: Visibility = EVERY_JOB) -> tuple[list[Event], int]:
        """The visible events among the next ``limit`` ones of all jobs, and the id after which to go on."""
        place = after
        for event, _, at in self._history.peek(after, limit):
            # What is missing before a recent event may still be on its way.
            if event > place + 1 and not self._history.ordered and now() - at < GRACE * 1_000_000:
                break
            place = event
        return self._history.between(after, place, limit, visibility=visibility), place

    def retry_after(self, job: Job) -> int:
        """When to ask for the job again, in seconds, judged by how long its task ran lately, and by when it starts."""
        typical = self._typical_run(job.task)
        if job.state is not State.STARTED:
            typical += max(0, (job.eta or 0) - now()) / 1_000_000
        elif job.started is not None:
            typical -= (now() - job.started) / 1_000_000
        return min(LONGEST_ADVICE, max(1, math.ceil(typical)))

    def _between(self, after: int, upto: int, job: str | None, visibility: Visibility) -> Iterator[Event]:
        """All of them, page by page; a page costs the same, however few of its events are visible."""
        while job is not None and (page := self._history.between(after, upto, PAGE, job)):
            yield from page
            after = page[-1].id
        while job is None and after < upto and (found := self._history.peek(after, PAGE)):
            end = min(upto, found[-1][0])
            yield from self._history.between(after, end, PAGE, visibility=visibility)
            after = end

    def _is_final(self, uuid: str) -> bool:
        job = self._jobs.get(uuid)
        return job is None or job.final

    def _typical_run(self, task: str) -> float:
        until, seconds = self._typical.get(task, (0.0, 0.0))
        if time.monotonic() < until:
            return seconds
        try:
            times = self._history.run_times(task)
        except DatabaseUnavailable:
            return seconds
        seconds = statistics.median(times) / 1_000_000 if times else 0.0
        self._typical[task] = (time.monotonic() + KEEP, seconds)
        return seconds
