"""The verdicts on the parts that a job needs, and the number of living workers."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest

from pacifica.dispatcher.core.faults import ConfigFault
from pacifica.dispatcher.core.job import now
from pacifica.dispatcher.core.liveness import ObservedHeartbeat
from pacifica.dispatcher.core.ttl_cache import TtlCache
from pacifica.dispatcher.monitoring import health
from pacifica.dispatcher.monitoring.health import HealthCheck, ReadinessReport, Workers
from pacifica.dispatcher.store.database import Database
from pacifica.dispatcher.store.jobs import JobStore
from pacifica.dispatcher.store.outbox import Outbox
from pacifica.dispatcher.store.workers import WorkerStore

from ..store.conftest import a_job


class Relay:
    """A relay whose broker answers."""

    broker_state = "ok"
    confirmed: float | None = None


class Process:
    """The health of one process, which is checked at each look."""

    def __init__(self, database: Database, *, row_queue: bool = False) -> None:
        self.database, self.relay = database, Relay()
        self.schema: Callable[[], str] = lambda: "ok"
        self.jobs, self.workers = JobStore(database), WorkerStore(database)
        relay = None if row_queue else lambda: self.relay
        self.faults: list[ConfigFault] = []
        self.health = HealthCheck(
            Outbox(database), self.workers, relay, self._check_schema, 30, missing=lambda: self.faults
        )

    def _check_schema(self) -> str:
        return self.schema()

    def verdicts(self) -> dict[str, str]:
        """The verdict on each part, and the overall verdict."""
        readiness = self.health.look()
        return {"all": readiness.verdict, **{name: part.verdict for name, part in readiness.parts.items()}}

    def message(self, part: str) -> str | None:
        """The sentence about a part."""
        return self.health.look().parts[part].message


@pytest.fixture
def process(sqlite_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Process]:
    """A process with an empty database, in which one worker is registered."""
    monkeypatch.setattr(health, "KEPT", 0.0)
    with closing(Database(sqlite_url)) as database:
        database.wait_until_up(1, 0.0)
        made = Process(database)
        made.workers.beat("holder", "w", at=now())
        yield made


GOOD = dict.fromkeys(("all", "database", "broker", "schema", "outbox", "workers", "tasks"), "ok")


def test_workers_are_counted_by_the_age_of_their_heartbeats() -> None:
    moved, unmoved = {"a": ObservedHeartbeat(10.0, moved=True)}, {"b": ObservedHeartbeat(30.0, moved=False)}
    stopped = {"c": ObservedHeartbeat(30.1, moved=True), "d": ObservedHeartbeat(30.1, moved=False)}
    assert Workers.of(moved | unmoved | stopped, 30) == Workers(1, 2, 1, 10.0)
    assert Workers.of(unmoved, 30) == Workers(0, 0, 1, None)
    assert Workers.of({}, 30) == Workers()


def test_all_parts_are_ok_once_the_heartbeat_of_a_worker_has_moved(process: Process) -> None:
    assert process.verdicts() == {**GOOD, "workers": "unknown"}
    process.workers.beat("holder", "w", at=now())
    assert process.verdicts() == GOOD


def test_without_a_worker_the_service_is_degraded_but_ready(process: Process) -> None:
    process.workers.forget(["holder"])
    assert process.verdicts() == {**GOOD, "all": "degraded", "workers": "degraded"}
    assert process.message("workers") == "No worker is alive; accepted jobs wait for one."
    assert process.health.look().ready


def test_missing_modules_degrade_the_tasks_with_a_sentence_for_the_first_ones(process: Process) -> None:
    process.workers.beat("holder", "w", at=now())
    process.verdicts()
    process.workers.beat("holder", "w", at=now())
    process.faults = [ConfigFault("dispatcher", "adopt", f"shop{n}:app", "redis://u:hush@h is off.") for n in range(5)]
    assert process.verdicts() == {**GOOD, "all": "degraded", "tasks": "degraded"}
    message = process.message("tasks") or ""
    assert message.startswith("Some tasks are missing. [dispatcher] adopt = shop0:app: redis://u:***@h is off. [dis")
    assert message.endswith("shop2:app: redis://u:***@h is off. And 2 more.")
    process.schema = lambda: "too old"
    assert process.verdicts()["tasks"] == "degraded"


def test_a_job_that_waits_long_in_the_outbox_degrades_the_service(process: Process) -> None:
    process.jobs.add([a_job(created=now() - 59_000_000)])
    assert process.verdicts()["outbox"] == "ok"
    process.jobs.add([a_job(created=now() - 3_600_000_000)])
    assert process.verdicts() == {**GOOD, "all": "degraded", "outbox": "degraded", "workers": "unknown"}
    assert process.message("outbox") == "A job has waited for the broker for 3600 seconds."
    assert process.health.look().waiting == 2


def test_a_broker_that_cannot_be_reached_degrades_the_service(process: Process) -> None:
    process.relay.broker_state = "The broker cannot be reached."
    assert process.verdicts() == {**GOOD, "all": "degraded", "broker": "degraded", "workers": "unknown"}
    assert process.message("broker") == "The broker cannot be reached."


def test_job_that_waits_for_a_busy_worker_does_not_degrade_a_service_without_broker(process: Process) -> None:
    rows = Process(process.database, row_queue=True)
    rows.jobs.add([a_job(created=now() - 3_600_000_000)])
    assert rows.verdicts() == {**GOOD, "all": "degraded", "outbox": "degraded", "workers": "unknown"}
    assert rows.message("outbox") == "A job has waited for a worker for 3600 seconds."
    rows.workers.beat("holder", "w", at=now())
    assert rows.verdicts() == GOOD
    assert 3599 < (rows.health.look().parts["outbox"].age or 0) < 3700


def test_database_is_the_broker_of_a_service_without_one(tmp_path: Path) -> None:
    with closing(Database(f"sqlite:///{tmp_path}/no/such/folder.db")) as database:
        parts = Process(database, row_queue=True).health.look().parts
    assert parts["broker"] == parts["database"]
    assert parts["broker"].verdict == "unavailable"


def test_with_a_wrong_schema_the_service_is_not_ready(process: Process) -> None:
    process.schema = lambda: "The database lacks tables of this version."
    assert process.verdicts() == {
        "all": "unavailable",
        "database": "ok",
        "broker": "ok",
        "schema": "unavailable",
        "outbox": "unknown",
        "workers": "unknown",
        "tasks": "ok",
    }
    assert not process.health.look().ready


def test_without_its_database_the_service_is_not_ready_and_says_why(tmp_path: Path) -> None:
    with closing(Database(f"sqlite:///{tmp_path}/no/such/folder.db")) as database:
        failures: list[str] = []
        database.on_failure = failures.append
        readiness = Process(database).health.look()
    assert (readiness.verdict, readiness.ready, failures) == ("unavailable", False, ["unopened"])
    message = readiness.parts["database"].message or ""
    assert "its file cannot be opened" in message
    assert str(tmp_path) not in message


def test_callers_share_one_check() -> None:
    checks: list[int] = []
    cache = TtlCache(lambda: checks.append(1) or len(checks), 60)
    assert [cache.get() for _ in range(5)] == [1] * 5
    assert checks == [1]


def test_a_caller_does_not_wait_for_a_check_of_a_silent_database(process: Process) -> None:
    checking, answered = threading.Event(), threading.Event()

    def wait_for_the_answer() -> str:
        checking.set()
        assert answered.wait(30)
        return "ok"

    def look() -> ReadinessReport:
        with closing(process.database):
            return process.health.look()

    process.schema = wait_for_the_answer
    with ThreadPoolExecutor(1) as threads:
        first = threads.submit(look)
        assert checking.wait(30)
        second = process.health.look()
        message = second.parts["database"].message
        assert (second.verdict, message) == ("unavailable", "The database has not answered yet.")
        answered.set()
        assert first.result(30).parts["database"].verdict == "ok"
