"""What a worker's main process says of a job that one of its children may be running."""

from collections.abc import Iterator
from contextlib import closing
from types import SimpleNamespace

import pytest
from celery.exceptions import TaskRevokedError

from pacifica.dispatcher.backend import PeeweeBackend
from pacifica.dispatcher.job import State, now
from pacifica.dispatcher.store.database import Database
from pacifica.dispatcher.store.jobs import JobStore

from ..record.conftest import a_job

HOLDER = "lease-1"


@pytest.fixture
def jobs(sqlite_url: str) -> Iterator[JobStore]:
    """The jobs of a fresh database."""
    with closing(Database(sqlite_url)) as database:
        database.wait_until_up(1, 0.0)
        yield JobStore(database)


def revoke(jobs: JobStore, uuid: str, reason: str) -> None:
    """The report that Celery makes in the main process, for its own reason."""
    backend = object.__new__(PeeweeBackend)  # A whole application is not needed for a report.
    backend.app = SimpleNamespace(jobs=jobs, holder=HOLDER)
    backend.store_result(uuid, TaskRevokedError(reason), "REVOKED")


def running(jobs: JobStore) -> str:
    """A job that the worker runs; its UUID."""
    job = a_job()
    jobs.add([job])
    assert jobs.claim(job.uuid, token="t1", worker="w", holder=HOLDER, retries=0, at=now())
    return job.uuid


@pytest.mark.parametrize("reason", ["expired", "revoked"])
def test_a_message_that_comes_again_revokes_nothing_that_runs(jobs: JobStore, reason: str) -> None:
    uuid = running(jobs)
    revoke(jobs, uuid, reason)
    assert jobs.succeed(uuid, token="t1", result=4, at=now())


def test_a_job_that_was_terminated_is_revoked(jobs: JobStore) -> None:
    uuid = running(jobs)
    revoke(jobs, uuid, "terminated")
    assert jobs.get(uuid).state is State.REVOKED  # type: ignore[union-attr]


def test_a_job_that_waits_is_revoked_for_whatever_reason(jobs: JobStore) -> None:
    job = a_job()
    jobs.add([job])
    revoke(jobs, job.uuid, "expired")
    assert jobs.get(job.uuid).state is State.REVOKED  # type: ignore[union-attr]
