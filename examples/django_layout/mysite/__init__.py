"""The Django project; as Django's and Celery's documents advise, it loads the Celery application."""

from .celery import app as celery_app

__all__ = ("celery_app",)
