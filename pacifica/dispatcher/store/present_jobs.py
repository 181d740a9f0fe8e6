"""The jobs that a caller may see, as they are now: in the queues, with the workers, and failed of late.

A query reads a bounded number of rows by an index, however large the table is, and leaves out those that the caller may
not see.
"""

from collections.abc import Container, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import peewee

from .. import orm
from ..core import strict_json
from ..core.job import WAITING, State
from ..core.permissions import Visibility
from . import job_minutes
from .database import Database
from .outbox import WAITS_SINCE
from .stats import jobs_without_worker
from .visibility import task_names, within

_J, _W = orm.Job, orm.Worker
MOST_WAITING = 10_000
"""The most waiting jobs of each state that are counted, the oldest."""
MOST_LACKING = 1_000
"""The most waiting jobs of each state that are looked at for a task that no worker has."""
MOST_RUNNING = 500
"""The most running jobs that are read."""
NEWEST_FAILURES = 1_000
"""The failed jobs that are looked at: those that were created last."""


@dataclass
class QueuedJobs:
    """The waiting jobs of a queue: those that could start, since when the oldest of them waits, and those for later."""

    queue: str
    jobs: int = 0
    later: int = 0
    since: int | None = None


class RunningJob(NamedTuple):
    """A job that a worker holds; ``holder`` is the worker's id, ``worker`` its name."""

    uuid: str
    task: str
    caller: str
    holder: str | None
    worker: str | None
    started: int | None


class FailedJob(NamedTuple):
    """A job that failed."""

    uuid: str
    task: str
    caller: str
    created: int
    finished: int


class RegisteredWorker(NamedTuple):
    """A worker that has a heartbeat, and runs at most ``capacity`` jobs at once; its queues may not be known yet."""

    holder: str
    name: str
    since: int
    capacity: int
    queues: Sequence[str]


class PresentJobs:
    """The present jobs of one database; raises ``DatabaseUnavailable`` as ``JobStore`` does."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def queues(self, visibility: Visibility, *, at: int, limit: int = MOST_WAITING) -> tuple[list[QueuedJobs], bool]:
        """The queues with waiting jobs, and whether all waiting jobs are counted."""

        def read(db: peewee.Database) -> list[tuple[Any, ...]]:
            queries = [_waiting(state, visibility, at, limit) for state in WAITING]
            return [row for query in queries for row in query.tuples().execute(db)]

        found: dict[str, QueuedJobs] = {}
        counted = dict.fromkeys(WAITING, 0)
        for state, task, queue, mine, ready, later, since in self._database.read(read):
            counted[State(state)] += ready + later
            if mine and visibility.matches(task):
                _add(found.setdefault(queue or "", QueuedJobs(queue or "")), ready, later, since)
        return sorted(found.values(), key=lambda each: each.queue), max(counted.values()) < limit

    def running(self, visibility: Visibility) -> list[RunningJob]:
        """The jobs that workers hold, longest first."""
        columns = (_J.uuid, _J.task, _J.caller, _J.holder, _J.worker, _J.started)
        rows = self._database.rows(_J.select(*columns).where(orm.STARTED).limit(MOST_RUNNING))
        jobs = [job for job in map(RunningJob._make, rows) if visibility.covers(job.task, job.caller)]
        return sorted(jobs, key=lambda job: (job.started or 0, job.uuid))

    def workers(self) -> list[RegisteredWorker]:
        """All registered workers, by name."""
        query = _W.select(_W.id, _W.name, _W.since, _W.capacity, _W.queues).order_by(_W.name, _W.id)
        rows = self._database.rows(query)
        return [
            RegisteredWorker(holder, name, since, capacity, strict_json.loads(queues) if queues else ())
            for holder, name, since, capacity, queues in rows
        ]

    def failures(self, visibility: Visibility) -> list[FailedJob]:
        """The newest failed jobs, those that failed last first."""
        columns = (_J.uuid, _J.task, _J.caller, _J.created, peewee.fn.COALESCE(_J.finished, _J.created))
        query = _J.select(*columns).where(_J.state == State.FAILURE.value)
        rows = self._database.rows(query.order_by(_J.created.desc(), _J.uuid.desc()).limit(NEWEST_FAILURES))
        jobs = [job for job in map(FailedJob._make, rows) if visibility.covers(job.task, job.caller)]
        return sorted(jobs, key=lambda job: (-job.finished, job.uuid))

    def errors(self, uuids: Sequence[str]) -> dict[str, tuple[str, str]]:
        """The type and the message of the error of each of these jobs."""
        query = _J.select(_J.uuid, _J.error).where(_J.uuid.in_(list(uuids)), _J.error.is_null(is_null=False))
        found = [(uuid, strict_json.loads(text)) for uuid, text in self._database.rows(query)]
        return {uuid: (str(error.get("type", "")), str(error.get("message", ""))) for uuid, error in found}

    def without_worker(self, visibility: Visibility) -> list[tuple[str, int]]:
        """The tasks of waiting jobs that no worker has; nothing for a caller who sees only its own jobs."""
        if visibility.caller is not None:
            return []
        found = jobs_without_worker(self._database, limit=MOST_LACKING)
        return [(task, jobs) for task, jobs in found if visibility.matches(task)]

    def count_up_to(self, limit: int, visibility: Visibility) -> int:
        """The number of jobs in any state, at most ``limit``."""

        def read(db: peewee.Database) -> int:
            names = [] if visibility.every_task else task_names(db, visibility)
            return len(list(within(_J.select(_J.uuid), visibility, names).limit(limit).tuples().execute(db)))

        return self._database.read(read)

    def history(self, visibility: Visibility, span: int, since: int) -> list[job_minutes.HistoryRow]:
        """The rows of the history from ``since``, in seconds, of all tasks together or of the visible ones.

        A row has no caller: a caller who sees only its own jobs gets none.
        """
        if visibility.caller is not None:
            return []
        if visibility.every_task:
            return job_minutes.read_all(self._database, span, since)
        return job_minutes.read_tasks(self._database, span, since, visibility.matches)

    def history_of_tasks(
        self, span: int, since: int, tasks: Container[str], *, before: int | None = None
    ) -> list[job_minutes.HistoryRow]:
        """The rows of the history of these tasks, of all callers' jobs, from ``since`` until ``before``, in seconds."""
        return job_minutes.read_tasks(self._database, span, since, tasks.__contains__, before=before)

    def failed_tasks(self, visibility: Visibility, since: int) -> list[job_minutes.HistoryRow]:
        """The rows of the history with failures of visible tasks, by minute, from ``since``, in seconds."""
        if visibility.caller is not None:
            return []
        return job_minutes.read_tasks(
            self._database, job_minutes.MINUTE, since, visibility.matches, State.FAILURE.value
        )


def _waiting(state: State, visibility: Visibility, at: int, limit: int) -> peewee.Query:
    """The oldest waiting jobs of a state by task and queue, with a mark for those of the visible caller."""
    mine = peewee.Value(1) if visibility.caller is None else peewee.Case(None, [(_J.caller == visibility.caller, 1)], 0)
    ready = peewee.Case(None, [(_J.eta.is_null() | (_J.eta <= at), 1)], 0)
    columns = (
        _J.task,
        _J.target_queue.alias("queue"),
        WAITS_SINCE.alias("since"),
        mine.alias("mine"),
        ready.alias("ready"),
    )
    oldest = _J.select(*columns).where(_J.state == state.value)
    few = oldest.order_by(_J.created, _J.uuid).limit(limit).alias("few")
    since = peewee.fn.MIN(peewee.Case(None, [(few.c.ready == 1, few.c.since)]))
    number = peewee.fn.SUM(few.c.ready)
    counts = (number, peewee.fn.COUNT(peewee.SQL("1")) - number, since)
    shown = few.select_from(peewee.Value(state.value), few.c.task, few.c.queue, few.c.mine, *counts)
    return shown.group_by(few.c.task, few.c.queue, few.c.mine)


def _add(queue: QueuedJobs, ready: int, later: int, since: int | None) -> None:
    queue.jobs += int(ready)
    queue.later += int(later)
    queue.since = min((each for each in (queue.since, since) if each is not None), default=None)
