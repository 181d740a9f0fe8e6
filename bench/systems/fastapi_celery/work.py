"""The tasks."""

import os

from celery import Celery

app = Celery("work", broker=os.environ["BENCH_RABBITMQ_URL"], backend=os.environ["BENCH_RESULTS"])
app.conf.task_default_queue = os.environ["BENCH_QUEUE"]
app.conf.broker_connection_retry_on_startup = True


@app.task
def add(x: int, y: int) -> int:
    """Add two numbers."""
    return x + y
