"""The steps of a job's life, as a web process or a worker takes them."""

from typing import Any

from pacifica.dispatcher.core.job import Claim, Job, JobError, now
from pacifica.dispatcher.store.jobs import JobStore

from .conftest import a_job

ERROR = JobError("ValueError", "no \0 luck 😀", "Traceback …", "builtins", ["no luck", 1, None], "lab.py:54")


def add(jobs: JobStore, **columns: Any) -> Job:
    """A stored job."""
    job = a_job(**columns)
    jobs.add([job])
    return job


def get(jobs: JobStore, job: Job) -> Job:
    """The job with its current state."""
    found = jobs.get(job.uuid)
    assert found is not None
    return found


def claim(jobs: JobStore, job: Job, token: str = "token", holder: str = "holder", retries: int = 0) -> Claim | None:
    """A worker's claim."""
    return jobs.claim(job.uuid, token=token, worker="celery@h", holder=holder, retries=retries, at=now())


def retry(jobs: JobStore, job: Job, token: str = "token", retries: int = 1, eta: int = 0) -> bool:
    """A task's retry."""
    return jobs.retry(
        job.uuid, token=token, eta=eta, retries=retries, args=job.args, kwargs=job.kwargs, error=ERROR, at=now()
    )


def kinds(jobs: JobStore, job: Job) -> list[str]:
    """The kinds of the job's events."""
    return [event.kind for event in jobs.events(job.uuid)]
