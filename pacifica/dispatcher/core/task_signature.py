"""The signature by which a task is called: behind decorators, without hidden arguments, with pydantic's defaults."""

import dataclasses
import inspect
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Annotated, Any, NamedTuple, get_origin

from pydantic.fields import FieldInfo, ModelPrivateAttr

Parameter = inspect.Parameter


class SignatureFault(ValueError):
    """A signature that cannot be used, with the reason."""


class _Made:
    """Stands for a default that is made for each call."""


class TaskSignature(NamedTuple):
    """The arguments of a task, and its return annotation.

    The function does not know the defaults in ``defaults``, so they must be passed. The names in ``after_hidden`` are
    arguments by position that follow a hidden one; they must be passed by name.
    """

    parameters: Mapping[str, Parameter]
    returns: Any
    defaults: Mapping[str, FieldInfo]
    after_hidden: Sequence[str]

    def completed(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> dict[str, Any]:
        """The arguments by name, with the defaults of those that are not given."""
        given = {*kwargs, *list(self.parameters)[: len(args)]}
        missing = {name: field for name, field in self.defaults.items() if name not in given}
        return {**kwargs, **{name: field.get_default(call_default_factory=True) for name, field in missing.items()}}

    def for_function(self, args: list[Any], kwargs: dict[str, Any]) -> tuple[list[Any], dict[str, Any]]:
        """The arguments as the function takes them, of those for the signature."""
        if not self.after_hidden:
            return args, kwargs
        first = list(self.parameters).index(self.after_hidden[0])
        if len(args) > first + len(self.after_hidden):
            return args, kwargs  # Arguments for *args can be passed only by position.
        return args[:first], {**dict(zip(self.after_hidden, args[first:], strict=False)), **kwargs}


def read_signature(function: Callable[..., Any], hidden: Collection[str] = ()) -> TaskSignature:
    """The signature of a function; raises ``SignatureFault`` with a sentence, and whatever its annotations raise."""
    signature = called_signature(function)
    unknown = [name for name in hidden if name not in signature.parameters]
    if unknown:
        known = ", ".join(signature.parameters) or "none"
        raise SignatureFault(f"hidden names {', '.join(unknown)}; the arguments of the function are {known}")
    visible = [parameter for name, parameter in signature.parameters.items() if name not in hidden]
    defaults = {p.name: field for p in visible if (field := _default_field(p)) is not None}
    return TaskSignature(
        {p.name: _plain(p, defaults.get(p.name)) for p in visible},
        signature.return_annotation,
        {name: field for name, field in defaults.items() if not field.is_required()},
        _after_hidden(list(signature.parameters.values()), hidden),
    )


def called_signature(function: Any, *, eval_str: bool = True) -> inspect.Signature:
    """The signature of the outermost function that is not a wrapper which passes all arguments on.

    ``eval_str``: annotations that are texts are evaluated, and may raise anything.
    """
    bound = inspect.ismethod(function)
    layer = function.__func__ if bound else function
    explicit: list[str] = []
    while True:
        if inspect.ismethod(layer):  # Celery's own wrapper for autoretry_for has a bound method inside.
            bound, layer = True, layer.__func__
        signature = inspect.signature(layer, follow_wrapped=False, eval_str=eval_str)
        parameters = list(signature.parameters.values())
        kinds = {parameter.kind for parameter in parameters}
        inner = None if hasattr(layer, "__signature__") else getattr(layer, "__wrapped__", None)
        if inner is None or not kinds & {Parameter.VAR_POSITIONAL, Parameter.VAR_KEYWORD}:
            break
        if not {Parameter.VAR_POSITIONAL, Parameter.VAR_KEYWORD} <= kinds:
            raise SignatureFault(
                f"its decorator makes the signature {signature}, which does not pass all arguments on; "
                "give the wrapper *args and **kwargs, or the arguments that it takes"
            )
        if bound and parameters[0].kind is not Parameter.VAR_POSITIONAL and not _takes(inner, parameters[0].name):
            bound, parameters = False, parameters[1:]  # The wrapper keeps the task itself.
        explicit += [p.name for p in parameters if _needed(p)]
        layer = inner
    parameters = parameters[1:] if bound and parameters and parameters[0].kind in _BY_POSITION else parameters
    kept = [name for name in explicit if name not in signature.parameters]
    if kept:
        raise SignatureFault(f"its decorator needs {', '.join(kept)}, which is not an argument of the function")
    return signature.replace(parameters=parameters)


_BY_POSITION = (Parameter.POSITIONAL_ONLY, Parameter.POSITIONAL_OR_KEYWORD)


def _takes(function: Any, name: str) -> bool:
    parameters = inspect.signature(function, follow_wrapped=False).parameters
    return name in parameters or any(p.kind is Parameter.VAR_POSITIONAL for p in parameters.values())


def _needed(parameter: Parameter) -> bool:
    variable = parameter.kind in {Parameter.VAR_POSITIONAL, Parameter.VAR_KEYWORD}
    return parameter.default is Parameter.empty and not variable


def _default_field(parameter: Parameter) -> FieldInfo | None:
    """The field in the default or in the annotation, if the function does not have the value of its default."""
    default = parameter.default
    if isinstance(default, (ModelPrivateAttr, dataclasses.Field)):
        fault = f"the default of {parameter.name} is {type(default).__name__}, which is for classes only"
        raise SignatureFault(fault)
    annotation = Any if parameter.annotation is Parameter.empty else parameter.annotation
    if isinstance(default, FieldInfo):
        field = FieldInfo.from_annotated_attribute(annotation, default)
    elif get_origin(annotation) is Annotated:
        field = FieldInfo.from_annotation(annotation)
        if field.is_required() and field.alias is None and field.validation_alias is None:
            return None
    else:
        return None
    _check_field(parameter, field)
    return field if default is Parameter.empty or isinstance(default, FieldInfo) else None


def _check_field(parameter: Parameter, field: FieldInfo) -> None:
    if field.alias is not None or field.validation_alias is not None:
        raise SignatureFault(f"the argument {parameter.name} has an alias; rename the argument instead")
    if field.default_factory_takes_validated_data:
        raise SignatureFault(f"the default_factory of {parameter.name} takes the other arguments; it must take none")
    if parameter.kind is Parameter.POSITIONAL_ONLY and not field.is_required():
        raise SignatureFault(f"the default of {parameter.name}, which has no name for callers, must be a plain value")


def _plain(parameter: Parameter, field: FieldInfo | None) -> Parameter:
    """The parameter with the value of its default, and with a field in its default as part of the annotation."""
    if field is None:
        return parameter
    annotation = parameter.annotation
    if isinstance(parameter.default, FieldInfo):
        annotation = Annotated[Any if annotation is Parameter.empty else annotation, parameter.default]
    default = Parameter.empty if field.is_required() else _Made() if field.default_factory else field.default
    return parameter.replace(annotation=annotation, default=default)


def _after_hidden(parameters: Sequence[Parameter], hidden: Collection[str]) -> Sequence[str]:
    by_position = [p for p in parameters if p.kind in _BY_POSITION]
    first = next((place for place, p in enumerate(by_position) if p.name in hidden), len(by_position))
    after = [p for p in by_position[first:] if p.name not in hidden]
    return [p.name for p in after if p.kind is Parameter.POSITIONAL_OR_KEYWORD]
