"""Who lives, and how the parts are that a job needs."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest

from pacifica.dispatcher.core.job import now
from pacifica.dispatcher.core.liveness import Heartbeat
from pacifica.dispatcher.core.ttl_cache import TtlCache
from pacifica.dispatcher.monitoring import health
from pacifica.dispatcher.monitoring.health import Health, Readiness, Workers
from pacifica.dispatcher.store.database import Database
from pacifica.dispatcher.store.jobs import JobStore
from pacifica.dispatcher.store.outbox import Outbox
from pacifica.dispatcher.store.workers import WorkerStore

from ..store.conftest import a_job


class Relay:
    """What it has seen of a broker."""

    broker_state = "ok"
    confirmed: float | None = None


class Bench:
    """The health of a record; each look is a new one."""

    def __init__(self, database: Database) -> None:
        self.database, self.relay, self.schema = database, Relay(), "ok"
        self.jobs, self.workers = JobStore(database), WorkerStore(database)
        self.health = Health(Outbox(database), self.workers, lambda: self.relay, lambda: self.schema, 30)

    def verdicts(self) -> dict[str, str]:
        """The verdict of each part, and of all."""
        seen = self.health.look()
        return {"all": seen.verdict, **{name: part.verdict for name, part in seen.parts.items()}}

    def told(self, part: str) -> str | None:
        """The sentence about a part."""
        return self.health.look().parts[part].message


@pytest.fixture
def bench(sqlite_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    """An empty record with a worker that beats."""
    monkeypatch.setattr(health, "KEPT", 0.0)
    with closing(Database(sqlite_url)) as database:
        database.wait_until_up(1, 0.0)
        made = Bench(database)
        made.workers.beat("holder", "w", at=now())
        yield made


GOOD = dict.fromkeys(("all", "database", "broker", "schema", "outbox", "workers"), "ok")


def test_workers_are_counted_by_the_age_of_their_heartbeats() -> None:
    moved, unmoved = {"a": Heartbeat(10.0, moved=True)}, {"b": Heartbeat(30.0, moved=False)}
    stopped = {"c": Heartbeat(30.1, moved=True), "d": Heartbeat(30.1, moved=False)}
    assert Workers.of(moved | unmoved | stopped, 30) == Workers(1, 2, 1, 10.0)
    assert Workers.of(unmoved, 30) == Workers(0, 0, 1, None)
    assert Workers.of({}, 30) == Workers()


def test_a_service_is_well_when_a_worker_is_seen_to_live(bench: Bench) -> None:
    assert bench.verdicts() == {**GOOD, "workers": "unknown"}
    bench.workers.beat("holder", "w", at=now())
    assert bench.verdicts() == GOOD


def test_without_a_worker_it_is_degraded_and_says_so(bench: Bench) -> None:
    bench.workers.forget(["holder"])
    assert bench.verdicts() == {**GOOD, "all": "degraded", "workers": "degraded"}
    assert bench.told("workers") == "No worker is alive; accepted jobs wait for one."
    assert bench.health.look().ready


def test_a_job_that_waits_long_in_the_outbox_is_told(bench: Bench) -> None:
    bench.jobs.add([a_job(created=now() - 59_000_000)])
    assert bench.verdicts()["outbox"] == "ok"
    bench.jobs.add([a_job(created=now() - 3_600_000_000)])
    assert bench.verdicts() == {**GOOD, "all": "degraded", "outbox": "degraded", "workers": "unknown"}
    assert bench.told("outbox") == "A job has waited for the broker for 3600 seconds."
    assert bench.health.look().waiting == 2


def test_a_broker_that_is_away_degrades(bench: Bench) -> None:
    bench.relay.broker_state = "The broker cannot be reached."
    assert bench.verdicts() == {**GOOD, "all": "degraded", "broker": "degraded", "workers": "unknown"}
    assert bench.told("broker") == "The broker cannot be reached."


def test_a_wrong_schema_takes_no_jobs(bench: Bench) -> None:
    bench.schema = "The database lacks tables of this version."
    assert bench.verdicts() == {
        "all": "unavailable",
        "database": "ok",
        "broker": "ok",
        "schema": "unavailable",
        "outbox": "unknown",
        "workers": "unknown",
    }
    assert not bench.health.look().ready


def test_without_its_database_it_is_not_ready_and_says_why(tmp_path: Path) -> None:
    with closing(Database(f"sqlite:///{tmp_path}/no/such/folder.db")) as database:
        failures: list[str] = []
        database.on_failure = failures.append
        seen = Bench(database).health.look()
    assert (seen.verdict, seen.ready, failures) == ("unavailable", False, ["unopened"])
    told = seen.parts["database"].message or ""
    assert "its file cannot be opened" in told
    assert str(tmp_path) not in told


def test_many_who_ask_share_one_look() -> None:
    looks: list[int] = []
    kept = TtlCache(lambda: looks.append(1) or len(looks), 60)
    assert [kept.get() for _ in range(5)] == [1] * 5
    assert looks == [1]


def test_who_asks_while_the_database_is_silent_is_told_so_and_waits_for_nobody(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked, answered = threading.Event(), threading.Event()

    def silent() -> str:
        asked.set()
        assert answered.wait(30)
        return "ok"

    def look() -> Readiness:
        with closing(bench.database):
            return bench.health.look()

    monkeypatch.setattr(bench.health, "_schema", silent)
    with ThreadPoolExecutor(1) as threads:
        first = threads.submit(look)
        assert asked.wait(30)
        seen = bench.health.look()
        assert (seen.verdict, seen.parts["database"].message) == ("unavailable", "The database has not answered yet.")
        answered.set()
        assert first.result(30).parts["database"].verdict == "ok"
