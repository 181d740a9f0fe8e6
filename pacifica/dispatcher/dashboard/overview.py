"""The overview: whether anything is wrong, and what; what waits, who works, what has happened lately."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from ..core.errors import DatabaseUnavailable
from ..core.job import now
from ..core.permissions import EVERY_JOB, Visibility
from ..monitoring.health import ReadinessReport
from ..monitoring.web_monitor import WebMonitor
from ..service.verbs import Service
from ..store.present_jobs import FailedJob, QueuedJobs, RegisteredWorker, RunningJob
from ..web.request.request_context import caller, visible_jobs
from . import rendering
from .activity import SPANS, Activity, TimeSpan, activity_of
from .attention import judge
from .call_lines import curl_line
from .charts import HEIGHT
from .recent_failures import FailingTask, recent_failures

SHOWN_JOBS = 4
"""The running jobs of a worker that are shown."""
SHOWN_WORKERS = 50
SHOWN_FAILURES = 8
FEW = 2
"""With fewer jobs than these, the page says how to start one. The command ``up`` makes one itself."""
SHOWN_TASKS = 6
"""The tasks with failures that are shown."""


class Failure(NamedTuple):
    """A failed job with its error in one line."""

    job: FailedJob
    type: str
    message: str


@dataclass
class BusyWorker:
    """A worker with the jobs that it runs, of ``capacity`` at once if it is registered.

    ``age`` is the age of its heartbeat in seconds, ``None`` if it has none.
    """

    name: str
    state: str
    age: float | None
    since: int | None
    capacity: int | None = None
    jobs: list[RunningJob] = field(default_factory=list)


class Present(NamedTuple):
    """Everything of the page that comes from the record; ``jobs`` is the number of all jobs, at most ``FEW``."""

    history: Activity | None
    failing: Sequence[FailingTask]
    failed: int
    queues: Sequence[QueuedJobs]
    all_counted: bool
    workers: Sequence[BusyWorker]
    unserved: Sequence[tuple[str, int]]
    running: int
    failures: Sequence[Failure]
    lacking: Sequence[tuple[str, int]]
    jobs: int


class Overview:
    """The page at ``/``."""

    def __init__(self, service: Service, monitor: WebMonitor) -> None:
        self._service = service
        self._monitor = monitor

    def page(self, span: str = "hour") -> bytes:
        """Render the page for this caller, with the charts of this span; without the database, only the verdict."""
        report = self._monitor.health.look()
        visibility = visible_jobs()
        try:
            present = self._read(report, visibility, SPANS[span])
        except DatabaseUnavailable:
            present = None
        failed = present.failed if present else 0
        return rendering.page(
            "overview.html",
            judged=judge(
                report,
                present.lacking if present else (),
                failed,
                unserved=present.unserved if present else (),
                own=visibility.caller is not None,
            ),
            report=report,
            present=present,
            failed=failed,
            spans=SPANS,
            now=now(),
            height=HEIGHT,
            whole=visibility == EVERY_JOB,
            first_job=self._first_job() if present and present.jobs < FEW else None,
            few=FEW,
            most_jobs=SHOWN_JOBS,
            most_tasks=SHOWN_TASKS,
            most_workers=SHOWN_WORKERS,
        )

    def _read(self, report: ReadinessReport, visibility: Visibility, span: TimeSpan) -> Present:
        record, at = self._monitor.present, int(time.time())
        history = record.history(visibility, span.column, span.first(at))
        queues, all_counted = record.queues(visibility, at=now())
        running, newest = record.running(visibility), record.failures(visibility)
        since = SPANS["hour"].first(at)
        recent = recent_failures(record.failed_tasks(visibility, since), newest, since, at)
        rows = recent.complete(history, span.column)
        shown, registered = newest[:SHOWN_FAILURES], record.workers()
        errors = record.errors([job.uuid for job in shown])
        quiet = not (queues or running or len(newest) > 1 or sum(row.ended.jobs for row in rows) > 1)
        return Present(
            None if visibility.caller is not None else activity_of(rows, span, at),
            recent.tasks,
            recent.jobs,
            queues,
            all_counted,
            self._workers(report, visibility, running, registered),
            _unserved(report, registered, queues),
            len(running),
            [Failure(job, *errors.get(job.uuid, ("", ""))) for job in shown],
            record.without_worker(visibility),
            record.count_up_to(FEW, visibility) if quiet else FEW,
        )

    def _workers(
        self,
        report: ReadinessReport,
        visibility: Visibility,
        running: Sequence[RunningJob],
        registered: Sequence[RegisteredWorker],
    ) -> Sequence[BusyWorker]:
        """The workers with their jobs; for a caller who may not see every job, those that run its jobs."""
        found: dict[str | None, BusyWorker] = {}
        for holder, name, since, capacity, _ in registered:
            beat = report.heartbeats.get(holder)
            state = report.state_of(holder)
            found[holder] = BusyWorker(name, state, beat.age if beat and beat.moved else None, since, capacity)
        for job in running:
            worker = found.setdefault(job.holder, BusyWorker(job.worker or "", "gone", None, None))
            worker.jobs.append(job)
        shown = [worker for worker in found.values() if worker.jobs or visibility == EVERY_JOB]
        return sorted(shown, key=lambda worker: (worker.state == "alive", worker.name))

    def _first_job(self) -> str | None:
        """The command that dispatches a first job, if the caller may; ``None`` without the built-in task."""
        if "add" not in self._service.registry or not rendering.common()["may"]["dispatch"]:
            return None
        base = rendering.service_address()
        return curl_line(base, "add", [2, 2], {}, token=bool(caller().name))


def _unserved(
    report: ReadinessReport, workers: Sequence[RegisteredWorker], queues: Sequence[QueuedJobs]
) -> Sequence[tuple[str, int]]:
    """The queues with waiting jobs that no worker serves, and how many wait; none unless all workers are known.

    Without any worker the readiness says so.
    """
    served = [worker.queues for worker in workers if report.state_of(worker.holder) != "stopped"]
    if not all(served):
        return []
    names = {name for each in served for name in each}
    return [(one.queue, one.jobs) for one in queues if served and one.jobs and one.queue and one.queue not in names]
