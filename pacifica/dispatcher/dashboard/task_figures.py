"""How the jobs of each task went within the last day: how many failed, and how long they ran."""

import time
from collections import defaultdict
from collections.abc import Collection, Mapping
from typing import NamedTuple

from ..core.errors import DatabaseUnavailable
from ..core.histogram import Histogram, quantiles, total
from ..core.job import State
from ..core.permissions import READ
from ..store.job_minutes import DAY, HOUR_SPAN, EndedJobs
from ..store.present_jobs import PresentJobs
from ..web.request.request_context import caller


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


def figures_of_day(record: PresentJobs, tasks: Collection[str]) -> Mapping[str, TaskFigures]:
    """The figures of each of these tasks that has jobs which this caller may see; empty without a database.

    They are of the hours that began within the last day, the present one included.
    """
    since = int(time.time()) - DAY
    try:
        rows = record.history_of_tasks(caller().visibility(READ), HOUR_SPAN, since, frozenset(tasks))
    except DatabaseUnavailable:
        return {}
    by_task: dict[str, list[tuple[str, EndedJobs]]] = defaultdict(list)
    for key, ended in rows:
        by_task[key.task].append((key.outcome, ended))
    return {task: _figures(found) for task, found in by_task.items()}


def _figures(rows: Collection[tuple[str, EndedJobs]]) -> TaskFigures:
    number = {state: sum(ended.jobs for outcome, ended in rows if outcome == state.value) for state in State}
    run: Histogram = total(ended.run for _, ended in rows)
    failed = number[State.FAILURE]
    median, slow = quantiles(run, (0.5, 0.95)) or (None, None)
    return TaskFigures(sum(number.values()), failed + number[State.SUCCESS], failed, median, slow)
