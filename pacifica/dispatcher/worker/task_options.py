"""The options of ``@task``, checked when the module is imported."""

import difflib
from collections.abc import Mapping
from typing import Any

from celery import Task

_BY_DECORATOR = (
    "name", "bind", "base", "lazy", "shared", "check", "hidden", "serializer", "autoretry_for", "dont_autoretry_for",
    "retry_kwargs", "retry_backoff", "retry_backoff_max", "retry_jitter",
)  # fmt: skip
"""Options that Celery's decorator reads itself; every other one becomes an attribute of the task."""
_NUMBERS = ("time_limit", "soft_time_limit", "max_retries", "default_retry_delay", "priority", "retry_backoff_max")
_CLOSE = 0.75


def check_options(options: Mapping[str, Any]) -> None:
    """Raise ``TypeError`` for an option that is misspelt, or whose value can never work.

    Any other name is allowed: it becomes an attribute of the task, as with Celery.
    """
    known = {*_BY_DECORATOR, *(name for name in dir(Task) if name[0] != "_")}
    for name, value in options.items():
        if name not in known and (near := difflib.get_close_matches(name, known, 1, _CLOSE)):
            raise TypeError(f"@task has no option {name!r}; did you mean {near[0]!r}?")
        if name in _NUMBERS and not (value is None or (isinstance(value, int | float) and not isinstance(value, bool))):
            raise TypeError(f"the option {name} of @task must be a number, not {value!r:.80}")
    if "check" in options and not callable(options["check"]):
        raise TypeError(f"the option check of @task must be a function, not {options['check']!r:.80}")
    if not isinstance(options.get("name", ""), (str, type(None))):
        raise TypeError(f"the option name of @task must be a text, not {options['name']!r:.80}")
