"""Importing the modules that define tasks; each fault is one sentence, with the file and the line of its cause."""

import importlib.metadata
import inspect
import sys
import traceback
from collections.abc import Callable, Iterable
from contextlib import redirect_stdout
from pathlib import Path
from types import ModuleType

import celery
import kombu
from celery import Task
from celery.utils.imports import import_from_cwd

from ..config.ini import PlaceFault
from ..core.faults import ConfigFault

TASK_ENTRY_POINTS = "pacifica.dispatcher.tasks"
CORRECT = "Correct the module and start again."
MAX_NAMES = 5
"""How many functions a warning names."""
_PACKAGE = str(Path(__file__).parent.parent)
_LIBRARIES = tuple({str(Path(file).parent) for file in (traceback.__file__, importlib.__file__)})
_MACHINERY = (_PACKAGE, *_LIBRARIES, *(str(Path(str(module.__file__)).parent) for module in (celery, kombu)))


def import_modules(names: Iterable[str]) -> list[ConfigFault]:
    """Import all modules with tasks: those of installed packages, and those named; return a fault for each failure."""
    return [*_entry_point_faults(), *(fault for name in names if (fault := module_fault(name)) is not None)]


def module_fault(name: str) -> ConfigFault | None:
    """Import a module that the configuration names, which may be in the working directory."""
    message = import_failure(lambda: import_from_cwd(name), name)
    return ConfigFault("dispatcher", "tasks", name, message) if message else None


def remark_on_module(name: str, tasks: Iterable[Task]) -> str:
    """A warning about an imported module without any task, with what was found there instead; else empty."""
    module = sys.modules.get(name)
    if module is None or _has_task(module, tasks):
        return ""
    functions = [key for key, value in vars(module).items() if inspect.isfunction(value) and value.__module__ == name]
    found = "no function"
    if functions:
        shown = ", ".join(functions[:MAX_NAMES]) + (", …" if len(functions) > MAX_NAMES else "")
        found = f"{len(functions)} function{'s' * (len(functions) > 1)} ({shown})"
    return (
        f"{shown_path(module.__file__ or name)} has {found} and no @task, so it adds nothing to dispatch. Write "
        "`from pacifica.dispatcher import task` at its top, and @task above each function to dispatch."
    )


def shown_path(path: str) -> str:
    """The path relative to the working directory, if the file is in it."""
    try:
        return str(Path(path).relative_to(Path.cwd()))
    except (ValueError, OSError):
        return path


def _has_task(module: ModuleType, tasks: Iterable[Task]) -> bool:
    name = module.__name__
    defined = any(task.__module__ == name or str(task.__module__).startswith(f"{name}.") for task in tasks)
    return defined or any(isinstance(value, Task) for value in vars(module).values())


def _entry_point_faults() -> list[ConfigFault]:
    faults: list[ConfigFault] = []
    for entry_point in importlib.metadata.entry_points(group=TASK_ENTRY_POINTS):
        if message := import_failure(entry_point.load, entry_point.module):
            owner = f" of {entry_point.dist.name}" if entry_point.dist else ""
            faults.append(PlaceFault("", "", f"entry point {entry_point.value}{owner}", message))
    return faults


def in_own_code(error: BaseException) -> bool:
    """Whether a line of the user's code was running when the exception was raised."""
    return any(not _is_library(frame.filename) for frame in _frames(error))


def import_failure(load: Callable[[], object], name: str) -> str:
    """Run the code of a module; returns what went wrong, or an empty text. Its output goes to standard error."""
    try:
        with redirect_stdout(sys.stderr):
            load()
    except (Exception, SystemExit) as error:  # noqa: BLE001 - a module may raise anything
        return _describe(error, name)
    return ""


def _describe(error: BaseException, name: str) -> str:
    if (
        isinstance(error, ModuleNotFoundError)
        and error.name
        and (name == error.name or name.startswith(f"{error.name}."))
    ):
        return _not_found(name if name.endswith(".py") else error.name)
    place = _place(error)
    text = " ".join(str(error).split())
    if isinstance(error, SyntaxError):
        text = error.msg
    if isinstance(error, SystemExit):
        return f"{place}the import ends Python by SystemExit({text}). Move that call into `if __name__ == '__main__':`."
    if isinstance(error, ModuleNotFoundError):
        return f"{place}{type(error).__name__}: {text}. Install that package here, or correct the module."
    sentence = f"{place}{type(error).__name__}: {text}".rstrip(".: ")
    return f"{sentence}{'' if sentence.endswith('?') else '.'} {CORRECT}"


def _not_found(name: str) -> str:
    if name.endswith(".py"):
        return f"it is the name of a file. Write the name of the module: {name.removesuffix('.py')}"
    path = f"{name.replace('.', '/')}.py"
    return (
        f"there is no module {name} in {Path.cwd()} or among the installed packages. Put {path} into that folder, or "
        "start in the folder that has it; write the name of a module in a package with dots (package.module)."
    )


def _place(error: BaseException) -> str:
    """``file:line:`` of the last line of the user's own code; for a syntax error, of the line that has it.

    Else that of the last line of another package; empty if only those of Celery were running.
    """
    if isinstance(error, SyntaxError) and error.filename:
        return f"{shown_path(error.filename)}:{error.lineno}: "
    frames = _frames(error)
    own = [frame for frame in frames if not _is_library(frame.filename)]
    others = [frame for frame in frames if not frame.filename.startswith(_MACHINERY)]
    last = next(reversed(own or others), None)
    return f"{shown_path(last.filename)}:{last.lineno}: " if last else ""


def _frames(error: BaseException) -> list[traceback.FrameSummary]:
    return [frame for frame in traceback.extract_tb(error.__traceback__) if not frame.filename.startswith("<")]


def _is_library(file: str) -> bool:
    return file.startswith((_PACKAGE, *_LIBRARIES)) or "site-packages" in file
