"""Single attempts of jobs in the test's own process, contained as in a worker."""

from collections.abc import Callable
from typing import Any

from celery.app.trace import build_tracer

from pacifica.dispatcher.core.job import Job, State, new_uuid, now
from pacifica.dispatcher.core.work import MessageClaim

from .local_worker import LocalWorker, granted_fields


class Attempts:
    """Carries out one attempt of a job of any function, as Celery does for a delivered message."""

    def __init__(self, worker: LocalWorker) -> None:
        self._worker = worker
        self.container = worker.container

    def task(self, function: Callable[..., Any]) -> str:
        """Make the function a task, and return its name."""
        declared = self._worker.task(function)
        declared.__trace__ = build_tracer(declared.name, declared, app=self._worker.app)
        return str(declared.name)

    def add(self, task: str, *args: Any) -> str:
        """Insert a job, and return its UUID."""
        job = Job(new_uuid(), task, args, {}, State.PENDING, now(), due=now(), max_attempts=3)
        self.container.jobs.add([job])
        return job.uuid

    def carry_out(self, uuid: str, task: str) -> Any:
        """Return what Celery returns to the worker's main process."""
        delivered = {
            "id": uuid,
            "hostname": "w",
            "retries": 0,
            "is_eager": False,
            "delivery_info": {},
        }
        granted = granted_fields(self.container, MessageClaim(uuid, 0), "t")
        assert granted is not None, "the job does not wait to be run"
        return self.container.app.tasks[task].__trace__(uuid, [], {}, delivered | granted)

    def run(self, function: Callable[..., Any]) -> tuple[Job, Any]:
        """Carry out the first attempt of a new job; return the job, and what Celery returns."""
        task = self.task(function)
        uuid = self.add(task)
        done = self.carry_out(uuid, task)
        return self._worker.job(uuid), done
