"""The time that the jobs of each task have lately taken, which bounds how many jobs a worker claims ahead."""

from collections import deque

SHORT = 0.02
"""Seconds below which a job is short: several of them travel in one pool message."""
MOST_WORK = 0.02
"""Seconds of expected work in one pool message."""
MOST_JOBS = 64
"""The most jobs of one pool message."""
ENOUGH = 3
"""The number of jobs of a task that must have been short before others count as short."""
LATEST = 32
"""The number of jobs, of all tasks, by which the worker decides how many to claim ahead."""
DECAY, WEIGHT = 0.9, 0.1
"""By how much a task's maximum shrinks with each job that takes less, and how much each job counts in its mean."""
RECOVERY = 0.002
"""By how much the share of jobs to claim ahead grows with each job, after it was halved."""


class RunTimes:
    """The recent maximum and mean of each task, and the run times of the worker's latest jobs; in seconds."""

    def __init__(self) -> None:
        self._tasks: dict[str, tuple[int, float, float]] = {}
        self._latest: deque[float] = deque(maxlen=LATEST)
        self._share = 1.0

    def note(self, task: str, seconds: float) -> None:
        """Note the run time of a job."""
        number, longest, mean = self._tasks.get(task, (0, 0.0, seconds))
        self._tasks[task] = number + 1, max(seconds, DECAY * longest), mean + WEIGHT * (seconds - mean)
        self._latest.append(seconds)
        self._share = min(1.0, self._share + RECOVERY)

    def claimed_too_many(self) -> None:
        """Claim fewer jobs ahead for a while: some had to be taken back, as on a machine that is busy otherwise."""
        self._share /= 2

    def expected(self, task: str) -> float | None:
        """The mean of a task whose jobs are short; ``None`` if one of them may take longer."""
        number, longest, mean = self._tasks.get(task, (0, 0.0, 0.0))
        return mean if number >= ENOUGH and longest < SHORT else None

    def ahead(self) -> int:
        """How many jobs for each pool process to claim ahead: 0 unless the latest jobs were short on average."""
        latest = list(self._latest)
        if len(latest) < ENOUGH:
            return 0
        mean = max(sum(latest) / len(latest), MOST_WORK / MOST_JOBS)
        return int(self._share * MOST_WORK / mean)
