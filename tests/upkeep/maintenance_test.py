"""Upkeep on a real record, with a broker that returns what a test sets."""

import time

import pytest

from pacifica.dispatcher import orm
from pacifica.dispatcher.core.job import State, now
from pacifica.dispatcher.store.event_counts import CountKey, EventCountStore
from pacifica.dispatcher.store.idempotency import IdempotencyKey
from pacifica.dispatcher.upkeep import maintenance

from ..eventually import eventually
from ..store.conftest import a_job, a_pruner
from .conftest import LEASE, Process

NEVER = float("inf")


def test_a_failing_broker_keeps_no_lost_job_from_being_put_back(
    process: Process, caplog: pytest.LogCaptureFixture
) -> None:
    process.broker.fails = KeyError("queue")
    process.add_published(1000)
    lost = process.add_started("dead")
    process.upkeep.start()
    eventually(lambda: process.get(lost).state is State.PENDING)
    assert "KeyError" in caplog.text


def test_the_jobs_are_analyzed_in_the_first_round_and_rarely_later(
    process: Process, monkeypatch: pytest.MonkeyPatch
) -> None:
    analyzed: list[int] = []
    monkeypatch.setattr(process.jobs, "analyze", lambda: analyzed.append(1))
    for _ in range(3):
        process.upkeep.round()
    assert analyzed == [1]


def test_only_the_leader_does_the_duties_until_it_stops(process: Process, monkeypatch: pytest.MonkeyPatch) -> None:
    other = Process(process.database)
    eventually(process.is_elected)
    rounds: list[str] = []
    for each, name in ((process, "leader"), (other, "other")):
        monkeypatch.setattr(each.jobs, "revoke_expired", lambda name=name, **_: rounds.append(name) or 0)
    lost = process.add_started("dead")
    eventually(lambda: other.upkeep.turn() or process.upkeep.turn() or process.get(lost).state is State.PENDING)
    assert set(rounds) == {"leader"}
    process.upkeep.stop()
    other.upkeep.turn()
    assert rounds[-1] == "other"


def test_a_new_leader_knows_already_which_workers_are_dead(process: Process) -> None:
    other = Process(process.database)
    eventually(process.is_elected)
    lost = process.add_started("dead")
    until = time.monotonic() + 3 * LEASE
    eventually(lambda: (process.election.won() and other.upkeep.turn()) or time.monotonic() > until)
    assert process.get(lost).state is State.STARTED
    process.upkeep.stop()
    other.upkeep.turn()
    assert process.get(lost).state is State.PENDING


def test_a_worker_that_returns_after_it_was_declared_dead_has_a_whole_lease(process: Process) -> None:
    process.workers.beat("frozen", "w", at=now())
    eventually(lambda: process.upkeep.turn() or not process.workers.beats())
    process.workers.beat("frozen", "w", at=now())
    claimed = process.add_started("frozen")
    process.upkeep.turn()
    assert process.get(claimed).state is State.STARTED


def test_a_purge_continues_where_the_previous_round_stopped(process: Process, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    at = now() - 10_000_000
    for _ in range(7):
        process.jobs.add([a_job(state=State.SUCCESS, created=at, finished=at, due=None)])
    pruner = a_pruner(process.database, success_seconds=1.0)
    left = []
    for stop in (False, True, False, False):
        pruner.work(0.0 if not left else NEVER, lambda _, stop=stop: stop)
        left.append(process.database.read(orm.Job.select().count))
    assert left == [5, 3, 0, 0]
    assert [record.message for record in caplog.records] == ["Purged 7 jobs (7 SUCCESS)."]


def test_a_round_deletes_all_idempotency_keys_that_are_too_old(
    process: Process, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(maintenance, "BATCH", 1)
    monkeypatch.setattr(maintenance, "SHARE", NEVER)
    for age in (30, 90, 91):
        at = now() - age * 1_000_000
        process.jobs.add([a_job(created=at)], IdempotencyKey("me", f"{age} s old", "request", 0))
    process.upkeep.round()
    assert process.database.read(orm.Idempotency.select().count) == 1


@pytest.mark.parametrize(("share", "left"), [(NEVER, 0), (0.0, 2)])
def test_a_round_revokes_all_expired_jobs_within_its_time(
    process: Process, monkeypatch: pytest.MonkeyPatch, share: float, left: int
) -> None:
    monkeypatch.setattr(maintenance, "BATCH", 1)
    monkeypatch.setattr(maintenance, "SHARE", share)
    process.jobs.add([a_job(expires=now() - 1) for _ in range(3)])
    process.upkeep.round()
    assert process.database.read(orm.Job.select().where(orm.WAITING_STATES).count) == left


def test_a_round_counts_the_events_of_jobs(process: Process) -> None:
    """A round has little time to count, here 4 ms, so that it may take more than one."""
    process.add_started("living")

    def counted() -> dict[CountKey, int]:
        process.upkeep.round()
        return {key: count.events for key, count in EventCountStore(process.database).load().counts.items()}

    expected = {CountKey("add", "PENDING", None): 1, CountKey("add", "STARTED", None): 1}
    eventually(lambda: counted() == expected)
    assert counted() == expected
