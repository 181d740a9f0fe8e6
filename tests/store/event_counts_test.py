"""The counts of events: each event is counted once, by task, kind and run time."""

from collections.abc import Iterator
from contextlib import closing

import pytest

from pacifica.dispatcher.core.job import Job, JobError
from pacifica.dispatcher.store.database import Database
from pacifica.dispatcher.store.event_counts import BUCKETS, Count, CountKey, EventCounts, EventCountStore
from pacifica.dispatcher.store.events import EventStore
from pacifica.dispatcher.store.jobs import JobStore

from .conftest import a_job
from .indexes_test import plan, statements
from .job_steps import claim, fail, succeed

SECOND = 1_000_000


@pytest.fixture
def store(database: Database) -> EventCountStore:
    """The counts of an empty database."""
    return EventCountStore(database)


def ran(jobs: JobStore, seconds: float, task: str = "add", *, fails: bool = False) -> Job:
    """A job that ran for so long."""
    job = a_job(task=task, created=SECOND)
    jobs.add([job])
    claim(jobs, job, job.uuid, at=SECOND)
    end = SECOND + int(seconds * SECOND)
    if fails:
        fail(jobs, job, job.uuid, error=JobError("ValueError", "no"), at=end)
    else:
        succeed(jobs, job, job.uuid, at=end)
    return job


def test_a_run_is_counted_in_the_bucket_of_its_time(jobs: JobStore, store: EventCountStore) -> None:
    for seconds in (0, 0.01, 0.02, BUCKETS[-1] + 1):
        ran(jobs, seconds)
    ran(jobs, 2, "mul", fails=True)
    ended = {key: count for key, count in store.count(0, store.last()).items() if key.bucket is not None}
    assert ended == {
        CountKey("add", "SUCCESS", 0): Count(2, SECOND // 100),
        CountKey("add", "SUCCESS", 1): Count(1, SECOND // 50),
        CountKey("add", "SUCCESS", len(BUCKETS)): Count(1, int(BUCKETS[-1] + 1) * SECOND),
        CountKey("mul", "FAILURE", 5): Count(1, 2 * SECOND),
    }


def test_events_of_all_kinds_are_counted_in_their_range(
    database: Database, jobs: JobStore, store: EventCountStore
) -> None:
    ran(jobs, 1)
    revoked = a_job()
    jobs.add([revoked])
    jobs.revoke(revoked.uuid, reason="cancelled", at=SECOND)
    kinds = {key.kind: count.events for key, count in store.count(0, store.last()).items()}
    assert kinds == {"PENDING": 2, "STARTED": 1, "SUCCESS": 1, "REVOKED": 1}
    places = [event for event, *_ in EventStore(database).peek(0, 10)]
    assert [key.kind for key in store.count(places[1], places[2])] == ["SUCCESS"]


def test_stored_counts_are_replaced_only_by_their_successor(store: EventCountStore) -> None:
    assert store.load() == EventCounts()
    first = EventCounts().plus(
        {CountKey("add", "SUCCESS", 3): Count(2, 20), CountKey(None, "STARTED", None): Count(2, 0)}, 4
    )
    assert store.replace(EventCounts(), first)
    assert store.load() == first
    assert not store.replace(EventCounts(), EventCounts(5)), "another process has stored these events already"
    second = first.plus({CountKey("add", "SUCCESS", 3): Count(1, 5), CountKey("mul", "SUCCESS", 0): Count(1, 1)}, 9)
    assert store.replace(first, second)
    assert not store.replace(first, EventCounts(7))
    assert store.load() == EventCounts(
        9,
        {
            CountKey("add", "SUCCESS", 3): Count(3, 25),
            CountKey(None, "STARTED", None): Count(2, 0),
            CountKey("mul", "SUCCESS", 0): Count(1, 1),
        },
    )


@pytest.fixture
def on_sqlite(sqlite_url: str) -> Iterator[Database]:
    """An SQLite file with its tables."""
    with closing(Database(sqlite_url)) as opened:
        opened.wait_until_up(1, 0.0)
        yield opened


def test_events_are_found_by_their_ids_alone(on_sqlite: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    (statement,) = statements(on_sqlite, lambda database: EventCountStore(database).count(3, 9), monkeypatch)
    steps = plan(on_sqlite, statement)
    assert "USING INTEGER PRIMARY KEY (rowid>? AND rowid<?)" in steps
    assert "SCAN" not in steps
