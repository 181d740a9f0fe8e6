"""A worker's lease: it gives back what is not in hand any more, and nothing that is."""

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

HOLDER = "lease-1"


class Bench:
    """A job, and the worker that has it in hand as far as ``in_hand`` says."""

    def __init__(self, database: Database) -> None:
        self.jobs = JobStore(database, durable=False)
        self.job = a_job()
        self.jobs.add([self.job])
        self.looks = 0
        self.in_hand: set[str] = set()
        self.stopped: list[str] = []
        self.during_second_look: Callable[[], None] = lambda: None
        self.lease = Heartbeat(
            WorkerStore(database), self.jobs, HOLDER, "w", seconds=0.1, running=self.look, stop_job=self.stopped.append
        )

    def look(self) -> Collection[str]:
        """What the lease is told at its next look, which then goes on with what has happened since."""
        self.looks += 1
        told = self.in_hand
        if self.looks == 2:
            self.during_second_look()
        return told

    def claim(self, token: str) -> None:
        """Start the next attempt."""
        assert self.jobs.claim(self.job.uuid, token=token, worker="w", holder=HOLDER, retries=0, at=now())

    def found(self) -> Job:
        """The job as it stands."""
        job = self.jobs.get(self.job.uuid)
        assert job is not None
        return job


@pytest.fixture
def bench(sqlite_url: str) -> Iterator[Bench]:
    """A fresh database with one job, and a lease that has not been started."""
    with closing(Database(sqlite_url)) as database:
        database.wait_until_up(1, 0.0)
        yield Bench(database)


def test_what_is_in_hand_stays(bench: Bench) -> None:
    bench.claim("t1")
    bench.in_hand = {"t1"}
    bench.lease.start()
    eventually(lambda: bench.looks >= 5)
    assert (bench.found().state, bench.found().attempt) == (State.STARTED, 1)
    bench.lease.stop()


def test_what_is_not_in_hand_any_more_is_put_back(bench: Bench) -> None:
    bench.claim("t1")
    bench.lease.start()
    eventually(lambda: bench.found().state is State.PENDING)
    bench.lease.stop()


def test_an_attempt_that_began_during_a_look_is_not_taken_for_the_one_that_was_missing(bench: Bench) -> None:
    def put_back_and_claim_again() -> None:
        assert bench.jobs.lose(bench.job.uuid, token="t1", reason="its child ended", at=now())
        bench.claim("t2")
        bench.in_hand = {"t2"}

    bench.during_second_look = put_back_and_claim_again
    bench.claim("t1")
    bench.lease.start()
    eventually(lambda: bench.looks >= 5)
    assert (bench.found().state, bench.found().attempt) == (State.STARTED, 2)
    assert [event.kind for event in bench.jobs.events(bench.job.uuid)].count("LOST") == 1
    bench.lease.stop()


def test_a_cancel_that_cannot_be_carried_out_keeps_no_lost_job_from_being_put_back(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(uuid: str) -> None:
        raise RuntimeError(uuid)

    other = a_job()
    bench.jobs.add([other])
    assert bench.jobs.claim(other.uuid, token="t2", worker="w", holder=HOLDER, retries=0, at=now())
    assert bench.jobs.ask_to_cancel(other.uuid, at=now())
    bench.claim("t1")
    bench.in_hand = {"t2"}
    bench.lease._stop_job = refuse
    bench.lease.start()
    eventually(lambda: bench.found().state is State.PENDING)
    assert other.uuid in caplog.text
    bench.lease.stop()
