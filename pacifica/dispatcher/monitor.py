"""What a web process tells those who watch it: its health, and its metrics."""

from collections.abc import Container
from pathlib import Path

from prometheus_client import CollectorRegistry

from .health import Health
from .metrics import exposition, sharing
from .metrics.counts import Counts
from .metrics.exposition import Record
from .metrics.tally import InFolder, InMemory, Tally
from .store.figures import FigureStore
from .store.outbox import Outbox


class Monitor:
    """The health and the metrics of one web process.

    ``tasks`` are the names that may become labels. Processes that are given the same ``folder`` tell the sum of
    what each of them counts.
    """

    def __init__(
        self, health: Health, figures: FigureStore, outbox: Outbox, tasks: Container[str], folder: Path | None
    ) -> None:
        self.health = health
        self._registry = CollectorRegistry()
        if folder is None:
            self.counts = Counts(self._registry, tasks)
        else:
            sharing.join(folder)
            self.counts = Counts(None, tasks)
            sharing.sum_up(self._registry, folder)
        self._tally = Tally(figures, InMemory() if folder is None else InFolder(folder))
        self._registry.register(Record(figures, outbox, self._tally, health.look, self.counts.label))

    def begin(self) -> None:
        """Count the events of jobs from now on; raises ``DatabaseUnavailable``."""
        self._tally.begin()

    def as_text(self) -> bytes:
        """The metrics in Prometheus' text format 0.0.4."""
        return exposition.as_text(self._registry)

    def as_openmetrics(self) -> bytes:
        """The metrics in OpenMetrics 1.0."""
        return exposition.as_openmetrics(self._registry)
