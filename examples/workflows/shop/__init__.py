"""A shop that prints photographs: tasks in three queues, and workflows of them."""

from .celery import app

__all__ = ["app"]
