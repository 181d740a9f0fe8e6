"""How the jobs of each task went within the last day: how many failed, and how long they ran."""

import time
from collections import defaultdict
from collections.abc import Collection, Mapping
from typing import NamedTuple

from ..core.errors import DatabaseUnavailable
from ..core.histogram import Histogram, quantiles, total
from ..core.job import State
from ..core.permissions import READ
from ..core.registry import Registry
from ..core.ttl_cache import TtlCache
from ..store.job_minutes import DAY, HOUR_SPAN, EndedJobs
from ..store.present_jobs import PresentJobs
from ..web.request.request_context import caller

KEPT = 15.0
"""How many seconds the figures are shown before they are read again."""
PAST_KEPT = 600.0
"""As ``KEPT``, for the hours before the last one, which change only if the counting of ended jobs is late."""


class TaskFigures(NamedTuple):
    """The ended jobs of a task: their number, how many of those that ran failed, and run times in seconds."""

    jobs: int
    ran: int
    failed: int
    median: float | None
    slow: float | None

    @property
    def failed_share(self) -> str:
        """The share that failed, in percent; it is rounded to 0 or 100 only if it is exact."""
        if not self.ran:
            return "—"
        percent = 100 * self.failed / self.ran
        if percent in {0, 100} or 1 <= percent <= 99:
            return f"{percent:.0f} %"
        return "< 1 %" if percent < 1 else "> 99 %"


Sums = Mapping[tuple[str, str], EndedJobs]
"""The ended jobs by task and outcome."""


class DayFigures:
    """The figures of every task of a registry.

    Only the last hours are read again after ``KEPT`` seconds: those of a day take 200 ms for 200 busy tasks.
    """

    def __init__(self, record: PresentJobs, registry: Registry) -> None:
        self._record = record
        self._registry = registry
        self._past = TtlCache(self._read_past, PAST_KEPT)
        self._cache = TtlCache(self._read, KEPT)

    def of_caller(self) -> Mapping[str, TaskFigures]:
        """The figures of each task whose jobs this caller may see and that has any; empty without a database.

        They are of the hours that began within the last day, the present one included.
        """
        visibility = caller().visibility(READ)
        if visibility.caller is not None:
            return {}
        try:
            found = self._cache.get()
        except (DatabaseUnavailable, TimeoutError):
            return {}
        return {task: each for task, each in found.items() if visibility.matches(task)}

    def _read(self) -> Mapping[str, TaskFigures]:
        until, past = self._past.get()
        by_task: dict[str, list[tuple[str, EndedJobs]]] = defaultdict(list)
        for sums in (past, self._sums(until, None)):
            for (task, outcome), jobs in sums.items():
                by_task[task].append((outcome, jobs))
        return {task: _figures(found) for task, found in by_task.items()}

    def _read_past(self) -> tuple[int, Sums]:
        """The sums of the day before the last full hour, and the time at which they end, in seconds."""
        now = int(time.time())
        until = now // HOUR_SPAN * HOUR_SPAN - HOUR_SPAN
        return until, self._sums(now - DAY, until)

    def _sums(self, since: int, before: int | None) -> Sums:
        found: dict[tuple[str, str], EndedJobs] = defaultdict(EndedJobs)
        for key, ended in self._record.history_of_tasks(HOUR_SPAN, since, self._registry, before=before):
            found[key.task, key.outcome].add(ended)
        return found


def _figures(rows: Collection[tuple[str, EndedJobs]]) -> TaskFigures:
    number = {state: sum(ended.jobs for outcome, ended in rows if outcome == state.value) for state in State}
    run: Histogram = total(ended.run for _, ended in rows)
    failed = number[State.FAILURE]
    median, slow = quantiles(run, (0.5, 0.95)) or (None, None)
    return TaskFigures(sum(number.values()), failed + number[State.SUCCESS], failed, median, slow)
