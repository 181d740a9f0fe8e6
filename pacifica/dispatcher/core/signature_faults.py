"""Why a function's signature cannot be used for a task, as a sentence that names the argument."""

import functools
import inspect
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any

from pydantic import PydanticSchemaGenerationError

from .argument_type import ArgumentType
from .result_type import ResultType

RETURNED = "the annotation of the result"
OR_NONE = " Without it, a result is stored by its own type."
ALLOWED = "Use numbers, str, bool, list, dict, an Enum, a dataclass, a TypedDict or a pydantic model"


def annotation_fault(function: Callable[..., Any], error: Exception, hidden: Collection[str] = ()) -> str:
    """A sentence about the first annotation that cannot be used; ``error`` is what all of them together raised."""
    for where, annotation in _annotations(function, hidden).items():
        try:
            kind = evaluated(function, annotation)
            if where == RETURNED:
                ResultType(kind).json_schema()
            else:
                ArgumentType(kind, where).adapter.json_schema()
        except Exception as own:  # noqa: BLE001 - evaluating an annotation runs code of the user
            advice = OR_NONE if where == RETURNED else ""
            return f"{where} cannot be used: {reason_of(own)}{advice}"
    return f"its signature cannot be used: {reason_of(error)}"


def place_of(function: Callable[..., Any]) -> str:
    """``file:line`` of a function; empty for one that was not written in Python."""
    own = inspect.unwrap(getattr(function, "__func__", function))
    code = getattr(own, "__code__", None)
    return "" if code is None else f"{code.co_filename}:{code.co_firstlineno}"


def check_fault(check: Callable[..., object], calls: Iterable[tuple[list[str], Mapping[str, Any]]]) -> str:
    """Why ``check`` cannot be called as the task may be, of which ``calls`` has examples; empty if it can."""
    try:
        signature = inspect.signature(check)
    except (TypeError, ValueError):  # A built-in function may not reveal its signature.
        return "" if callable(check) else f"check must be a function, not {check!r:.80}"
    for args, kwargs in calls:
        try:
            signature.bind(*args, **kwargs)
        except TypeError as error:
            return f"its check function must take the same arguments as the task: {error}"
    return ""


def _annotations(function: Callable[..., Any], hidden: Collection[str]) -> Mapping[str, Any]:
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):
        return {}
    found = {
        f"the annotation of argument {p.name}": p.annotation
        for p in signature.parameters.values()
        if p.name not in hidden
    }
    return {**found, RETURNED: signature.return_annotation}


def evaluated(function: Any, annotation: Any) -> Any:
    """The annotation of a function, evaluated if it is a text, which may raise anything."""
    if not isinstance(annotation, str):
        return annotation
    own = inspect.unwrap(getattr(function, "__func__", function))
    while isinstance(own, functools.partial):
        own = inspect.unwrap(own.func)
    own = own if hasattr(own, "__globals__") else type(own).__call__  # An object that can be called.
    return eval(annotation, own.__globals__)  # noqa: S307 - inspect.signature(eval_str=True) does the same


def reason_of(error: Exception) -> str:
    """Why an annotation that raised this error cannot be used."""
    if isinstance(error, PydanticSchemaGenerationError):
        kind = str(error).partition(" schema for ")[2].partition(". Set `")[0].partition("\n")[0]
        return f"{kind or 'its type'} has no form in JSON. {ALLOWED}."
    text = " ".join(str(error).split("\n\nFor further information")[0].split())
    if isinstance(error, NameError):
        return f"{text}. Import the name where the module runs, not only under TYPE_CHECKING."
    return f"{type(error).__name__}: {text.rstrip('.')}."
