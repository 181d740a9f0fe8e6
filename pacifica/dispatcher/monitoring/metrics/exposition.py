"""The figures as Prometheus reads them: what the processes have counted, and what the record says now."""

import platform
from collections.abc import Callable, Iterator, Mapping
from importlib.metadata import version
from typing import Any, NamedTuple

from prometheus_client import CollectorRegistry, Metric, exposition, openmetrics
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.utils import floatToGoString

from ...core.errors import DatabaseUnavailable
from ...core.job import now
from ...core.ttl_cache import TtlCache
from ...store.outbox import Backlog, Outbox
from ...store.stats import BUCKETS, FigureStore, Moving
from ..health import OK, UNAVAILABLE, UNKNOWN, Readiness
from .event_counters import Counted, Tally
from .instruments import PREFIX

KEPT = 5.0
"""Seconds for which what was read from the record is shared by all scrapes of a process."""
COUNTED = 100_000
"""Jobs of each state, and of the outbox, that are counted, at most."""
BOUNDS = (*map(floatToGoString, BUCKETS), "+Inf")
Key = tuple[Any, ...]
Label = Callable[[str | None], str]


class Seen(NamedTuple):
    """What was read from the record."""

    at: int
    moving: list[Moving]
    backlog: Backlog


SCRAPE = 60.0
"""Seconds that a scrape waits for another one that reads the record."""


class Record:
    """A collector of what the record says; a part of it that cannot be read is left out.

    ``label`` makes a label of a task's name. What is told is the whole service's, in every process.
    """

    def __init__(
        self, figures: FigureStore, outbox: Outbox, tally: Tally, health: Callable[[], Readiness], label: Label
    ) -> None:
        self._figures = figures
        self._outbox = outbox
        self._tally = tally
        self._health = health
        self._label = label
        self._seen = TtlCache(self._read, KEPT)

    def collect(self) -> Iterator[Metric]:
        """All families."""
        told = {"version": version("pacifica-dispatcher"), "python": platform.python_version()}
        yield _gauge("build_info", "What is running; always 1.", {tuple(told.values()): 1}, *told)
        health = self._health()
        yield from _of_health(health)
        # A database that has just been silent is not asked again: the scrape would take as long once more.
        ask = health.parts["schema"].verdict == OK
        yield from _of_tally(self._tally.look(ask=ask), self._label)
        if ask and (seen := self._seen.get(SCRAPE)) is not None:
            yield from _of_jobs(seen, self._label)

    def describe(self) -> list[Metric]:
        """Nothing: to register a collector is not to ask it."""
        return []

    def _read(self) -> Seen | None:
        at = now()
        try:
            return Seen(at, self._figures.moving(at=at, limit=COUNTED), self._outbox.backlog(at=at, limit=COUNTED))
        except DatabaseUnavailable:
            return None


def as_text(registry: CollectorRegistry) -> bytes:
    """In Prometheus' text format 0.0.4."""
    return exposition.generate_latest(registry)


def as_openmetrics(registry: CollectorRegistry) -> bytes:
    """In OpenMetrics 1.0."""
    made: bytes = openmetrics.exposition.generate_latest(registry)
    return made


def _of_health(health: Readiness) -> Iterator[Metric]:
    up = {(name,): float(part.verdict == OK) for name, part in health.parts.items() if part.verdict != UNKNOWN}
    yield _gauge("up", "Whether a part is well, as /health/ready says; none while that is not known.", up, "part")
    if health.parts["database"].verdict != UNAVAILABLE:
        workers = {("living",): health.workers.living, ("stopped",): health.workers.stopped}
        workers[("unknown",)] = health.workers.unknown
        yield _gauge("workers", "Registered workers, by what is seen of their leases.", workers, "state")


def _of_jobs(seen: Seen, label: Label) -> Iterator[Metric]:
    jobs: dict[tuple[str, ...], float] = {}
    oldest: dict[tuple[str, ...], float] = {}
    states: dict[str, int] = {}
    for one in seen.moving:
        task = label(one.task)
        jobs[task, one.state] = jobs.get((task, one.state), 0) + one.jobs
        states[one.state] = states.get(one.state, 0) + one.jobs
        if one.since is not None and one.state != "STARTED":
            oldest[task,] = max(oldest.get((task,), 0.0), _age(seen.at, one.since))
    yield _gauge("jobs", "Jobs that have not ended.", jobs, "task", "state")
    yield _gauge("queue_age_seconds", "How long the oldest job waits that could have started.", oldest, "task")
    yield _gauge("outbox_jobs", "Jobs whose message the broker has not confirmed.", {(): seen.backlog.jobs})
    age = 0.0 if seen.backlog.since is None else _age(seen.at, seen.backlog.since)
    yield _gauge("outbox_age_seconds", "How long the oldest of them waits.", {(): age})
    cut = {("jobs",): float(any(number >= COUNTED for number in states.values()))}
    cut["outbox",] = float(not seen.backlog.all)
    yield _gauge("figure_truncated", f"Whether there is more than the {COUNTED} that are counted.", cut, "figure")


def _of_tally(counted: Counted, label: Label) -> Iterator[Metric]:
    events = CounterMetricFamily(f"{PREFIX}_job_events", "Events of jobs, by their kind.", labels=("task", "kind"))
    for (task, kind), number in _labelled(counted.events, label).items():
        events.add_metric((task, kind), number)
    yield events
    runs = HistogramMetricFamily(
        f"{PREFIX}_run_duration_seconds", "Run time of the last attempt of jobs that ended.", labels=("task", "outcome")
    )
    buckets = _labelled(counted.runs, label)
    for (task, kind), ran in _labelled(counted.ran, label).items():
        runs.add_metric((task, kind), _cumulated(buckets, task, kind), ran / 1_000_000)
    yield runs
    yield _gauge("job_events_uncounted", "Events that the next scrapes will count.", {(): counted.left})


def _labelled(counted: Mapping[Key, int], label: Label) -> dict[Key, int]:
    """The same by the label of each task, which several tasks may share."""
    found: dict[Key, int] = {}
    for (task, *rest), number in counted.items():
        key = (label(task), *rest)
        found[key] = found.get(key, 0) + number
    return found


def _cumulated(buckets: Mapping[Key, int], task: str, kind: str) -> list[tuple[str, float]]:
    """The runs up to each bound, all shorter ones with them."""
    total, found = 0, []
    for number, bound in enumerate(BOUNDS):
        total += buckets.get((task, kind, number), 0)
        found.append((bound, float(total)))
    return found


def _gauge(name: str, help_text: str, values: Mapping[Key, float], *labels: str) -> GaugeMetricFamily:
    family = GaugeMetricFamily(f"{PREFIX}_{name}", help_text, labels=labels)
    for key, value in values.items():
        family.add_metric(key, value)
    return family


def _age(at: int, since: int) -> float:
    return max(0.0, (at - since) / 1_000_000)
