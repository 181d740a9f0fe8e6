"""The signature of a function that was not written for the dispatcher: nothing in it is refused.

An annotation that is missing, or that pydantic cannot use, means any JSON value.
"""

import inspect
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from .argument_type import ArgumentType
from .result_type import ResultType
from .signature_faults import evaluated, reason_of
from .task_signature import SignatureFault, TaskSignature, called_signature

Parameter = inspect.Parameter

RESULT = "return"
"""The name of the result among the parameters: no parameter can have it."""
MISSING = "it has no annotation"
ANYTHING = inspect.Signature(
    [Parameter("args", Parameter.VAR_POSITIONAL), Parameter("kwargs", Parameter.VAR_KEYWORD)],
)


class LenientSignature(NamedTuple):
    """A signature whose annotations can all be used; ``untyped`` has the reason for each one that was dropped."""

    signature: TaskSignature
    untyped: Mapping[str, str]


def lenient_signature(function: Callable[..., Any]) -> LenientSignature:
    """The signature of any callable object; one that cannot be read takes all arguments."""
    try:
        found = called_signature(function, eval_str=False)
    except (SignatureFault, TypeError, ValueError):
        found = outer_signature(function)
    untyped: dict[str, str] = {}
    parameters: dict[str, Parameter] = {}
    for name, parameter in found.parameters.items():
        kind, fault = _usable(function, parameter.annotation, lambda kind: ArgumentType(kind, "").adapter.json_schema())
        untyped |= {name: fault} if fault else {}
        parameters[name] = parameter.replace(annotation=kind)
    returns, fault = _usable(function, found.return_annotation, lambda kind: ResultType(kind).json_schema())
    untyped |= {RESULT: fault} if fault and fault is not MISSING else {}
    return LenientSignature(TaskSignature(parameters, returns, {}, ()), untyped)


def without_types(found: LenientSignature, reason: str) -> LenientSignature:
    """The same parameters without any annotation."""
    bare = {name: one.replace(annotation=Parameter.empty) for name, one in found.signature.parameters.items()}
    untyped = {**dict.fromkeys([*bare, RESULT], reason), **found.untyped}
    return LenientSignature(TaskSignature(bare, inspect.Signature.empty, {}, ()), untyped)


def outer_signature(function: Callable[..., Any]) -> inspect.Signature:
    """The signature of a decorator's wrapper itself."""
    try:
        return inspect.signature(function, follow_wrapped=False)
    except (TypeError, ValueError):
        return ANYTHING


def _usable(function: Callable[..., Any], annotation: Any, use: Callable[[Any], object]) -> tuple[Any, str]:
    """The annotation, or the empty one with the reason why it cannot be used."""
    empty = inspect.Signature.empty
    if annotation is empty:
        return empty, MISSING
    try:
        kind = evaluated(function, annotation)
        use(kind)
    except Exception as error:  # noqa: BLE001 - evaluating an annotation runs code of the user
        return empty, reason_of(error)
    return kind, ""
