"""The figures of the record: what is in motion, and what the events of jobs tell."""

from collections.abc import Iterator
from contextlib import closing

import pytest

from pacifica.dispatcher.core.job import Job, JobError, State
from pacifica.dispatcher.store.database import Database
from pacifica.dispatcher.store.events import HistoryStore
from pacifica.dispatcher.store.jobs import JobStore
from pacifica.dispatcher.store.stats import BUCKETS, Ended, FigureStore, Moving

from .conftest import a_job
from .indexes_test import plan, statements

SECOND = 1_000_000


@pytest.fixture
def figures(database: Database) -> FigureStore:
    """The figures of a fresh database."""
    return FigureStore(database)


def ran(jobs: JobStore, seconds: float, task: str = "add", *, fails: bool = False) -> Job:
    """A job that ran for so long."""
    job = a_job(task=task, created=SECOND)
    jobs.add([job])
    jobs.claim(job.uuid, token=job.uuid, worker="w", holder="h", retries=0, at=SECOND)
    end = SECOND + int(seconds * SECOND)
    if fails:
        jobs.fail(job.uuid, token=job.uuid, error=JobError("ValueError", "no"), at=end)
    else:
        jobs.succeed(job.uuid, token=job.uuid, result=4, at=end)
    return job


def test_what_is_in_motion_is_counted_by_task_and_state(jobs: JobStore, figures: FigureStore) -> None:
    jobs.add([a_job(created=number, due=None) for number in (5, 3, 4)])
    jobs.add([a_job(task="mul", created=2, eta=900, due=None)])
    ran(jobs, 1)
    started = a_job(task="mul", created=1)
    jobs.add([started])
    jobs.claim(started.uuid, token="t", worker="w", holder="h", retries=0, at=9)
    pending = State.PENDING.value
    seen = [Moving("add", pending, 3, 3), Moving("mul", pending, 1, None), Moving("mul", State.STARTED.value, 1, 9)]
    assert sorted(figures.moving(at=800, limit=10)) == seen
    assert [one.since for one in sorted(figures.moving(at=900, limit=10)) if one.state == pending] == [3, 900]
    assert sum(one.jobs for one in figures.moving(at=800, limit=2) if one.state == pending) == 2


def test_a_run_is_counted_in_the_bucket_of_its_time(jobs: JobStore, figures: FigureStore) -> None:
    for seconds in (0, 0.01, 0.02, BUCKETS[-1] + 1):
        ran(jobs, seconds)
    ran(jobs, 2, "mul", fails=True)
    ended = [one for one in figures.ended(0, figures.last()) if one.bucket is not None]
    assert sorted(ended) == [
        Ended("add", "SUCCESS", 0, 2, SECOND // 100),
        Ended("add", "SUCCESS", 1, 1, SECOND // 50),
        Ended("add", "SUCCESS", len(BUCKETS), 1, int(BUCKETS[-1] + 1) * SECOND),
        Ended("mul", "FAILURE", 5, 1, 2 * SECOND),
    ]


def test_events_of_all_kinds_are_counted_in_their_range(
    database: Database, jobs: JobStore, figures: FigureStore
) -> None:
    ran(jobs, 1)
    revoked = a_job()
    jobs.add([revoked])
    jobs.revoke(revoked.uuid, reason="cancelled", at=SECOND)
    kinds = {one.kind: one.events for one in figures.ended(0, figures.last())}
    assert kinds == {"PENDING": 2, "STARTED": 1, "SUCCESS": 1, "REVOKED": 1}
    places = [event for event, _, _ in HistoryStore(database).peek(0, 10)]
    assert [one.kind for one in figures.ended(places[1], places[2])] == ["SUCCESS"]


@pytest.fixture
def on_sqlite(sqlite_url: str) -> Iterator[Database]:
    """An SQLite file with its tables."""
    with closing(Database(sqlite_url)) as opened:
        opened.wait_until_up(1, 0.0)
        yield opened


def test_events_are_found_by_their_ids_alone(on_sqlite: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    (said,) = statements(on_sqlite, lambda database: FigureStore(database).ended(3, 9), monkeypatch)
    told = plan(on_sqlite, said)
    assert "USING INTEGER PRIMARY KEY (rowid>? AND rowid<?)" in told
    assert "SCAN" not in told
