"""A Celery application for tests with a real worker; broker, options and queue come from the environment."""

import json
import os
import time
from pathlib import Path

from celery import Celery
from celery.utils.log import get_logger
from celery.worker.request import Request

import pacifica.dispatcher.delivery.database_transport  # noqa: F401 - registers database://

app = Celery("worker_app", broker=os.environ["TEST_APP_BROKER"])
app.conf.update(
    broker_connection_retry_on_startup=True,
    control_queue_expires=2.0,
    broker_transport_options=json.loads(os.environ["TEST_APP_OPTIONS"]),
    task_acks_late=True,
    task_default_queue=os.environ["TEST_APP_QUEUE"],
    task_ignore_result=True,
    worker_cancel_long_running_tasks_on_connection_loss=False,
)


@app.task
def note(path: str, line: str) -> None:
    """Append a line to a file."""
    with Path(path).open("a", encoding="utf-8") as file:
        file.write(f"{line}\n")


class LoggedRequest(Request):
    """Logs when the worker's main process learns that a child has begun the task."""

    def on_accepted(self, pid: int, time_accepted: float) -> None:
        """Log the pool's message."""
        super().on_accepted(pid, time_accepted)
        get_logger(__name__).warning("begun: %s", self.id)


@app.task(Request=LoggedRequest)
def nap(path: str, line: str, seconds: float) -> None:
    """Note the beginning, sleep, note the end."""
    note(path, f"{line} began")
    time.sleep(seconds)
    note(path, f"{line} ended")


@app.task(rate_limit="20/s")
def seldom(path: str, line: str) -> None:
    """Do the same as ``note``, at most twenty times a second."""
    note(path, line)
