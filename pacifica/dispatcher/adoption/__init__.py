"""Adoption: a Celery application that exists becomes that of the dispatcher, and its tasks become dispatchable."""

from .adopted_app import AdoptedApp, take_over
from .named import application_of, is_named

__all__ = ["AdoptedApp", "application_of", "is_named", "take_over"]
