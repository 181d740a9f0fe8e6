"""How long the jobs of each task have lately taken, which bounds how many jobs a worker claims ahead."""

from collections import deque

SHORT = 0.005
"""Seconds below which a job is short: several of them travel in one pool message."""
MOST_WORK = 0.02
"""Seconds of expected work in one pool message."""
MOST_JOBS = 64
"""The most jobs of one pool message."""
ENOUGH = 3
"""The number of jobs of a task that must have been short before others count as short."""
LATEST = 32
"""The number of jobs, of all tasks, by which the worker decides whether to claim ahead."""
DECAY = 0.98
"""By how much the maximum of a task shrinks with each job that takes less."""


class RunTimes:
    """The recent maximum of each task, and the run times of the worker's latest jobs; in seconds."""

    def __init__(self) -> None:
        self._longest: dict[str, float] = {}
        self._seen: dict[str, int] = {}
        self._latest: deque[float] = deque(maxlen=LATEST)

    def note(self, task: str, seconds: float) -> None:
        """Note the run time of a job."""
        self._longest[task] = max(seconds, DECAY * self._longest.get(task, 0.0))
        self._seen[task] = self._seen.get(task, 0) + 1
        self._latest.append(seconds)

    def expected(self, task: str) -> float | None:
        """The most that a job of the task is expected to take, if it is short; ``None`` if it may take longer."""
        longest = self._longest.get(task, SHORT)
        return longest if longest < SHORT and self._seen[task] >= ENOUGH else None

    def ahead(self) -> int:
        """How many jobs for each pool process to claim ahead: 0 unless all of the latest jobs were short."""
        latest = list(self._latest)
        if len(latest) < ENOUGH or max(latest) >= SHORT:
            return 0
        return max(1, min(MOST_JOBS, int(MOST_WORK * len(latest) / (sum(latest) or 1e-6))))
