"""A worker in the process of the test that calls tasks as Celery's workers do."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from celery.app.trace import reset_worker_optimizations, setup_worker_optimizations

from .local_worker import LocalWorker, local_worker


@contextmanager
def adopting_worker(url: str, **asked: Any) -> Iterator[LocalWorker]:
    """A worker whose application had these values of settings that the dispatcher decides."""
    with local_worker(url) as worker:
        worker.app.asked = asked
        setup_worker_optimizations(worker.app)
        try:
            yield worker
        finally:
            reset_worker_optimizations(worker.app)
