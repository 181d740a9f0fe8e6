"""Reports of a worker's main process about a job that one of its children may be running."""

from collections.abc import Iterator
from contextlib import closing
from types import SimpleNamespace

import pytest
from billiard.exceptions import TimeLimitExceeded, WorkerLostError
from celery import group
from celery.exceptions import TaskRevokedError
from celery.result import GroupResult
from celery.utils.serialization import get_pickleable_exception

from pacifica.dispatcher.core.errors import BadArguments
from pacifica.dispatcher.core.faults import Fault
from pacifica.dispatcher.core.job import State, new_uuid
from pacifica.dispatcher.store.database import Database
from pacifica.dispatcher.store.jobs import JobStore
from pacifica.dispatcher.worker.claim import CLAIM_FIELD
from pacifica.dispatcher.worker.result_backend import PeeweeBackend

from ..store.conftest import a_job
from ..store.job_steps import claim, lose, queue_of, succeed
from .local_worker import LocalWorker

HOLDER = "lease-1"


@pytest.fixture
def jobs(sqlite_url: str) -> Iterator[JobStore]:
    """The jobs of a fresh database."""
    with closing(Database(sqlite_url)) as database:
        database.wait_until_up(1, 0.0)
        yield JobStore(database)


def report(jobs: JobStore, uuid: str, error: Exception, state: str, token: str = "t1") -> PeeweeBackend:
    """Report like Celery in the main process, for the delivery with this token."""
    backend = object.__new__(PeeweeBackend)  # A whole application is not needed for a report.
    container = SimpleNamespace(jobs=jobs, work_queue=queue_of(jobs), holder=HOLDER, writer=None)
    backend.app = SimpleNamespace(container=container, tasks={})
    backend.store_result(uuid, error, state, request=SimpleNamespace(**{CLAIM_FIELD: token}, retries=0))
    return backend


def revoke(jobs: JobStore, uuid: str, reason: str) -> None:
    """Report a revocation like Celery in the main process."""
    report(jobs, uuid, TaskRevokedError(reason), "REVOKED")


def running(jobs: JobStore, *tokens: str) -> str:
    """Make a job whose last attempt, of these, the worker is running; returns its UUID."""
    job = a_job(max_attempts=9)
    jobs.add([job])
    for token in tokens or ("t1",):
        assert claim(jobs, job, token, holder=HOLDER)
        if token != (tokens or ("t1",))[-1]:
            assert lose(jobs, job, token, reason="its child ended")
    return job.uuid


REPORTS = {
    "hard time limit": (TimeLimitExceeded(1), "FAILURE", State.FAILURE),
    "lost child": (WorkerLostError("signal 9"), "FAILURE", State.PENDING),
    "stopped": (TaskRevokedError("terminated"), "REVOKED", State.REVOKED),
}


@pytest.mark.parametrize("name", REPORTS)
def test_main_process_reports_for_the_attempt_that_it_delivered(jobs: JobStore, name: str) -> None:
    error, celery_state, state = REPORTS[name]
    uuid = running(jobs, "t1", "t2")
    report(jobs, uuid, error, celery_state, token="t2")
    assert jobs.get(uuid).state is state  # type: ignore[union-attr]


@pytest.mark.parametrize("name", REPORTS)
def test_late_report_about_one_attempt_does_not_end_the_next(jobs: JobStore, name: str) -> None:
    error, celery_state, _ = REPORTS[name]
    uuid = running(jobs, "t1", "t2")
    report(jobs, uuid, error, celery_state, token="t1")
    assert jobs.get(uuid).state is State.STARTED  # type: ignore[union-attr]
    assert succeed(jobs, uuid, "t2")


@pytest.mark.parametrize("reason", ["expired", "revoked"])
def test_redelivered_message_does_not_revoke_a_running_job(jobs: JobStore, reason: str) -> None:
    uuid = running(jobs)
    revoke(jobs, uuid, reason)
    assert succeed(jobs, uuid, "t1")


def test_terminated_job_is_revoked(jobs: JobStore) -> None:
    uuid = running(jobs)
    revoke(jobs, uuid, "terminated")
    assert jobs.get(uuid).state is State.REVOKED  # type: ignore[union-attr]


def test_waiting_job_is_revoked_for_any_reason(jobs: JobStore) -> None:
    job = a_job()
    jobs.add([job])
    revoke(jobs, job.uuid, "expired")
    assert jobs.get(job.uuid).state is State.REVOKED  # type: ignore[union-attr]


def test_stored_error_of_ours_is_raised_as_its_own_class(jobs: JobStore) -> None:
    uuid = running(jobs)
    error = BadArguments("it", [Fault("x", "is missing")])
    backend = report(jobs, uuid, get_pickleable_exception(error), "FAILURE")
    stored = backend._get_task_meta_for(uuid)["result"]  # noqa: SLF001 - Celery's hook for backends
    assert (type(stored), str(stored)) == (BadArguments, "The arguments do not fit task it: x: is missing.")
    assert stored.details() == {"errors": []}


def test_saved_group_is_restored_until_it_is_deleted(worker: LocalWorker) -> None:
    app = worker.app
    inner = group(app.signature("add", (i, i)) for i in range(3)).delay()
    outer = GroupResult(new_uuid(), [inner, app.AsyncResult(new_uuid())], app=app)
    for each in (inner, outer):
        each.save()
        each.save()
    worker.run_all()
    app.backend._cache.clear()  # noqa: SLF001 - Celery keeps what it has read
    assert GroupResult.restore(inner.id, app=app).get() == [0, 2, 4]
    assert GroupResult.restore(outer.id, app=app) == outer
    inner.delete()
    assert GroupResult.restore(inner.id, app=app) is None
    assert GroupResult.restore(outer.id, app=app) == outer


def test_banner_of_a_worker_shows_where_results_are(worker: LocalWorker, sqlite_url: str) -> None:
    assert worker.app.backend.as_uri() == sqlite_url
    worker.container.settings.database.__dict__["peewee_url"] = "postgresql://lab:secret@db/jobs"
    assert "secret" not in worker.app.backend.as_uri(include_password=True)
