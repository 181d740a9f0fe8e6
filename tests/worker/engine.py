"""Parts of a worker's main process, with a pool and a writer that only keep what they get."""

from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Any

from pacifica.dispatcher.core.job import State, new_uuid, now
from pacifica.dispatcher.core.work import ClaimedJob, Ended, LostReport, Report
from pacifica.dispatcher.worker import hand_out as hand_out_module
from pacifica.dispatcher.worker.begin_tokens import BeginTokens, Lane, append_outcome, next_job
from pacifica.dispatcher.worker.hand_out import HandOut
from pacifica.dispatcher.worker.job_request import JobRequest
from pacifica.dispatcher.worker.pool_message import Done, Order, packed
from pacifica.dispatcher.worker.writer_partners import Item

from .local_worker import LocalWorker

QUEUE = "dispatcher"


def four() -> int:
    """The function of all tasks."""
    return 4


def a_claim(task: str = "short", **columns: Any) -> ClaimedJob:
    """A job that a turn has claimed."""
    at = now()
    given = {"args": "[]", "kwargs": "{}", "token": "t", "attempt": 1, "retries": 0, "created": at}
    rest = {"eta": None, "expires": None, "queue": QUEUE, "priority": 0, "headers": None}
    return ClaimedJob(new_uuid(), task, **{**given, **rest, **columns})


def success(job: ClaimedJob) -> Ended:
    """The report of an attempt that has returned 4."""
    return Ended(job.uuid, job.token, State.SUCCESS, "4", None, now(), {})


class Sent:
    """A message that a pool has got."""

    def __init__(
        self,
        orders: Sequence[Order],
        lane: Lane | None,
        callback: Callable[[Done | None], None],
        error_callback: Callable[[Any], None],
        accept_callback: Callable[[int, float], None],
    ) -> None:
        self.jobs = [order.job for order in orders]
        self.lane = lane
        self.written = 0
        self._callback = callback
        self._error_callback = error_callback
        self._accept_callback = accept_callback

    def begin(self, jobs: int = 1) -> int:
        """Begin the next jobs as a pool process does; returns how many of them may begin."""
        self._accept_callback(4711, 0.0)
        return sum(self.lane is None or next_job(self.lane) is not None for _ in range(jobs))

    def write(self, jobs: int, seconds: float = 0.001) -> None:
        """End the next jobs of several, each with success."""
        assert self.lane is not None
        for job in self.jobs[self.written : self.written + jobs]:
            append_outcome(self.lane, packed(self.written, Done([success(job)], seconds)))
            self.written += 1

    def end(self, jobs: int | None = None, seconds: float = 0.001) -> None:
        """End the message after so many jobs of it, each with success."""
        while self.lane is not None and jobs is None and next_job(self.lane) is not None:
            pass  # They begin, if they have not.
        if len(self.jobs) == 1:
            self._callback(None if jobs == 0 else Done([success(self.jobs[0])], seconds, (0, "4", seconds)))
            return
        self.write((len(self.jobs) if jobs is None else jobs) - self.written, seconds)
        self._callback(None)

    def die(self, error: Exception) -> None:
        """End the message as Celery does when its process is gone."""
        self._error_callback(SimpleNamespace(exception=error, traceback="", internal=False, exc_info=None))


class FakePool:
    """A pool that keeps its messages."""

    def __init__(self, processes: int = 2) -> None:
        self.num_processes = processes
        self.sent: list[Sent] = []
        self.ended: list[tuple[int, int]] = []
        self.error: Exception | None = None

    def apply_async(self, target: Any, args: Sequence[Any], **options: Any) -> None:
        """Keep the message."""
        if self.error is not None:
            raise self.error
        orders, _, lane = args
        names = ("callback", "error_callback", "accept_callback")
        self.sent.append(Sent(orders, lane, **{name: options[name] for name in names}))

    def terminate_job(self, pid: int, signal: int) -> None:
        """Keep that the process was to be ended."""
        self.ended.append((pid, signal))


class KeptReports:
    """A writer that keeps what it is to store."""

    ours = True

    def __init__(self) -> None:
        self.reports: list[Report] = []
        self.returned: dict[str, int | None] = {}
        self.actions: list[Callable[[], object]] = []

    def report(self, report: Report, then: Callable[[str | None], object] | None = None) -> None:
        """Keep the report, and do what follows it."""
        self.reports.append(report)
        if then is not None:
            then(getattr(report, "state", "LOST"))

    def unclaim(self, item: Item, *, due: int | None = None) -> None:
        """Keep the job that returns to its queue."""
        self.returned[item[0].uuid] = due

    def do(self, action: Callable[[], object]) -> None:
        """Keep the action."""
        self.actions.append(action)

    def wake(self) -> None:
        """Do nothing: there is no thread."""

    def states(self) -> dict[str, str]:
        """The final state of each reported job; LOST for one that is lost."""
        return {one.uuid: "LOST" if isinstance(one, LostReport) else getattr(one, "state", "") for one in self.reports}


class Engine:
    """A ``HandOut`` with two pool processes whose clock a test moves; each task of ``short`` counts as short."""

    def __init__(self, local: LocalWorker, monkeypatch: Any, processes: int = 2) -> None:
        self.seconds = 1000.0
        monkeypatch.setattr(hand_out_module, "time", SimpleNamespace(monotonic=lambda: self.seconds))
        self.pool = FakePool(processes)
        self.writer = KeptReports()
        local.container.writer = self.writer  # type: ignore[assignment]
        self.consumer = SimpleNamespace(
            event_dispatcher=None,
            disable_rate_limits=False,
            task_buckets=defaultdict(lambda: None),
            on_task_message=set(),
        )
        limits = ("time_limit", "soft_time_limit", "max_tasks_per_child", "max_memory_per_child", "autoscaler")
        self.worker = SimpleNamespace(
            app=local.app, pool=self.pool, hostname="w@test", consumer=self.consumer, **dict.fromkeys(limits)
        )
        self.hand_out = HandOut(self.worker, BeginTokens(2 * processes + 4))
        self.hand_out.writer = self.writer  # type: ignore[assignment]
        self.refusals: Counter[str] = Counter()
        for name in ("short", "long"):
            local.task(four, name=name)
        self.hand_out.open(None)

    def add(self, *jobs: ClaimedJob, requests: Sequence[JobRequest | None] = ()) -> None:
        """Hand out claimed jobs."""
        self.hand_out.add([(job, request) for job, request in zip(jobs, requests or [None] * len(jobs), strict=True)])

    def learn(self, task: str = "short", seconds: float = 0.001, jobs: int = 3) -> None:
        """Let jobs of a task take so long."""
        for _ in range(jobs):
            self.add(a_claim(task))
            self.pool.sent.pop().end(seconds=seconds)
        self.writer.reports.clear()

    def send(self, number: int) -> tuple[Sent, list[ClaimedJob]]:
        """Send so many short jobs as one message, to the only process."""
        self.learn()
        self.hand_out.close()
        jobs = [a_claim() for _ in range(number)]
        self.add(*jobs)
        self.hand_out.open(None)
        (sent,) = self.pool.sent
        assert sent.jobs == jobs
        return sent, jobs
