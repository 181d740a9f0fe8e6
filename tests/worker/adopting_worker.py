"""A worker in the process of the test whose application adopts plain Celery tasks."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from celery.app.trace import reset_worker_optimizations, setup_worker_optimizations

from pacifica.dispatcher.app import DispatcherApp
from pacifica.dispatcher.worker.adopted_task import adopt_class, adopted_base

from .local_worker import LocalWorker, local_worker


class AdoptingApp(DispatcherApp):
    """Adopts each task that is not Celery's own."""

    asked: Mapping[str, Any] = {}

    def _task_from_fun(self, fun: Any, name: str | None = None, base: Any = None, **options: Any) -> Any:
        if not (name or fun.__module__).startswith("celery."):
            base = adopted_base(base or self.Task)
        return super()._task_from_fun(fun, name=name, base=base, **options)

    def register_task(self, task: Any, **options: Any) -> Any:
        """Adopt the class of the task."""
        task = task() if isinstance(task, type) else task
        adopt_class(type(task))
        return super().register_task(task, **options)


@contextmanager
def adopting_worker(url: str, **asked: Any) -> Iterator[LocalWorker]:
    """A worker whose application has asked for these settings, and which runs tasks as Celery's workers do."""
    with local_worker(url, AdoptingApp) as worker:
        worker.app.asked = asked
        setup_worker_optimizations(worker.app)
        try:
            yield worker
        finally:
            reset_worker_optimizations(worker.app)
