"""Adoption: a Celery application that exists becomes that of the dispatcher, and its tasks become dispatchable."""

from .adopted_app import AdoptedApp, take_over
from .loader import make_tolerant
from .named import adopt_all, is_named, name_of

__all__ = ["AdoptedApp", "adopt_all", "is_named", "make_tolerant", "name_of", "take_over"]
