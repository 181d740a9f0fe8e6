"""Importing the modules of an adopted application: one that fails costs its own tasks, and no others."""

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any

from celery import signals
from celery.utils.imports import qualname

from ..config.ini import PlaceFault
from ..core.faults import ConfigFault
from ..worker.task_modules import import_failure


class TolerantLoader:
    """The methods of a Celery loader that import modules; the class of the application's own loader comes second.

    Celery's own methods stop at the first module that fails.
    """

    app: Any
    faults: Sequence[ConfigFault] = ()
    """A fault for each module that could not be imported."""

    def import_default_modules(self) -> list[Any]:
        """Import what the application finds, discovers and names; Celery ignores the list that it returns."""
        self.faults = []
        for receiver, response in signals.import_modules.send(sender=self.app):
            if isinstance(response, Exception):
                self._note(f"receiver {qualname(receiver)}", partial(_raise, response))
        own: Any = self
        for module in own.default_modules:
            self.import_task_module(module)
        return []

    def import_task_module(self, module: str) -> None:
        """Import a module that the settings name; Celery's own method calls this, too."""
        theirs: Any = super()
        self._note(f"module {module}", partial(theirs.import_task_module, module))

    def autodiscover_tasks(self, packages: Iterable[str], related_name: str | None = "tasks") -> None:
        """Import the module of this name in each package that has one."""
        theirs: Any = super()
        for package in packages or ():
            name = f"{package}.{related_name}" if related_name else package
            self._note(f"module {name}", partial(theirs.autodiscover_tasks, [package], related_name))

    def _note(self, place: str, load: Callable[[], object]) -> None:
        if message := import_failure(load, place.partition(" ")[2]):
            self.faults = [*self.faults, PlaceFault("", "", place, message)]


def _raise(error: Exception) -> None:
    raise error


def make_tolerant(loader: Any) -> TolerantLoader:
    """Give a loader that exists the methods above; returns it."""
    if not isinstance(loader, TolerantLoader):
        cls = type(loader)
        loader.__class__ = type(cls.__name__, (TolerantLoader, cls), {"__doc__": cls.__doc__})
    found: TolerantLoader = loader
    return found
