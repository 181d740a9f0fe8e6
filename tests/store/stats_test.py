"""Unfinished jobs, by task and state."""

from pacifica.dispatcher.core.job import State
from pacifica.dispatcher.store.database import Database
from pacifica.dispatcher.store.jobs import JobStore
from pacifica.dispatcher.store.stats import UnfinishedJobs, unfinished_jobs

from .conftest import a_job
from .event_counts_test import ran
from .job_steps import claim


def test_unfinished_jobs_are_counted_by_task_and_state(jobs: JobStore, database: Database) -> None:
    jobs.add([a_job(created=number, due=None) for number in (5, 3, 4)])
    jobs.add([a_job(task="mul", created=2, eta=900, due=None)])
    ran(jobs, 1)
    started = a_job(task="mul", created=1)
    jobs.add([started])
    claim(jobs, started, "t", at=9)
    pending = State.PENDING.value
    seen = [
        UnfinishedJobs("add", pending, 3, 3),
        UnfinishedJobs("mul", pending, 1, None),
        UnfinishedJobs("mul", State.STARTED.value, 1, 9),
    ]
    assert sorted(unfinished_jobs(database, at=800, limit=10)) == seen
    assert [one.since for one in sorted(unfinished_jobs(database, at=900, limit=10)) if one.state == pending] == [
        3,
        900,
    ]
    assert sum(one.jobs for one in unfinished_jobs(database, at=800, limit=2) if one.state == pending) == 2
