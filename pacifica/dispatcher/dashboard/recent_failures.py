"""The failures of the last hour: how many of each task, in the verdict and in the charts alike."""

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from ..core.histogram import upper_bound
from ..core.job import State, iso
from ..store.job_minutes import MINUTE, EndedJobs, HistoryRow, MinuteKey
from ..store.present_jobs import FailedJob


class FailingTask(NamedTuple):
    """A task with failures in the last hour, and the time from which its list of jobs shows all of them."""

    task: str
    jobs: int
    since: str | None


class RecentFailures(NamedTuple):
    """The failures that the history has counted, by minute, those that it has not counted yet, and their tasks."""

    counted: Sequence[HistoryRow]
    uncounted: Sequence[HistoryRow]
    tasks: Sequence[FailingTask]

    @property
    def jobs(self) -> int:
        return sum(task.jobs for task in self.tasks)

    def complete(self, history: Sequence[HistoryRow], column: int) -> Sequence[HistoryRow]:
        """The history with these failures, for columns of so many seconds.

        Columns of a minute get the failures of this reading, and not those of a moment before.
        """
        if column != MINUTE:
            return [*history, *self.uncounted]
        others = (row for row in history if row.key.outcome != State.FAILURE.value)
        return [*others, *self.counted, *self.uncounted]


def recent_failures(counted: Sequence[HistoryRow], newest: Sequence[FailedJob], since: int, at: int) -> RecentFailures:
    """The failures from ``since`` to ``at``, in seconds; ``newest`` are the newest failed jobs, the last one first.

    The history lags some seconds, and has no callers; the newest failures are only some. The higher of both numbers
    counts.
    """
    lately = [job for job in newest if job.finished >= since * 1_000_000]
    uncounted = list(_uncounted(counted, lately, at))
    return RecentFailures(counted, uncounted, _tasks([*counted, *uncounted], lately, since))


def _uncounted(counted: Sequence[HistoryRow], lately: Sequence[FailedJob], at: int) -> Iterator[HistoryRow]:
    missing = Counter(job.task for job in lately)
    for key, ended in counted:
        missing[key.task] -= ended.jobs
    for job in lately:
        if missing[job.task] > 0:
            missing[job.task] -= 1
            start = min(at, job.finished // 1_000_000) // MINUTE * MINUTE
            yield HistoryRow(MinuteKey(MINUTE, start, job.task, State.FAILURE.value), EndedJobs(1))


def _tasks(rows: Sequence[HistoryRow], lately: Sequence[FailedJob], since: int) -> Sequence[FailingTask]:
    """The tasks, most failures first; a list of the jobs must begin when the first of them was created."""
    jobs = Counter[str]()
    first = {job.task: job.created for job in sorted(lately, key=lambda job: -job.created)}
    for key, ended in rows:
        jobs[key.task] += ended.jobs
        longest = sum(upper_bound(max(times)) for times in (ended.run, ended.wait) if times)
        earliest = int((since - longest) * 1_000_000)
        first[key.task] = min(earliest, first.get(key.task, earliest))
    return [FailingTask(task, number, iso(first[task])) for task, number in jobs.most_common()]
