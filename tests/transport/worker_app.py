"""A Celery application for tests with a real worker; broker, options and queue come from the environment."""

import json
import os
import time
from pathlib import Path

from celery import Celery

import pacifica.dispatcher.transport  # noqa: F401 - makes database:// known

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


@app.task
def nap(path: str, line: str, seconds: float) -> None:
    """Note that it began, sleep, note that it ended."""
    note(path, f"{line} began")
    time.sleep(seconds)
    note(path, f"{line} ended")


@app.task(rate_limit="20/s")
def seldom(path: str, line: str) -> None:
    """As ``note``, at most twenty times a second."""
    note(path, line)
