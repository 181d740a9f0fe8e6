"""An HTTP front door to background Celery tasks, with a durable SQL record of each job."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .celery_task import task

__all__ = ["task"]


def __getattr__(name: str) -> Any:
    """Celery is imported when ``task`` is asked for, not by each module of the package."""
    if name == "task":
        from .celery_task import task

        return task
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
