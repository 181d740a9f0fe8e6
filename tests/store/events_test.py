"""The events of all jobs as one sequence, and progress reports."""

import pytest

from pacifica.dispatcher.core.job import Job, now
from pacifica.dispatcher.store.database import Database
from pacifica.dispatcher.store.events import EventStore
from pacifica.dispatcher.store.jobs import JobStore

from .conftest import a_job
from .job_steps import claim, succeed, terminate


@pytest.fixture
def history(database: Database) -> EventStore:
    """The events of a fresh database."""
    return EventStore(database)


def started(jobs: JobStore, **columns: object) -> Job:
    """A job that a worker runs, with the token "t"."""
    job = a_job(**columns)
    jobs.add([job])
    assert claim(jobs, job, "t")
    return job


def test_events_of_all_jobs_are_read_in_order(jobs: JobStore, history: EventStore) -> None:
    begin = history.last()
    one, two = started(jobs), started(jobs)
    assert succeed(jobs, one, "t")
    events = history.between(begin, history.last(), 100)
    assert [(event.job, event.kind) for event in events] == [
        (one.uuid, "PENDING"),
        (one.uuid, "STARTED"),
        (two.uuid, "PENDING"),
        (two.uuid, "STARTED"),
        (one.uuid, "SUCCESS"),
    ]
    assert [event.id for event in events] == sorted(event.id for event in events)
    assert [(event, job) for event, job, *_ in history.peek(begin, 3)] == [
        (event.id, event.job) for event in events[:3]
    ]
    assert history.last() == events[-1].id


def test_events_are_read_within_bounds(jobs: JobStore, history: EventStore) -> None:
    begin = history.last()
    one, two = started(jobs), started(jobs)
    events = history.between(begin, history.last(), 100)
    assert history.between(events[0].id, events[2].id, 100) == events[1:3]
    assert history.between(begin, history.last(), 2) == events[:2]
    assert history.between(begin, history.last(), 100, two.uuid) == events[2:]
    assert history.between(begin, history.last(), 100, one.uuid) == jobs.events(one.uuid)


def test_only_the_last_progress_report_is_kept(jobs: JobStore, history: EventStore) -> None:
    job = started(jobs)
    seen = []
    for current in (1, 2, 3):
        value = {"current": current, "total": 3, "message": "grüß\0"}
        assert jobs.report_progress(job.uuid, token="t", progress=value, at=now())
        seen.append(history.last())
    found = jobs.get(job.uuid)
    assert found is not None
    assert found.progress == {"current": 3, "total": 3, "message": "grüß\0"}
    assert [(event.kind, event.data.get("current")) for event in jobs.events(job.uuid)] == [
        ("PENDING", None),
        ("STARTED", None),
        ("PROGRESS", 3),
    ]
    assert seen == sorted(set(seen)), "no id is used twice, so that a follower misses nothing"


def test_progress_counts_only_with_the_current_claim(jobs: JobStore) -> None:
    job = started(jobs)
    assert not jobs.report_progress(job.uuid, token="other", progress={"current": 1}, at=now())
    assert succeed(jobs, job, "t")
    before = jobs.events(job.uuid)
    assert not jobs.report_progress(job.uuid, token="t", progress={"current": 1}, at=now())
    assert jobs.events(job.uuid) == before


def test_run_times_are_of_the_latest_successes_of_a_task(jobs: JobStore, history: EventStore) -> None:
    for task, seconds in (("add", 1), ("add", 3), ("mul", 7)):
        job = a_job(task=task)
        jobs.add([job])
        assert claim(jobs, job, "t", at=1_000_000)
        assert succeed(jobs, job, "t", at=1_000_000 * (1 + seconds))
    failed = started(jobs)
    assert terminate(jobs, failed, "t", reason="no")
    assert sorted(history.run_times("add")) == [1_000_000, 3_000_000]
    assert history.run_times("nothing") == []
