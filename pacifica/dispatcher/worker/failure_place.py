"""The place where a job failed: file and line of the task's own code, without the folders of the machine."""

import inspect
import sys
from collections.abc import Iterable
from pathlib import PurePath
from traceback import walk_tb
from types import CodeType, FrameType
from typing import Any

LONGEST = 200
"""The most characters of a place."""
MACHINERY = ("celery", "billiard", "pacifica.dispatcher")
"""The packages around a task's body."""


def failure_place(error: Any, function: Any) -> str:
    """``lab.py:54``: the innermost line in the package of the task's function that led to the error.

    If no such line led to it, it is the innermost line of another package, such as a decorator's, else the line where
    the function begins, as for a result that cannot be stored; empty if the function is not known either.
    """
    frames = [(_module(frame), frame, line) for frame, line in walk_tb(getattr(error, "__traceback__", None))]
    own = str(getattr(function, "__module__", "") or "")
    package = own if _within(own, MACHINERY) else own.partition(".")[0]
    inner = [place for place in frames if _within(place[0], (package,))] if package else []
    inner = inner or [place for place in frames if not _within(place[0], (*MACHINERY, *sys.stdlib_module_names))]
    if inner:
        module, frame, line = inner[-1]
        return _place(module, frame.f_code, line)
    code = getattr(inspect.unwrap(function), "__code__", None) if function is not None else None
    return _place(own, code, code.co_firstlineno) if code is not None else ""


def _place(module: str, code: CodeType, line: int) -> str:
    path = PurePath(code.co_filename)
    depth = 1 if module == "__main__" else len(module.split(".")) + (path.stem == "__init__")
    return f"{'/'.join(path.parts[-depth:])[-LONGEST:]}:{line}"


def _module(frame: FrameType) -> str:
    return str(frame.f_globals.get("__name__", ""))


def _within(module: str, packages: Iterable[str]) -> bool:
    return any(module == package or module.startswith(f"{package}.") for package in packages)
