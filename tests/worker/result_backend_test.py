"""What a worker's main process says of a job that one of its children may be running."""

from collections.abc import Iterator
from contextlib import closing
from types import SimpleNamespace

import pytest
from billiard.exceptions import TimeLimitExceeded, WorkerLostError
from celery.exceptions import TaskRevokedError

from pacifica.dispatcher.core.job import State, now
from pacifica.dispatcher.store.database import Database
from pacifica.dispatcher.store.jobs import JobStore
from pacifica.dispatcher.worker.claim import CLAIM_FIELD
from pacifica.dispatcher.worker.result_backend import PeeweeBackend

from ..store.conftest import a_job

HOLDER = "lease-1"


@pytest.fixture
def jobs(sqlite_url: str) -> Iterator[JobStore]:
    """The jobs of a fresh database."""
    with closing(Database(sqlite_url)) as database:
        database.wait_until_up(1, 0.0)
        yield JobStore(database)


def report(jobs: JobStore, uuid: str, error: Exception, state: str, token: str = "t1") -> None:
    """What Celery says in the main process, of the delivery that had this token."""
    backend = object.__new__(PeeweeBackend)  # A whole application is not needed for a report.
    backend.app = SimpleNamespace(container=SimpleNamespace(jobs=jobs, holder=HOLDER))
    backend.store_result(uuid, error, state, request=SimpleNamespace(**{CLAIM_FIELD: token}, retries=0))


def revoke(jobs: JobStore, uuid: str, reason: str) -> None:
    """The report that Celery makes in the main process, for its own reason."""
    report(jobs, uuid, TaskRevokedError(reason), "REVOKED")


def running(jobs: JobStore, *tokens: str) -> str:
    """A job that the worker runs, in the last of these attempts; its UUID."""
    job = a_job(max_attempts=9)
    jobs.add([job])
    for token in tokens or ("t1",):
        assert jobs.claim(job.uuid, token=token, worker="w", holder=HOLDER, retries=0, at=now())
        if token != (tokens or ("t1",))[-1]:
            assert jobs.lose(job.uuid, token=token, reason="its child ended", at=now())
    return job.uuid


REPORTS = {
    "hard time limit": (TimeLimitExceeded(1), "FAILURE", State.FAILURE),
    "lost child": (WorkerLostError("signal 9"), "FAILURE", State.PENDING),
    "stopped": (TaskRevokedError("terminated"), "REVOKED", State.REVOKED),
}


@pytest.mark.parametrize("name", REPORTS)
def test_the_main_process_speaks_for_the_attempt_that_it_delivered(jobs: JobStore, name: str) -> None:
    error, said, state = REPORTS[name]
    uuid = running(jobs, "t1", "t2")
    report(jobs, uuid, error, said, token="t2")
    assert jobs.get(uuid).state is state  # type: ignore[union-attr]


@pytest.mark.parametrize("name", REPORTS)
def test_what_the_main_process_says_late_of_one_attempt_does_not_end_the_next(jobs: JobStore, name: str) -> None:
    error, said, _ = REPORTS[name]
    uuid = running(jobs, "t1", "t2")
    report(jobs, uuid, error, said, token="t1")
    assert jobs.get(uuid).state is State.STARTED  # type: ignore[union-attr]
    assert jobs.succeed(uuid, token="t2", result=4, at=now())


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
