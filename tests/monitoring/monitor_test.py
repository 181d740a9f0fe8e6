"""A web process whose database is away still tells what it knows, and asks it once for all of its figures."""

from contextlib import closing
from pathlib import Path
from types import SimpleNamespace

from pacifica.dispatcher.monitoring.health import Health
from pacifica.dispatcher.monitoring.monitor import Monitor
from pacifica.dispatcher.store.database import Database
from pacifica.dispatcher.store.outbox import Outbox
from pacifica.dispatcher.store.stats import FigureStore
from pacifica.dispatcher.store.workers import WorkerStore


def test_without_its_database_it_tells_what_it_has_counted(tmp_path: Path) -> None:
    with closing(Database(f"sqlite:///{tmp_path}/no/such/folder.db")) as database:
        figures, outbox = FigureStore(database), Outbox(database)
        relay = SimpleNamespace(broker_state="ok", confirmed=None)
        health = Health(outbox, WorkerStore(database), lambda: relay, lambda: "ok", 30)
        monitor = Monitor(health, figures, outbox, {"add"}, None)
        database.on_failure = monitor.counts.database_failed
        monitor.counts.dispatched("add", "failed")
        text = monitor.as_text().decode()
        again = monitor.as_text().decode()
    lines = text.splitlines()
    assert 'pacifica_dispatcher_up{part="database"} 0.0' in lines
    assert 'pacifica_dispatcher_dispatches_total{outcome="failed",task="add"} 1.0' in lines
    assert "pacifica_dispatcher_jobs{" not in text
    assert 'pacifica_dispatcher_up{part="workers"}' not in text
    assert 'pacifica_dispatcher_database_errors_total{reason="unopened"} 1.0' in again.splitlines()
