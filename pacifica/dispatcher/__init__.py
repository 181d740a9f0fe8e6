"""An HTTP front door to background Celery tasks, with a durable SQL record of each job."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .celery_plugin import adopt
    from .worker.task import progress, task

__all__ = ["adopt", "progress", "task"]


def __getattr__(name: str) -> Any:
    """Import Celery only when one of these is used, not with each module of the package."""
    if name == "adopt":
        from . import celery_plugin

        return celery_plugin.adopt
    if name in __all__:
        from .worker import task

        return getattr(task, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
