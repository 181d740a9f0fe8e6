"""Web monitors for tests."""

from pathlib import Path
from types import SimpleNamespace

from pacifica.dispatcher.monitoring.health import HealthCheck
from pacifica.dispatcher.monitoring.web_monitor import WebMonitor
from pacifica.dispatcher.store.database import Database
from pacifica.dispatcher.store.event_counts import EventCountStore
from pacifica.dispatcher.store.outbox import Outbox
from pacifica.dispatcher.store.workers import WorkerStore


def a_web_monitor(database: Database, folder: Path | None = None) -> WebMonitor:
    """The monitor of a process whose only task is ``add`` and whose broker can be reached."""
    outbox, relay = Outbox(database), SimpleNamespace(broker_state="ok", confirmed=None)
    health = HealthCheck(outbox, WorkerStore(database), lambda: relay, lambda: "ok", 30)
    return WebMonitor(health, database, EventCountStore(database), outbox, tasks={"add"}, folder=folder)
