"""A web process whose database is unavailable still reports its metrics, and tries it once for each scrape."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from pacifica.dispatcher.core.errors import DatabaseUnavailable
from pacifica.dispatcher.monitoring import health
from pacifica.dispatcher.monitoring.metrics import record_collector
from pacifica.dispatcher.store.database import Database
from pacifica.dispatcher.store.event_counts import EventCountStore
from pacifica.dispatcher.store.jobs import JobStore
from pacifica.dispatcher.upkeep.event_counter import EventCounter

from ..store.conftest import a_job
from ..store.job_steps import claim
from .web_monitors import a_web_monitor


def test_without_its_database_a_process_reports_its_own_counters(tmp_path: Path) -> None:
    with closing(Database(f"sqlite:///{tmp_path}/no/such/folder.db")) as database:
        monitor = a_web_monitor(database)
        database.on_failure = monitor.counts.database_failed
        monitor.counts.dispatched("add", "failed")
        text = monitor.as_text().decode()
        second = monitor.as_text().decode()
    lines = text.splitlines()
    assert 'pacifica_dispatcher_up{part="database"} 0.0' in lines
    assert 'pacifica_dispatcher_dispatches_total{outcome="failed",task="add"} 1.0' in lines
    assert "pacifica_dispatcher_jobs{" not in text
    assert 'pacifica_dispatcher_up{part="workers"}' not in text
    assert 'pacifica_dispatcher_database_errors_total{reason="unopened"} 1.0' in second.splitlines()


@pytest.fixture
def database(sqlite_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Database]:
    """An empty database, which each scrape reads."""
    monkeypatch.setattr(health, "KEPT", 0.0)
    monkeypatch.setattr(record_collector, "KEPT", 0.0)
    with closing(Database(sqlite_url)) as opened:
        opened.wait_until_up(1, 0.0)
        yield opened


def test_counted_events_are_reported_while_the_database_is_unavailable(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monitor, jobs, job = a_web_monitor(database), JobStore(database), a_job()
    jobs.add([job])
    claim(jobs, job, "t")
    assert "pacifica_dispatcher_job_events_uncounted 2.0" in monitor.as_text().decode().splitlines()
    EventCounter(EventCountStore(database)).work(float("inf"))
    counted = 'pacifica_dispatcher_job_events_total{kind="STARTED",task="add"} 1.0'
    lines = monitor.as_text().decode().splitlines()
    assert {counted, "pacifica_dispatcher_job_events_uncounted 0.0"} <= set(lines)
    monkeypatch.setattr(database, "read", lambda _: (_ for _ in ()).throw(DatabaseUnavailable("It is away.")))
    lines = monitor.as_text().decode().splitlines()
    assert {counted, 'pacifica_dispatcher_up{part="database"} 0.0'} <= set(lines)
