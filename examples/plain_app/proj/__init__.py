"""Tasks of a small laboratory."""

from .celery import app

__all__ = ["app"]
