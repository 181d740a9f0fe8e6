"""The steps of a job's life, as a web process or a worker takes them; a worker's step is a turn with that alone."""

from collections.abc import Mapping
from typing import Any

from pacifica.dispatcher.core import strict_json
from pacifica.dispatcher.core.job import ClaimKey, Job, JobError, State, now
from pacifica.dispatcher.core.work import ClaimedJob, Ended, MessageClaim, RetriedReport
from pacifica.dispatcher.store.jobs import JobStore
from pacifica.dispatcher.store.lifecycle import revocation
from pacifica.dispatcher.store.work_queue import WorkQueue

from .conftest import a_job

ERROR = JobError("ValueError", "no \0 luck 😀", "Traceback …", "builtins", ["no luck", 1, None], "lab.py:54")


def queue_of(jobs: JobStore) -> WorkQueue:
    """The work queue of the same database, with the same ``on_event``."""
    return WorkQueue(jobs._database, on_event=jobs._on_event)  # noqa: SLF001 - a store shows neither


def uuid_of(job: Job | str) -> str:
    """The UUID of a job that may be given by it."""
    return job if isinstance(job, str) else job.uuid


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


def claim(
    jobs: JobStore,
    job: Job | str,
    token: str = "token",
    *,
    retries: int = 0,
    worker: str = "w",
    holder: str = "h",
    at: int | None = None,
    again: bool = False,
) -> ClaimedJob | None:
    """A worker's claim, for a message with this count of retries."""
    who: dict[str, Any] = {"token": token, "worker": worker, "holder": holder, "at": now() if at is None else at}
    return queue_of(jobs).claim(MessageClaim(uuid_of(job), retries), again=again, **who)


def succeed(
    jobs: JobStore, job: Job | str, token: str = "token", *, result: Any = 4, at: int | None = None, **data: Any
) -> bool:
    """A report of a success; whether it counts."""
    at, text = now() if at is None else at, strict_json.dumps(result)
    return _end(jobs, Ended(uuid_of(job), token, State.SUCCESS.value, text, None, at, data))


def fail(
    jobs: JobStore, job: Job | str, token: str = "token", *, error: JobError = ERROR, at: int | None = None
) -> bool:
    """A report of a failure; whether it counts."""
    at = now() if at is None else at
    return _end(jobs, Ended(uuid_of(job), token, State.FAILURE.value, None, error, at, error.summary()))


def terminate(jobs: JobStore, job: Job | str, token: str = "token", *, reason: str = "terminated") -> bool:
    """A report that the worker has stopped a job; whether it counts."""
    error, data = revocation(reason), {"reason": reason}
    return _end(jobs, Ended(uuid_of(job), token, State.REVOKED.value, None, error, now(), data))


def retry(
    jobs: JobStore,
    job: Job,
    token: str = "token",
    *,
    retries: int = 1,
    eta: int = 0,
    columns: Mapping[str, Any] | None = None,
    **values: Any,
) -> str | None:
    """A task's retry; the job's new state, ``None`` for a report that is late."""
    args, kwargs = strict_json.dumps(job.args), strict_json.dumps(job.kwargs)
    given: dict[str, Any] = {"at": now(), "args": args, "kwargs": kwargs, "error": ERROR, **values}
    report = RetriedReport(job.uuid, token, eta=eta, retries=retries, columns=columns or {}, **given)
    return queue_of(jobs).report([report])[0]


def lose(
    jobs: JobStore, job: Job | str, token: str = "token", *, reason: str = "gone", at: int | None = None
) -> str | None:
    """The loss of a worker; the kind of its event, ``None`` if the claim is not current."""
    return queue_of(jobs).lose([ClaimKey(uuid_of(job), token)], reason=reason, at=now() if at is None else at)[0]


def kinds(jobs: JobStore, job: Job) -> list[str]:
    """The kinds of the job's events."""
    return [event.kind for event in jobs.events(job.uuid)]


def _end(jobs: JobStore, report: Ended) -> bool:
    return queue_of(jobs).report([report])[0] is not None
