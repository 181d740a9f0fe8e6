"""Waits until a job is final, and streams events."""

import logging
import math
import statistics
import sys
import time
from collections.abc import Callable, Generator, Iterator
from typing import NamedTuple

from ..core.errors import DatabaseUnavailable, TooManyWaiting
from ..core.job import Event, Job, State, now
from ..core.permissions import Visibility
from ..store.events import EventStore
from ..store.jobs import JobStore
from .event_feed import GRACE, EventFeed

logger = logging.getLogger(__name__)

PAGE = 500
"""How many events a stream reads at once."""
BREATH = 50
"""The number of events after which a stream lets an event loop run other requests."""
KEEP = 10.0
"""How long a task's typical run time is cached, in seconds."""
LONGEST_ADVICE = 60
"""The maximum of ``retry_after``, in seconds."""


class WaitResult(NamedTuple):
    """A job in its current state, and whether the request waited for it."""

    job: Job
    waited: bool


class Waiting:
    """Waits for the jobs of one record; ``feed`` notifies it of events.

    ``heartbeat`` is the longest silence of a stream, and ``limit`` the longest wait of a request, both in seconds.
    """

    def __init__(self, jobs: JobStore, history: EventStore, feed: EventFeed, *, heartbeat: float, limit: float) -> None:
        self.limit = limit
        self.feed = feed
        self._history = history
        self._jobs = jobs
        self._heartbeat = heartbeat
        self._typical: dict[str, tuple[float, float]] = {}

    def until_final(self, job: Job, seconds: float, gone: Callable[[], bool] = lambda: False) -> WaitResult:
        """Return the job to show once it is final, or after ``seconds``; at once if all places are taken.

        If ``gone()`` reports that the client has disconnected, the wait ends within ``EventFeed.relook`` seconds. If
        the database becomes unavailable, the job is returned as last read, because it was accepted in any case.
        """
        if job.final or seconds <= 0:
            return WaitResult(job, job.final)
        end = time.monotonic() + seconds
        try:
            with self.feed.subscribe(job.uuid) as subscription:
                while True:
                    job = self._jobs.get(job.uuid, large_as_text=True) or job
                    left = end - time.monotonic()
                    if job.final or left <= 0 or self.feed.stopped or gone():
                        return WaitResult(job, waited=True)
                    subscription.wait(min(left, self.feed.relook))
        except (TooManyWaiting, DatabaseUnavailable) as error:
            logger.debug("The wait for job %s ends: %s", job.uuid, error)
            return WaitResult(job, waited=False)

    def follow(
        self, visibility: Visibility, after: int | None = None, job: str | None = None
    ) -> Generator[int | Event]:
        """Yield the visible events after ``after`` as they happen, of one job or of all.

        The first value, and one after each silence, is the id after which to continue if the stream is cut off.
        Without ``after`` the stream has the whole history of a job, and of all jobs the events from now on. It ends
        when the job is final, when the server stops, and when the database becomes unavailable. Raises
        ``TooManyWaiting`` and ``DatabaseUnavailable`` before the first value.
        """
        with self.feed.subscribe(job, stream=True) as subscription:
            place = after if after is not None else self.feed.position if job is None else 0
            yield place
            sent = time.monotonic()
            try:
                while True:
                    last = self.feed.stopped or (job is not None and self._is_final(job))
                    end = self.feed.position if job is None else sys.maxsize
                    number = 0
                    for number, event in enumerate(self._between(place, end, job, visibility), 1):
                        place, sent = event.id, time.monotonic()
                        yield event
                        if number % BREATH == 0:
                            subscription.wait(0)
                    place = place if job is not None else max(place, end)
                    if last:
                        return
                    if number >= BREATH:  # It may have been notified meanwhile.
                        continue
                    if time.monotonic() - sent >= self._heartbeat:
                        sent = time.monotonic()
                        yield place
                    subscription.wait(min(self.feed.relook, self._heartbeat))
            except DatabaseUnavailable as error:
                logger.warning("An event stream ends: %s", error)

    def page(self, after: int, limit: int, visibility: Visibility) -> tuple[list[Event], int]:
        """The visible events among the next ``limit`` ones of all jobs, and the id after which to continue."""
        place = after
        for event, _, at, _ in self._history.peek(after, limit):
            # An event that is missing before a recent one may not be committed yet.
            if event > place + 1 and not self._history.ordered and now() - at < GRACE * 1_000_000:
                break
            place = event
        return self._history.between(after, place, limit, visibility=visibility), place

    def retry_after(self, job: Job) -> int:
        """Seconds after which a client should poll again, by the job's start and the recent run times of its task."""
        typical = self._typical_run(job.task)
        if job.state is not State.STARTED:
            typical += max(0, (job.eta or 0) - now()) / 1_000_000
        elif job.started is not None:
            typical -= (now() - job.started) / 1_000_000
        return min(LONGEST_ADVICE, max(1, math.ceil(typical)))

    def _between(self, after: int, end: int, job: str | None, visibility: Visibility) -> Iterator[Event]:
        """The visible events up to ``end``; the cost of a page does not depend on how many of them are visible."""
        while job is not None and (page := self._history.between(after, end, PAGE, job, visibility)):
            yield from page
            after = page[-1].id
        while job is None and after < end and (found := self._history.peek(after, PAGE)):
            last = min(end, found[-1][0])
            yield from self._history.between(after, last, PAGE, visibility=visibility)
            after = last

    def _is_final(self, uuid: str) -> bool:
        job = self._jobs.get(uuid, large_as_text=True)
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
