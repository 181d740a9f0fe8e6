"""A worker's heartbeat puts back the jobs that are no longer in its hands, and no others."""

from collections.abc import Callable, Collection, Iterator
from contextlib import closing

import pytest

from pacifica.dispatcher.core.job import Job, State, now
from pacifica.dispatcher.store.database import Database
from pacifica.dispatcher.store.jobs import JobStore
from pacifica.dispatcher.store.workers import WorkerStore
from pacifica.dispatcher.worker.heartbeat import Heartbeat

from ..eventually import eventually
from ..store.conftest import a_job
from ..store.job_steps import claim, lose, queue_of

HOLDER = "lease-1"


class HeartbeatHarness:
    """A job, and the heartbeat of a worker that holds the claims ``in_hand``."""

    def __init__(self, database: Database) -> None:
        self.jobs = JobStore(database, durable=False)
        self.job = a_job()
        self.jobs.add([self.job])
        self.checks = 0
        self.in_hand: set[tuple[str, str]] = set()
        self.during_second_check: Callable[[], None] = lambda: None
        self.heartbeat = Heartbeat(
            WorkerStore(database),
            queue_of(self.jobs),
            HOLDER,
            "w",
            seconds=0.1,
            running=self.running,
            stop_job=self.stop_job,
        )

    def running(self) -> Collection[str]:
        """The claims in hand; calls ``during_second_check`` after they were read for the second time."""
        self.checks += 1
        in_hand = self.in_hand
        if self.checks == 2:
            self.during_second_check()
        return in_hand

    def stop_job(self, uuid: str) -> None:
        """Fail to stop a job that was cancelled."""
        raise RuntimeError(uuid)

    def claim(self, token: str) -> None:
        """Start the next attempt."""
        assert claim(self.jobs, self.job, token, holder=HOLDER)

    def found(self) -> Job:
        """The job in its present state."""
        job = self.jobs.get(self.job.uuid)
        assert job is not None
        return job


@pytest.fixture
def harness(sqlite_url: str) -> Iterator[HeartbeatHarness]:
    """A fresh database with one job, and a heartbeat that has not been started."""
    with closing(Database(sqlite_url)) as database:
        database.wait_until_up(1, 0.0)
        yield HeartbeatHarness(database)


def test_job_in_hand_stays_started(harness: HeartbeatHarness) -> None:
    harness.claim("t1")
    harness.in_hand = {(harness.job.uuid, "t1")}
    harness.heartbeat.start()
    eventually(lambda: harness.checks >= 5)
    assert (harness.found().state, harness.found().attempt) == (State.STARTED, 1)
    harness.heartbeat.stop()


def test_job_no_longer_in_hand_is_put_back(harness: HeartbeatHarness) -> None:
    harness.claim("t1")
    harness.heartbeat.start()
    eventually(lambda: harness.found().state is State.PENDING)
    harness.heartbeat.stop()


def test_attempt_that_begins_during_a_check_is_not_taken_for_a_missing_one(harness: HeartbeatHarness) -> None:
    def put_back_and_claim_again() -> None:
        assert lose(harness.jobs, harness.job, "t1")
        harness.claim("t2")
        harness.in_hand = {(harness.job.uuid, "t2")}

    harness.during_second_check = put_back_and_claim_again
    harness.claim("t1")
    harness.heartbeat.start()
    eventually(lambda: harness.checks >= 5)
    assert (harness.found().state, harness.found().attempt) == (State.STARTED, 2)
    assert [event.kind for event in harness.jobs.events(harness.job.uuid)].count("LOST") == 1
    harness.heartbeat.stop()


def test_failed_cancellation_does_not_keep_lost_jobs_from_being_put_back(
    harness: HeartbeatHarness, caplog: pytest.LogCaptureFixture
) -> None:
    other = a_job()
    harness.jobs.add([other])
    assert claim(harness.jobs, other, "t2", holder=HOLDER)
    assert harness.jobs.ask_to_cancel(other.uuid, at=now())
    harness.claim("t1")
    harness.in_hand = {(other.uuid, "t2")}
    harness.heartbeat.start()
    eventually(lambda: harness.found().state is State.PENDING)
    assert other.uuid in caplog.text
    harness.heartbeat.stop()
