"""The applications that ``[dispatcher] adopt`` names."""

import sys
from collections.abc import Iterable, Sequence
from typing import Any

from celery import Celery
from celery.app.utils import find_app
from celery.utils.imports import import_from_cwd

from ..app import Parts
from ..core.faults import ConfigFault
from ..worker.task_modules import import_failure, in_own_code
from .adopted_app import AdoptedApp, take_over


def adopt_all(names: Sequence[str], container: Parts) -> tuple[AdoptedApp | None, Sequence[ConfigFault]]:
    """Import and take over the applications of these names: the first, which the others join, and the faults.

    The process is the dispatcher's own, so the application becomes that of all its threads.
    """
    faults: list[ConfigFault] = []
    first: AdoptedApp | None = None
    for name in names:
        found = _imported(name)
        if isinstance(found, ConfigFault):
            faults.append(found)
        elif first is None:
            first = take_over(found, container, imports=True)
            first.set_current()
            first.set_default()
            if len(names) > 1:
                first.load()
        elif found is not first and found not in first.joined:
            first.join(found)
    return first, faults


def _imported(name: str) -> Celery | ConfigFault:
    """Import the application of a name such as ``shop.celery:app``, which Celery's ``-A`` accepts as well."""
    found: list[Any] = []
    module, _, attribute = name.partition(":")

    def load() -> None:
        import_from_cwd(module)  # First, so that a fault in the module is not taken for a missing attribute.
        try:
            found.append(find_app(name))
        except (AttributeError, ModuleNotFoundError) as error:
            if in_own_code(error):
                raise

    message = import_failure(load, module)
    if not message and not (found and isinstance(found[0], Celery)):
        what = f"{attribute} in {module} is not one" if found else f"{module} has no {attribute or 'app'}"
        message = f"there is no Celery application of that name: {what}. Write module:attribute, as for celery -A."
    if not message and (fault := import_failure(lambda: found[0].conf.broker_url, module)):
        message = f"the settings of the application cannot be read: {fault}"
    return ConfigFault("dispatcher", "adopt", name, message) if message else found[0]


def name_of(app: Celery) -> str:
    """A name of an application that has been imported, for ``[dispatcher] adopt``; the shortest one."""
    names = [
        f"{module}:{attribute}"
        for module, loaded in list(sys.modules.items())
        for attribute, value in list(getattr(loaded, "__dict__", {}).items())  # A program may put anything there.
        if value is app and module != "__main__" and not attribute.startswith("_")
    ]
    return min(names, key=len, default="MODULE:APPLICATION")


def is_named(app: Celery, names: Iterable[str]) -> bool:
    """Whether this application, which has been imported, is one of the names; imports nothing."""
    for name in names:
        module, _, attribute = name.partition(":")
        members = vars(sys.modules[module]) if module in sys.modules else {}
        if attribute and members.get(attribute) is app:
            return True
        packed = {} if f"{module}.celery" not in sys.modules else vars(sys.modules[f"{module}.celery"])
        if not attribute and any(value is app for value in (*members.values(), *packed.values())):
            return True
    return False
