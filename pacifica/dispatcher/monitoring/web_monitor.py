"""The health and the metrics of one web process."""

from collections.abc import Container
from pathlib import Path

from prometheus_client import CollectorRegistry, exposition, openmetrics

from ..store.database import Database
from ..store.event_counts import EventCountStore
from ..store.outbox import Outbox
from ..store.present_jobs import PresentJobs
from .health import HealthCheck
from .metrics import multiprocess
from .metrics.instruments import Counts
from .metrics.record_collector import RecordCollector


class WebMonitor:
    """The health, the instruments, the metrics and the present jobs of one web process.

    ``tasks`` are the task names that may become labels. Processes with the same ``folder`` report the sum of their
    instruments.
    """

    def __init__(  # noqa: PLR0913 - each is a part that the process gives
        self,
        health: HealthCheck,
        database: Database,
        events: EventCountStore,
        outbox: Outbox,
        *,
        tasks: Container[str],
        folder: Path | None,
    ) -> None:
        self.health = health
        self.present = PresentJobs(database)
        self._registry = CollectorRegistry()
        if folder is None or multiprocess.join(folder) is None:
            self.counts = Counts(self._registry, tasks)
        else:
            self.counts = Counts(None, tasks)
            self._registry.register(multiprocess.SharedCollector(folder))
        self._registry.register(RecordCollector(database, events, outbox, health.look, self.counts.label))

    def as_text(self) -> bytes:
        """The metrics in Prometheus' text format 0.0.4."""
        return exposition.generate_latest(self._registry)

    def as_openmetrics(self) -> bytes:
        """The metrics in OpenMetrics 1.0."""
        text: bytes = openmetrics.exposition.generate_latest(self._registry)
        return text
