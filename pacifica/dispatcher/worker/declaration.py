"""The checks of a task's declaration: its base class, its name, and the kind of its function."""

import functools
import inspect
import sys
from collections.abc import Callable
from typing import Any

from celery import Task
from celery.exceptions import Ignore, Reject, Retry

from ..config.ini import PlaceFault
from ..core.faults import ConfigFault
from ..core.signature_faults import place_of
from . import async_body, replacement, retrying
from .claim import claim_once
from .containment import TaskExit
from .task_modules import shown_path

Function = Callable[..., Any]

DECLARED: dict[str, Function] = {}
"""The functions of this process that ``@task`` has seen, by the task's name."""


def combined_base(base: Any, own: type[Task]) -> type[Task]:
    """The base class ``own`` with the methods of ``base``, a subclass of ``celery.Task``.

    Raises ``ValueError`` if ``base`` overrides what the dispatcher itself needs.
    """
    if not (inspect.isclass(base) and issubclass(base, Task)):
        raise ValueError(f"@task(base=…) takes a subclass of celery.Task, not {base!r}.")
    if issubclass(base, own):
        return base
    needed = [name for name in vars(own) if name == "__call__" or not name.startswith("_")]
    taken = sorted(name for name in needed if name not in HARMLESS and _differs(base, name))
    if taken:
        raise ValueError(
            f"@task(base={base.__name__}): {base.__name__} has {', '.join(taken)}, which the dispatcher needs for "
            f"itself. Rename it, or move its code to a hook, such as before_start or after_return."
        )
    return type(base.__name__, (own, base), {"abstract": True, "__module__": base.__module__, "__doc__": base.__doc__})


HARMLESS = ("abstract", "ignore_result")
"""Attributes of the dispatcher's base class that may replace those of another one."""


def _differs(base: type[Task], name: str) -> bool:
    return getattr(base, name, None) is not getattr(Task, name, None)


def note_name(function: Function, name: str | None) -> None:
    """Record the name of a task; raises ``ValueError`` if a function in another place has it already."""
    name = name or f"{function.__module__}.{function.__name__}"
    other = DECLARED.get(name)
    if other is not None and place_of(other) != place_of(function) and _is_loaded(other):
        raise ValueError(
            f"Two tasks are named {name!r}: {place(other)} and {place(function)}. Give one of them another name, "
            f'as in @task(name="…").'
        )
    DECLARED[name] = function


def is_replaced(function: Function, name: str | None) -> bool:
    """Whether a later import of the same module has declared this function again: Celery would keep the first one."""
    latest = DECLARED.get(name or f"{function.__module__}.{function.__name__}", function)
    return latest is not function and _qualified(latest) == _qualified(function)


def name_faults(task: Task, function: Function) -> list[ConfigFault]:
    """The fault of a function whose name the task has already: Celery would keep the task, with a warning only.

    One of them is declared by Celery's own decorator; ``note_name`` refuses two of ``@task``.
    """
    if _qualified(task.run) == _qualified(function):
        return []
    message = f"the name {task.name!r} belongs to {place(task.run)} already. Give one of the two tasks another name."
    return [PlaceFault("", "", place(function), message)]


def place(function: Function) -> str:
    """The file and line of a function, for people."""
    return shown_path(place_of(function)) or f"{function.__module__}.{function!r}"


def _qualified(function: Any) -> tuple[str, str]:
    """Where a function is defined; an object that can be called has its name only."""
    return function.__module__, getattr(function, "__qualname__", function.__name__)


def _is_loaded(function: Function) -> bool:
    """Whether the module of the function is still the one that was imported from its file."""
    file = getattr(sys.modules.get(function.__module__), "__file__", None)
    return file is not None and place_of(function).startswith(f"{file}:")


def refuse_generator(function: Function) -> None:
    """Raise ``ValueError`` for an async generator: it has no result to store."""
    if inspect.isasyncgenfunction(inspect.unwrap(function)):
        raise ValueError("it is an async generator, which has no result. Collect the items in a list and return it.")


def make_plain(cls: type[Task]) -> None:
    """Replace a class's ``async def run`` by a function that runs it in an event loop."""
    run = vars(cls).get("run")
    function = run.__func__ if isinstance(run, staticmethod) else run
    if inspect.iscoroutinefunction(function):
        plain = async_body.plain_function(function)
        cls.run = staticmethod(plain) if isinstance(run, staticmethod) else plain


def claim_before_start(cls: type[Task]) -> None:
    """Have a class's own ``before_start`` called after the claim: not for a job that cannot be claimed.

    ``Ignore`` and ``Reject`` that it raises fail the job, as from the function: without an outcome it would run again.
    """
    hook = cls.before_start
    if hook is Task.before_start or hasattr(hook, AFTER_CLAIM):
        return

    @functools.wraps(hook)
    def before_start(self: Any, task_id: str, args: Any, kwargs: Any) -> None:
        if not (self.request.called_directly or self.request.is_eager):
            claim_once(self.request, args, kwargs)
        try:
            hook(self, task_id, args, kwargs)
        except Retry as error:
            retrying.raise_requested(self.request, error)
        except (Ignore, Reject) as error:
            replacement.raise_replaced(self.request)
            self.request.update(raised=error)
            raise TaskExit(type(error).__name__) from error

    setattr(before_start, AFTER_CLAIM, True)
    cls.before_start = before_start


AFTER_CLAIM = "called_after_claim"
"""The attribute that marks such a hook."""
