"""Tasks of a worker whose main process publishes a job before it forks its pool."""

import gc
import time
from pathlib import Path

from celery import signals
from fault_tasks import double, record_run

from pacifica.dispatcher import task


@signals.worker_init.connect
def publish_before_the_fork(**_):
    """Give the main process a connection to the broker before it creates its pool."""
    double.delay(1)


@task(name="spread")
def spread(name: str, jobs: int) -> list[str]:
    """Dispatch jobs from a child of the pool once the test has released all children."""
    record_run(name)
    while not Path(f"{name}.go").exists():
        time.sleep(0.01)
    dispatched = [double.delay(number).id for number in range(jobs)]
    gc.collect()  # The child's copies of its parent's connections are closed when Python collects them.
    return dispatched
