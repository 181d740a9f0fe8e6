"""Upkeep on a real record, with a broker that only says what it is asked."""

from collections.abc import Iterator, Mapping
from contextlib import closing
from typing import Any

import pytest

from pacifica.dispatcher.job import Job, State, now
from pacifica.dispatcher.service import outgoing
from pacifica.dispatcher.store.database import Database
from pacifica.dispatcher.store.jobs import JobStore
from pacifica.dispatcher.store.outbox import Outbox
from pacifica.dispatcher.store.workers import WorkerStore
from pacifica.dispatcher.upkeep import Upkeep

from ..eventually import eventually
from ..record.conftest import a_job


class Broker:
    """How many messages each queue holds."""

    def __init__(self) -> None:
        self.ready_in: Mapping[str, int] = {}
        self.fails: Exception | None = None

    def queue_of(self, task: str, queue: str | None) -> str | None:
        if self.fails is not None:
            raise self.fails
        return None if task == "elsewhere" else queue or "default"

    def ready(self, name: str) -> int | None:
        return self.ready_in.get(name, 0)


class Bench:
    """A record, its broker, and upkeep with short times."""

    def __init__(self, database: Database) -> None:
        self.jobs, self.outbox, self.broker = JobStore(database), Outbox(database), Broker()
        self.upkeep = Upkeep(
            self.jobs, self.outbox, WorkerStore(database), self.broker, lease=0.1, interval=0.02, republish=1
        )

    def sent(self, seconds_ago: int, **columns: Any) -> Job:
        """A job whose message was confirmed so long ago."""
        job = a_job(**columns)
        self.jobs.add([job])
        self.outbox.mark_published([outgoing(job)], at=now() - seconds_ago * 1_000_000)
        return job

    def found(self, job: Job) -> Job:
        """The job as it stands."""
        found = self.jobs.get(job.uuid)
        assert found is not None
        return found


@pytest.fixture
def bench(sqlite_url: str) -> Iterator[Bench]:
    """An empty record."""
    with closing(Database(sqlite_url)) as database:
        database.wait_until_up(1, 0.0)
        made = Bench(database)
        yield made
        made.upkeep.stop()


def test_a_broker_that_cannot_be_asked_keeps_no_lost_job_from_being_put_back(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    bench.broker.fails = KeyError("queue")
    bench.sent(1000)
    lost = a_job()
    bench.jobs.add([lost])
    assert bench.jobs.claim(lost.uuid, token="t", worker="w", holder="dead", retries=0, at=now())
    bench.upkeep.start()
    eventually(lambda: bench.found(lost).state is State.PENDING)
    assert "KeyError" in caplog.text


def test_a_job_whose_queue_cannot_be_told_is_left_alone(bench: Bench) -> None:
    elsewhere, lost = bench.sent(1000, task="elsewhere"), bench.sent(10)
    bench.upkeep.round()
    assert bench.found(elsewhere).due is None
    assert bench.found(lost).due is not None
