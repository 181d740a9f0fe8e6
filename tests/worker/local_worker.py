"""A worker in the process of the test: it runs the jobs of the outbox through Celery's own tracer, one after another.

There is neither a broker nor a pool. The message of each job is made as the relay makes it.
"""

import secrets
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

from celery import signals
from celery.app.trace import build_tracer

from pacifica.dispatcher.config.load import load_settings
from pacifica.dispatcher.container import Container
from pacifica.dispatcher.core.job import Event, Job, OutboxEntry, State, now
from pacifica.dispatcher.core.work import MessageClaim
from pacifica.dispatcher.delivery.task_message import send
from pacifica.dispatcher.worker import declaration
from pacifica.dispatcher.worker import task as worker_task
from pacifica.dispatcher.worker.claim import CLAIM_FIELD, GRANTED, claim_early

FAR = 1 << 60
"""A time after every ``eta``: jobs run at once."""


class LocalWorker:
    """Runs the jobs of one container; ``ran`` has the tasks of the attempts, in order."""

    def __init__(self, container: Container) -> None:
        self.container = container
        self.app = container.app
        self.ran: list[str] = []

    def task(self, function: Callable[..., Any], **options: Any) -> Any:
        """A task of this application alone, with the options of ``@task``."""
        with patch.object(worker_task, "shared_task", lambda **given: self.app.task(shared=False, **given)):
            declared = worker_task.task(**options)(function)
        self.container.registry[declared.name] = declared.spec()
        return declared

    def run_all(self, limit: int = 50) -> None:
        """Run jobs until none is waiting, each as soon as it is in the outbox."""
        for _ in range(limit):
            entries = self.container.outbox.take(at=FAR, lease=0, limit=10)
            if not entries:
                return
            for entry in entries:
                self.deliver(entry)
        raise AssertionError(f"More than {limit} rounds of jobs: {self.ran}")

    def deliver(self, entry: OutboxEntry) -> dict[str, Any]:
        """Run the message of one job; returns the headers of the message."""
        self.container.outbox.mark_published([entry], at=1)
        message = self.message(entry)
        self.run_message(message)
        return message

    def message(self, entry: OutboxEntry) -> dict[str, Any]:
        """The headers of the message of a job, and the callbacks that its body carries."""
        found: list[dict[str, Any]] = []
        amqp = SimpleNamespace(
            as_task_v2=self.app.amqp.as_task_v2,
            send_task_message=lambda _producer, _name, message, **_: found.append(
                dict(message.headers) | message.body[2]
            ),
        )
        app: Any = SimpleNamespace(amqp=amqp, container=self.container, tasks=self.app.tasks)
        send(app, None, entry, {"queue": entry.queue})
        return found[0]

    def run_message(self, headers: dict[str, Any], args: list[Any] | None = None) -> None:
        """Run a delivered message in Celery's tracer."""
        task = self.app.tasks[headers["task"]]
        self.ran.append(task.name)
        queue = {"routing_key": "dispatcher", "exchange": "", "priority": None, "redelivered": False}
        request = {"hostname": "w@test", "is_eager": False, "delivery_info": queue} | headers
        if isinstance(task, worker_task.DispatcherTask):
            granted = granted_fields(self.container, MessageClaim(headers["id"], headers.get("retries") or 0))
            if granted is None:
                return
            request |= granted
        build_tracer(task.name, task, app=self.app)(headers["id"], args or [], {}, request)

    def job(self, uuid: str) -> Job:
        """The row of a job."""
        found = self.container.jobs.get(uuid)
        assert found is not None
        return found

    def events(self, uuid: str) -> list[Event]:
        """The history of a job."""
        return self.container.jobs.events(uuid)

    def outcome(self, uuid: str) -> tuple[State, Any]:
        """The state of a job, with its result or the type of its error."""
        job = self.job(uuid)
        return job.state, job.error.type if job.error else job.result


def granted_fields(container: Container, message: MessageClaim, token: str = "") -> dict[str, Any] | None:
    """Claim the job of a message as the main process does: the fields for its request; ``None`` if it does not wait."""
    token = token or secrets.token_hex(16)
    claimant = {"token": token, "worker": "w@test", "holder": container.holder, "at": now()}
    job = container.work_queue.claim(message, again=False, **claimant)
    return None if job is None else {CLAIM_FIELD: token, GRANTED: job}


@contextmanager
def local_worker(url: str) -> Iterator[LocalWorker]:
    """A worker on an empty database, at this URL."""
    environ = {"PEEWEE_URL": url, "BROKER_URL": "database://", "HOME": "/nonexistent"}
    container = Container(lambda: load_settings(environ=environ))
    with closing(container.database), patch.dict(declaration.DECLARED):
        container.prepare()
        # Jobs stay in the outbox, from which the worker takes them.
        with patch.object(container, "publish_now", lambda _: None):
            signals.task_prerun.connect(claim_early)
            try:
                yield LocalWorker(container)
            finally:
                signals.task_prerun.disconnect(claim_early)
