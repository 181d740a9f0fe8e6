"""The metrics of the record: gauges of what it holds now, and counters of the events of jobs."""

import logging
import platform
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from importlib.metadata import version
from itertools import accumulate
from typing import Any, NamedTuple

from prometheus_client import Metric
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.utils import floatToGoString

from ...core.errors import DatabaseUnavailable
from ...core.job import now
from ...core.ttl_cache import TtlCache
from ...store.committed_event import REFUSED_MESSAGE
from ...store.database import Database
from ...store.event_counts import BUCKETS, EventCounts, EventCountStore
from ...store.outbox import Backlog, Outbox
from ...store.stats import UnfinishedJobs, unfinished_jobs
from ..health import OK, UNAVAILABLE, UNKNOWN, ReadinessReport
from .instruments import PREFIX

logger = logging.getLogger(__name__)

KEPT = 5.0
"""Seconds for which all scrapes of a process share one reading of the jobs; counters are read for each scrape.

Otherwise a counter would go back if the next scrape reached a process with an older reading.
"""
COUNTED = 100_000
"""The most jobs of each state, and of the outbox, that are counted."""
READ_TIMEOUT = 60.0
"""Seconds that a scrape waits for another one that reads the record."""
BOUNDS = (*map(floatToGoString, BUCKETS), "+Inf")
LabelOf = Callable[[str | None], str]


class Reading(NamedTuple):
    """One reading of the jobs."""

    at: int
    moving: list[UnfinishedJobs]
    backlog: Backlog


class RecordCollector:
    """Collects the metrics of the record, which are the same in every process; a part that cannot be read is left out.

    ``label`` returns the label for a task's name.
    """

    def __init__(
        self,
        database: Database,
        events: EventCountStore,
        outbox: Outbox,
        health: Callable[[], ReadinessReport],
        label: LabelOf,
    ) -> None:
        self._database = database
        self._events = events
        self._outbox = outbox
        self._health = health
        self._label = label
        self._cache = TtlCache(self._read, KEPT)
        self._counts = EventCounts()

    def collect(self) -> Iterator[Metric]:
        """All families."""
        build = {"version": version("pacifica-dispatcher"), "python": platform.python_version()}
        yield _gauge("build_info", "The version that is running; always 1.", {tuple(build.values()): 1}, *build)
        health = self._health()
        yield from _of_health(health)
        # A database that has just failed to answer is not read: the scrape would take as long once more.
        if health.parts["schema"].verdict == OK:
            try:
                yield from self._of_record()
            except DatabaseUnavailable as error:
                logger.debug("Failed while reading metrics from the record: %s", error)
        yield from _of_events(self._counts, self._label)

    def describe(self) -> list[Metric]:
        """No families, so that registering this collector does not read the record."""
        return []

    def _of_record(self) -> Iterator[Metric]:
        last = self._events.last()
        self._counts = max(self._events.load(), self._counts, key=lambda counts: counts.upto)
        uncounted = max(0, last - self._counts.upto)
        yield _gauge("job_events_uncounted", "Events that are still to be counted.", {(): uncounted})
        yield from _of_reading(self._cache.get(READ_TIMEOUT), self._label)

    def _read(self) -> Reading:
        at = now()
        return Reading(
            at, unfinished_jobs(self._database, at=at, limit=COUNTED), self._outbox.backlog(at=at, limit=COUNTED)
        )


def _of_health(health: ReadinessReport) -> Iterator[Metric]:
    up = {(name,): float(part.verdict == OK) for name, part in health.parts.items() if part.verdict != UNKNOWN}
    yield _gauge("up", "Whether a part is ok, as in /health/ready; no sample while that is unknown.", up, "part")
    if health.parts["database"].verdict != UNAVAILABLE:
        workers = {("living",): health.workers.living, ("stopped",): health.workers.stopped}
        workers[("unknown",)] = health.workers.unknown
        yield _gauge("workers", "Registered workers, by the state of their heartbeats.", workers, "state")


def _of_reading(reading: Reading, label: LabelOf) -> Iterator[Metric]:
    jobs: Counter[tuple[str, str]] = Counter()
    states: Counter[str] = Counter()
    oldest: dict[tuple[str], float] = {}
    for moving in reading.moving:
        task = label(moving.task)
        jobs[task, moving.state] += moving.jobs
        states[moving.state] += moving.jobs
        if moving.since is not None and moving.state != "STARTED":
            oldest[task,] = max(oldest.get((task,), 0.0), _age(reading.at, moving.since))
    yield _gauge("jobs", "Jobs that have not ended.", jobs, "task", "state")
    yield _gauge("queue_age_seconds", "How long the oldest job that can start has waited.", oldest, "task")
    yield _gauge(
        "outbox_jobs", "Jobs that wait for the broker; with database://, for a worker.", {(): reading.backlog.jobs}
    )
    age = 0.0 if reading.backlog.since is None else _age(reading.at, reading.backlog.since)
    yield _gauge("outbox_age_seconds", "How long the oldest of them waits.", {(): age})
    truncated = {("jobs",): float(any(number >= COUNTED for number in states.values()))}
    truncated["outbox",] = float(not reading.backlog.all)
    help_text = f"Whether there is more than the {COUNTED} that are counted."
    yield _gauge("figure_truncated", help_text, truncated, "figure")


def _of_events(counts: EventCounts, label: LabelOf) -> Iterator[Metric]:
    events: Counter[tuple[str, str]] = Counter()
    runs: dict[tuple[str, str], list[int]] = {}
    ran: Counter[tuple[str, str]] = Counter()
    refused = 0
    for (task, kind, bucket), count in counts.counts.items():
        if kind == REFUSED_MESSAGE:
            refused += count.events
            continue
        key = (label(task), kind)
        events[key] += count.events
        if bucket is not None:
            runs.setdefault(key, [0] * len(BOUNDS))[bucket] += count.events
            ran[key] += count.ran
    counters = CounterMetricFamily(f"{PREFIX}_job_events", "Events of jobs, by their kind.", labels=("task", "kind"))
    for key, number in events.items():
        counters.add_metric(key, number)
    yield counters
    help_text = "Messages that workers refused, as they are not messages of jobs."
    yield CounterMetricFamily(f"{PREFIX}_refused_messages", help_text, refused)
    histograms = HistogramMetricFamily(
        f"{PREFIX}_run_duration_seconds", "Run time of the last attempt of jobs that ended.", labels=("task", "outcome")
    )
    for key, numbers in runs.items():
        buckets = list(zip(BOUNDS, map(float, accumulate(numbers)), strict=True))
        histograms.add_metric(key, buckets, ran[key] / 1_000_000)
    yield histograms


def _gauge(name: str, help_text: str, values: Mapping[Any, float], *labels: str) -> GaugeMetricFamily:
    family = GaugeMetricFamily(f"{PREFIX}_{name}", help_text, labels=labels)
    for key, value in values.items():
        family.add_metric(key, value)
    return family


def _age(at: int, since: int) -> float:
    return max(0.0, (at - since) / 1_000_000)
