"""What a web process tells those who watch it: its health, and its metrics."""

from collections.abc import Container
from pathlib import Path

from prometheus_client import CollectorRegistry

from ..core.errors import DatabaseUnavailable
from ..store.outbox import Outbox
from ..store.stats import FigureStore
from .health import Health
from .metrics import exposition, multiprocess
from .metrics.event_counters import InFolder, InMemory, Tally
from .metrics.exposition import Record
from .metrics.instruments import Counts


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
        self._place = None if folder is None else multiprocess.join(folder)
        if folder is None or self._place is None:
            self.counts = Counts(self._registry, tasks)
            self._tally = Tally(figures, InMemory())
        else:
            self.counts = Counts(None, tasks)
            self._registry.register(multiprocess.Sum(folder))
            self._tally = Tally(figures, InFolder(folder))
        self._registry.register(Record(figures, outbox, self._tally, health.look, self.counts.label))

    def begin(self) -> None:
        """Count the events of jobs from now on; raises ``DatabaseUnavailable``, and then counts nothing any more."""
        try:
            self._tally.begin()
        except DatabaseUnavailable:
            if self._place is not None:
                self._place.leave()
            raise

    def as_text(self) -> bytes:
        """The metrics in Prometheus' text format 0.0.4."""
        return exposition.as_text(self._registry)

    def as_openmetrics(self) -> bytes:
        """The metrics in OpenMetrics 1.0."""
        return exposition.as_openmetrics(self._registry)
