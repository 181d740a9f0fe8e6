"""The place where a job failed: file and line of the task's own code, without the folders of the machine."""

import inspect
from collections.abc import Sequence
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

    If no such line led to it, it is the innermost line of any code but Celery's and this package's, else the line where
    the function begins, as for a result that cannot be stored; empty if the function is not known either.
    """
    frames = [(_module(frame), frame, line) for frame, line in walk_tb(getattr(error, "__traceback__", None))]
    own = str(getattr(function, "__module__", "") or "")
    package = own if _is_machinery(own) else own.partition(".")[0]
    inner = [place for place in frames if _within(place[0], (package,))] if package else []
    inner = inner or [place for place in frames if not _is_machinery(place[0])]
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


def _is_machinery(module: str) -> bool:
    return _within(module, MACHINERY)


def _within(module: str, packages: Sequence[str]) -> bool:
    return any(module == package or module.startswith(f"{package}.") for package in packages)
