"""Upkeep on a real record, with a broker that only says what it is asked."""

import time
from collections.abc import Iterator, Mapping
from contextlib import closing
from typing import Any

import pytest

from pacifica.dispatcher import orm
from pacifica.dispatcher.core.job import Job, State, now
from pacifica.dispatcher.service.verbs import outgoing
from pacifica.dispatcher.store.database import Database
from pacifica.dispatcher.store.event_counts import EventCountStore
from pacifica.dispatcher.store.jobs import JobStore
from pacifica.dispatcher.store.leader import ElectionStore
from pacifica.dispatcher.store.outbox import Outbox
from pacifica.dispatcher.store.workers import WorkerStore
from pacifica.dispatcher.upkeep.event_counting import EventCounting
from pacifica.dispatcher.upkeep.leader_election import Election
from pacifica.dispatcher.upkeep.maintenance import FAR, Upkeep

from ..eventually import eventually
from ..store.conftest import a_job, a_retention

LEASE = 0.1


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
        self.database = database
        self.jobs, self.outbox, self.broker = JobStore(database), Outbox(database), Broker()
        self.election = Election(ElectionStore(database, "upkeep"), lease=LEASE)
        self.upkeep = Upkeep(
            self.jobs,
            self.outbox,
            WorkerStore(database),
            self.broker,
            retention=a_retention(database),
            counting=EventCounting(EventCountStore(database)),
            election=self.election,
            lease=LEASE,
            interval=0.02,
            republish=1,
            keep_keys=1,
        )

    def elections(self) -> int:
        """How many duties somebody has."""
        return int(self.database.read(orm.Election.select().count))

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


def test_the_jobs_are_surveyed_at_first_and_seldom_after_that(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    surveyed: list[int] = []
    monkeypatch.setattr(bench.jobs, "analyze", lambda: surveyed.append(1))
    for _ in range(3):
        bench.upkeep.round()
    assert surveyed == [1]


def test_of_two_the_elected_one_looks_after_jobs_and_the_other_takes_over_when_it_stops(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = Bench(bench.database)
    eventually(lambda: bench.upkeep.turn() or bench.elections() == 1)
    looked_at: list[str] = []
    for which, name in ((bench, "elected"), (other, "other")):
        monkeypatch.setattr(which.jobs, "expired", lambda name=name, **_: looked_at.append(name) or [])
    lost = a_job()
    bench.jobs.add([lost])
    assert bench.jobs.claim(lost.uuid, token="t", worker="w", holder="dead", retries=0, at=now())
    eventually(lambda: other.upkeep.turn() or bench.upkeep.turn() or bench.found(lost).state is State.PENDING)
    assert set(looked_at) == {"elected"}
    bench.upkeep.stop()
    other.upkeep.turn()
    assert looked_at[-1] == "other"


def test_who_is_elected_next_knows_already_which_worker_is_dead(bench: Bench) -> None:
    other = Bench(bench.database)
    eventually(lambda: bench.upkeep.turn() or bench.elections() == 1)
    lost = a_job()
    bench.jobs.add([lost])
    assert bench.jobs.claim(lost.uuid, token="t", worker="w", holder="dead", retries=0, at=now())
    until = time.monotonic() + 3 * LEASE
    eventually(lambda: (bench.election.won() and other.upkeep.turn()) or time.monotonic() > until)
    assert bench.found(lost).state is State.STARTED
    bench.upkeep.stop()
    other.upkeep.turn()
    assert bench.found(lost).state is State.PENDING


def test_a_worker_that_was_taken_for_dead_and_comes_back_has_its_whole_lease_again(bench: Bench) -> None:
    workers = WorkerStore(bench.database)
    workers.beat("frozen", "w", at=now())
    eventually(lambda: bench.upkeep.turn() or not workers.beats())
    workers.beat("frozen", "w", at=now())
    taken = a_job()
    bench.jobs.add([taken])
    assert bench.jobs.claim(taken.uuid, token="t", worker="w", holder="frozen", retries=0, at=now())
    bench.upkeep.turn()
    assert bench.found(taken).state is State.STARTED


def test_a_purge_goes_on_where_the_round_before_has_stopped_and_ends_with_the_thread(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    at = now() - 10_000_000
    for _ in range(7):
        bench.jobs.add([a_job(state=State.SUCCESS, created=at, finished=at, due=None)])
    retention = a_retention(bench.database, success_seconds=1.0)
    left = []
    for stop in (False, True, False, False):
        retention.work(0.0 if not left else FAR, lambda _, stop=stop: stop)
        left.append(bench.database.read(orm.Job.select().count))
    assert left == [5, 3, 0, 0]
    assert [record.message for record in caplog.records] == ["Purged 7 jobs (7 SUCCESS)."]


# Messages that the broker has lost


def sent_again(bench: Bench, jobs: list[Job]) -> list[int]:
    """Which of these jobs one round has put back into the outbox."""
    bench.upkeep.round()
    return [place for place, job in enumerate(jobs) if bench.found(job).due is not None]


def test_of_a_queue_that_lost_some_messages_those_sent_first_are_sent_again(bench: Bench) -> None:
    bench.broker.ready_in = {"default": 3}
    jobs = [bench.sent(seconds) for seconds in (50, 40, 30, 20, 10)]
    assert sent_again(bench, jobs) == [0, 1]


def test_a_queue_that_holds_all_that_wait_is_left_alone(bench: Bench) -> None:
    bench.broker.ready_in = {"default": 5}
    jobs = [bench.sent(seconds, task=task) for seconds, task in ((50, "add"), (40, "mul"), (30, "add"), (0, "add"))]
    assert sent_again(bench, jobs) == []


def test_what_has_just_been_sent_does_not_hide_what_was_lost(bench: Bench) -> None:
    """A queue that is always well filled, as new jobs come all the time."""
    bench.broker.ready_in = {"default": 20}
    jobs = [bench.sent(10), *(bench.sent(0) for _ in range(20))]
    assert sent_again(bench, jobs) == [0]


def test_many_that_wait_in_one_queue_do_not_hide_what_another_one_lost(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pacifica.dispatcher.upkeep.maintenance.BATCH", 5)
    bench.broker.ready_in = {"nobody": 30}
    jobs = [*(bench.sent(100, queue="nobody") for _ in range(30)), bench.sent(10, queue="lost")]
    assert sent_again(bench, jobs) == [30]
