"""Empty tasks of plain Celery, and one that notes the time, to see how long many of them took."""

import os
import time
from pathlib import Path

from celery import Celery

app = Celery("work", broker=os.environ["BENCH_RABBITMQ_URL"])
app.conf.task_default_queue = os.environ["BENCH_QUEUE"]
app.conf.task_ignore_result = True
app.conf.broker_connection_retry_on_startup = True


@app.task
def add(x: int, y: int) -> int:
    """The work."""
    return x + y


@app.task
def note(name: str) -> None:
    """Write the time to a file."""
    Path(f"{name}.new").write_text(str(time.time()), encoding="ascii")
    Path(f"{name}.new").rename(f"{name}.time")
