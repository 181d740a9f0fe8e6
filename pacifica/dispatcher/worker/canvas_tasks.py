"""Celery's built-in tasks with a result, as tasks whose runs are jobs: ``map``, ``starmap``, ``accumulate`` …

They are not in the catalogue: over HTTP they would call any task, past the scopes of a token.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from celery import current_app

from .task import DispatcherTask


class CanvasTask(DispatcherTask):
    """A built-in task of Celery whose runs are jobs, dispatched from Python only."""

    abstract = True


def map_items(task: dict[str, Any], it: list[Any]) -> list[Any]:
    """Celery's ``task.map(items)``: call the task once for each item, in one job."""
    return _call_each(task, ([item] for item in it))


def starmap_items(task: dict[str, Any], it: list[list[Any]]) -> list[Any]:
    """Celery's ``task.starmap(items)``: call the task for each list of arguments, in one job."""
    return _call_each(task, it)


def _call_each(signature: Mapping[str, Any], calls: Iterable[Sequence[Any]]) -> list[Any]:
    """Call a task with JSON values, which are checked and loaded as those of a job are."""
    name = signature["task"]
    container = current_app.container
    spec, limit = container.registry.of_job(name), container.settings.dispatcher.result_limit
    found = []
    for arguments in calls:
        args, kwargs = spec.load(arguments, {})
        found.append(spec.dump(current_app.tasks[name](*args, **kwargs), limit))
    return found


FUNCTIONS: Mapping[str, Callable[..., Any] | None] = {
    "celery.map": map_items,
    "celery.starmap": starmap_items,
    "celery.accumulate": None,
    "celery.backend_cleanup": None,
}
"""By the name of the task, the function that replaces Celery's; ``None`` keeps Celery's own."""
