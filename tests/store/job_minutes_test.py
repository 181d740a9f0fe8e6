"""The history of ended jobs: exact numbers for each span, which neither a purge nor a repetition changes."""

from collections import Counter
from collections.abc import Sequence

import pytest

from pacifica.dispatcher import orm
from pacifica.dispatcher.core.histogram import bucket_of, quantiles, total
from pacifica.dispatcher.core.job import FINAL, State, now
from pacifica.dispatcher.store import job_minutes
from pacifica.dispatcher.store.database import Database
from pacifica.dispatcher.store.event_counts import EventCounts, EventCountStore
from pacifica.dispatcher.store.job_minutes import (
    DAY,
    HOUR_SPAN,
    KEPT,
    MINUTE,
    QUARTER,
    EndedJobs,
    HistoryRow,
    MinuteKey,
)
from pacifica.dispatcher.store.jobs import JobStore
from pacifica.dispatcher.upkeep.event_counter import EventCounter

from .conftest import a_job, a_pruner, all_at_once
from .job_steps import add, claim, fail, lose, retry, succeed

SECOND = 1_000_000
AT = now() // (3600 * SECOND) * (3600 * SECOND)
"""The start of an hour."""


class Settled(EventCountStore):
    """Every event is taken as settled, so that a test on a server does not wait."""

    def __init__(self, database: Database) -> None:
        super().__init__(database)
        self.ordered = True


def count(database: Database) -> None:
    """Count as the leader does."""
    EventCounter(Settled(database)).work(float("inf"))


def run_one(jobs: JobStore, task: str, *, begin: int, wait: int = 0, run: int = 0, fails: bool = False) -> str:
    """A job that was created ``begin`` seconds after AT, waited and ran for as many seconds, and ended."""
    created = AT + begin * SECOND
    job = add(jobs, task=task, created=created, due=created)
    claim(jobs, job, job.uuid, at=created + wait * SECOND)
    end = created + (wait + run) * SECOND
    assert fail(jobs, job, job.uuid, at=end) if fails else succeed(jobs, job, job.uuid, at=end)
    return job.uuid


def numbers(rows: Sequence[HistoryRow]) -> dict[tuple[int, str, str], int]:
    """The number of jobs by minute after AT, task and outcome."""
    return {((key.start - AT // SECOND) // 60, key.task, key.outcome): jobs.jobs for key, jobs in rows}


def tasks_of(database: Database, span: int, since: int, outcome: str | None = None) -> list[HistoryRow]:
    """The rows of all tasks."""
    return job_minutes.read_tasks(database, span, since, lambda _: True, outcome)


def test_ended_jobs_are_counted_by_minute_task_and_outcome(jobs: JobStore, database: Database) -> None:
    run_one(jobs, "add", begin=-100, run=10)
    run_one(jobs, "add", begin=-100, run=15)
    run_one(jobs, "add", begin=-70, wait=5, run=60, fails=True)
    run_one(jobs, "mul", begin=-70, run=10)
    add(jobs, task="add")
    count(database)
    since = AT // SECOND - 3600
    assert numbers(tasks_of(database, MINUTE, since)) == {
        (-2, "add", "SUCCESS"): 2,
        (-1, "add", "FAILURE"): 1,
        (-1, "mul", "SUCCESS"): 1,
    }
    assert numbers(job_minutes.read_all(database, QUARTER, since)) == {(-15, "", "SUCCESS"): 3, (-15, "", "FAILURE"): 1}
    assert numbers(job_minutes.read_all(database, HOUR_SPAN, since)) == {
        (-60, "", "SUCCESS"): 3,
        (-60, "", "FAILURE"): 1,
    }
    ((_, failed),) = tasks_of(database, HOUR_SPAN, since, "FAILURE")
    assert (failed.run, failed.wait) == ({bucket_of(60 * SECOND): 1}, {bucket_of(5 * SECOND): 1})


def test_later_events_are_added_to_the_rows(jobs: JobStore, database: Database) -> None:
    for number in range(3):
        run_one(jobs, "add", begin=-60, run=number)
        count(database)
    count(database)
    ((_, found),) = job_minutes.read_all(database, HOUR_SPAN, AT // SECOND - 3600)
    assert found.jobs == sum(found.run.values()) == sum(found.wait.values()) == 3


def test_leaders_at_one_moment_count_a_job_once(jobs: JobStore, database: Database) -> None:
    for number in range(6):
        run_one(jobs, "add", begin=-60 - number, run=1)
    all_at_once(database, [lambda: count(database)] * 3)
    assert sum(jobs.jobs for _, jobs in job_minutes.read_all(database, MINUTE, 0)) == 6


def test_history_and_counts_change_together_or_not_at_all(
    jobs: JobStore, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_one(jobs, "add", begin=-60)
    store = Settled(database)

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as dying:
        dying.setattr(job_minutes, "add", interrupt)
        with pytest.raises(KeyboardInterrupt):
            count(database)
    assert store.load() == EventCounts()
    old = store.load()
    minutes = store.ended(0, store.last(), at=AT)
    assert not store.replace(EventCounts(7), EventCounts(9), minutes), "another process has counted these events"
    assert job_minutes.read_all(database, MINUTE, 0) == []
    assert store.replace(old, EventCounts(store.last()), minutes)
    assert not store.replace(old, EventCounts(store.last()), minutes)
    assert sum(jobs.jobs for _, jobs in job_minutes.read_all(database, MINUTE, 0)) == 1


def test_purge_does_not_change_the_history(jobs: JobStore, database: Database) -> None:
    uuid = run_one(jobs, "add", begin=-60, run=1)
    count(database)
    before = tasks_of(database, MINUTE, 0)
    late = run_one(jobs, "add", begin=-60, run=1)
    pruner = a_pruner(database, success_seconds=1.0)
    assert sum((purged for purged in pruner.purge({State.SUCCESS: now()})), Counter()).total() == 2
    assert (jobs.get(uuid), jobs.get(late)) == (None, None)
    count(database)
    assert tasks_of(database, MINUTE, 0) == before
    assert len(before) == 1


def test_only_a_first_start_has_a_waiting_time(jobs: JobStore, database: Database) -> None:
    lost = add(jobs, task="lost", created=AT - 50 * SECOND, due=AT - 50 * SECOND)
    claim(jobs, lost, "first", at=AT - 40 * SECOND)
    lose(jobs, lost, "first", at=AT - 30 * SECOND)
    claim(jobs, lost, "second", at=AT - 20 * SECOND)
    succeed(jobs, lost, "second", at=AT - 10 * SECOND)
    again = add(jobs, task="again", created=AT - 50 * SECOND, due=AT - 50 * SECOND)
    claim(jobs, again, "first", at=AT - 40 * SECOND)
    retry(jobs, again, "first", at=AT - 30 * SECOND, eta=AT - 20 * SECOND)
    claim(jobs, again, "second", retries=1, at=AT - 18 * SECOND)
    succeed(jobs, again, "second", at=AT - 10 * SECOND)
    revoked = add(jobs, task="revoked")
    jobs.revoke(revoked.uuid, reason="cancelled", at=AT)
    count(database)
    found = {key.task: each for key, each in tasks_of(database, HOUR_SPAN, 0)}
    assert found["lost"] == EndedJobs(1, {bucket_of(10 * SECOND): 1}, {})
    assert found["again"] == EndedJobs(1, {bucket_of(8 * SECOND): 1}, {bucket_of(2 * SECOND): 1})
    assert found["revoked"] == EndedJobs(1)


def test_old_rows_are_deleted_and_old_jobs_not_stored(jobs: JobStore, database: Database) -> None:
    run_one(jobs, "add", begin=-60)
    run_one(jobs, "add", begin=-3 * DAY)
    run_one(jobs, "add", begin=-40 * DAY)
    count(database)
    kept = {span: [key.start for key, _ in job_minutes.read_all(database, span, 0)] for span in KEPT}
    assert {span: len(starts) for span, starts in kept.items()} == {MINUTE: 1, QUARTER: 2, HOUR_SPAN: 2}
    assert not job_minutes.forget(database, at=now())
    assert job_minutes.forget(database, at=AT + 8 * DAY * SECOND, limit=1), "a batch that was full"
    while job_minutes.forget(database, at=AT + 8 * DAY * SECOND, limit=1):
        pass
    assert [len(job_minutes.read_all(database, span, 0)) for span in KEPT] == [0, 0, 2]
    assert len(database.rows(orm.JobMinutes.select(orm.JobMinutes.task))) == 4


def test_many_rows_are_written_in_several_statements(database: Database) -> None:
    minutes = {
        MinuteKey(MINUTE, 60 * number, task, outcome): EndedJobs(2, {1: 2}, {1: 1, 5: 1})
        for number in range(60)
        for task in ("", "add")
        for outcome in FINAL
    }
    for times in (1, 2):
        database.write(lambda db: job_minutes.add(db, minutes))
        rows = [*job_minutes.read_all(database, MINUTE, 0), *tasks_of(database, MINUTE, 0)]
        assert {key for key, _ in rows} == set(minutes)
        assert all(jobs == EndedJobs(2 * times, {1: 2 * times}, {1: times, 5: times}) for _, jobs in rows)


def test_stored_times_give_the_quantiles_of_the_jobs(jobs: JobStore, database: Database) -> None:
    for seconds in range(1, 21):
        run_one(jobs, "add", begin=-1000, wait=seconds, run=10 * seconds)
    count(database)
    rows = [jobs for _, jobs in job_minutes.read_all(database, MINUTE, 0)]
    for times, exact in (([row.run for row in rows], (100, 190)), ([row.wait for row in rows], (10, 19))):
        assert quantiles(total(times), (0.5, 0.95)) == pytest.approx(exact, rel=0.125)


def test_a_job_that_was_purged_before_it_was_counted_has_no_task(jobs: JobStore, database: Database) -> None:
    job = a_job()
    jobs.add([job])
    orm_event = {"job": "gone", "at": AT, "kind": "SUCCESS"}
    database.write(orm.Event.insert(orm_event).execute)
    count(database)
    assert [(key.task, each) for key, each in job_minutes.read_all(database, MINUTE, 0)] == [("", EndedJobs(1))]
    assert tasks_of(database, MINUTE, 0) == []


def test_rows_of_other_tasks_are_not_read(jobs: JobStore, database: Database) -> None:
    for task in ("add", "mul", "add"):
        run_one(jobs, task, begin=-60)
    count(database)
    rows = job_minutes.read_tasks(database, MINUTE, 0, "add".__eq__)
    assert [(row.key.task, row.ended.jobs) for row in rows] == [("add", 2)]
    assert job_minutes.read_tasks(database, MINUTE, 0, "other".__eq__) == []
