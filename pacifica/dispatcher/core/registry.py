"""The tasks that may be dispatched, and the binding of a request's arguments to their signatures.

Binding happens before a row exists. Arguments are checked against the function's annotations by
pydantic, in its strict JSON mode, and kept as the JSON values that came: a worker loads them again
in the same way. Arguments from a URL are text, so each is tried as what it can be read as.
"""

import difflib
import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from pydantic import PydanticSchemaGenerationError, PydanticUserError, TypeAdapter
from pydantic_core import PydanticSerializationError, to_jsonable_python

from . import strict_json
from .arguments import DEFAULT_LIMITS, ArgumentLimits, adapter_of, load, most_telling
from .errors import BadArguments, BadResult, Fault, UnknownTask
from .text_values import readings

Parameter = inspect.Parameter


@dataclass(frozen=True, slots=True)
class Call:
    """A task and the arguments it is to be called with, as JSON values that fit its signature."""

    task: str
    args: Sequence[Any]
    kwargs: Mapping[str, Any]


class _Given(NamedTuple):
    """One argument as it came: how to name it in a fault, the parameter it is for, and its value."""

    where: str
    parameter: Parameter
    value: Any


class Shape(NamedTuple):
    """One way to give a task its arguments, by names of parameters: those by position, in order, and those by name.

    ``rest`` takes any number more by position and ``extra`` says that any other name is taken, too, but for
    those in ``taken``.
    """

    positional: Sequence[str]
    rest: str | None
    named: Sequence[str]
    required: Sequence[str]
    extra: bool
    taken: Sequence[str]


class TaskSpec:
    """A task's name and typed signature, without the Celery task that carries it out.

    ``check`` is called with the validated arguments and refuses them by a ``ValueError``. ``limits`` hold for
    new calls, not for the values of a row. Raises ``ValueError`` when an annotation cannot be used.
    """

    def __init__(
        self,
        name: str,
        function: Callable[..., Any],
        doc: str = "",
        check: Callable[..., object] | None = None,
        limits: ArgumentLimits = DEFAULT_LIMITS,
    ) -> None:
        self.name = name
        self._limits = limits
        self.doc = inspect.cleandoc(doc or "")
        self._check = check
        try:
            self._signature = inspect.signature(function, eval_str=True)
            self._adapters = {p.name: adapter_of(p.annotation) for p in self._signature.parameters.values()}
            parameters = self._signature.parameters.values()
            self._slots = [p for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
            self._rest = next((p for p in parameters if p.kind is p.VAR_POSITIONAL), None)
            self._extra = next((p for p in parameters if p.kind is p.VAR_KEYWORD), None)
            needs_names = any(_required(p) for p in parameters if p.kind is p.KEYWORD_ONLY)
            self._exactly = -1 if needs_names else len(self._slots)
            """So many arguments by position, and none by name, fit."""
            self._returns = adapter_of(self._signature.return_annotation)
            self.arguments_schema()
            self.result_schema()
        except (*UNUSABLE, PydanticSchemaGenerationError, PydanticUserError) as error:
            raise ValueError(f"the annotations of task {name} cannot be used: {error}") from error

    def bind_text(self, args: Sequence[str]) -> Call:
        """The call that the segments of a URL name; raises ``BadArguments``."""
        self._limits.check_number(self.name, args, {})
        values, faults = [], []
        for argument in self._assign(args, {}):
            wrong = []
            for value in readings(argument.value):
                _, fault = load(self._adapters[argument.parameter.name], value)
                if fault is None:
                    values.append(value)
                    break
                wrong.append(fault)
            else:
                faults.append(Fault(argument.where, most_telling(wrong)))
        self._raise(faults)
        if self._check:
            return self.bind(values, {})
        self._limits.check_size(self.name, values, {})
        return Call(self.name, values, {})

    def bind(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Call:
        """The call with these JSON values; raises ``BadArguments``."""
        self._limits.check_number(self.name, args, kwargs)
        self._limits.check_size(self.name, args, kwargs)
        self._load_all(args, kwargs)
        return Call(self.name, list(args), dict(kwargs))

    def load(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> tuple[list[Any], dict[str, Any]]:
        """The Python values to call the function with, from the JSON values of a row; raises ``BadArguments``."""
        return self._load_all(args, kwargs)

    def dump(self, value: Any, limit: int) -> Any:
        """A return value as JSON values of at most ``limit`` bytes; raises ``BadResult``."""
        try:
            plain = value if type(value) in PLAIN else to_jsonable_python(value)
            text = strict_json.dumps(plain)
        except (PydanticSerializationError, ValueError, RecursionError) as error:
            raise BadResult(f"The result of task {self.name} cannot be stored: {error}.") from error
        if len(text) > limit:
            raise BadResult(f"The result of task {self.name} has {len(text)} bytes of JSON; {limit} are allowed.")
        return plain

    def arguments_schema(self) -> dict[str, Any]:
        """A JSON Schema (2020-12) of the arguments by name, in the order of the signature."""
        properties: dict[str, Any] = {}
        required = []
        schema: dict[str, Any] = {"type": "object", "properties": properties, "additionalProperties": False}
        # Made together, as a reference of one of them is resolved from the root of the whole.
        owns, shared = TypeAdapter.json_schemas([(name, "validation", one) for name, one in self._adapters.items()])
        schema |= {"$defs": shared["$defs"]} if "$defs" in shared else {}
        for parameter in self._signature.parameters.values():
            own = owns[parameter.name, "validation"]
            if parameter.kind is Parameter.VAR_KEYWORD:
                schema["additionalProperties"] = own
            elif parameter.kind is Parameter.VAR_POSITIONAL:
                properties[parameter.name] = {"type": "array", "items": own}
            else:
                properties[parameter.name] = own
                if parameter.default is Parameter.empty:
                    required.append(parameter.name)
                elif (default := _plain_default(parameter.default)) is not None:
                    properties[parameter.name] = {**own, "default": default}
        return {**schema, "required": required} if required else schema

    def shapes(self) -> Iterator[Shape]:
        """Each way to share the arguments between position and name, from none by position to all."""
        parameters = list(self._signature.parameters.values())
        slots = [p for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
        keywords = [p for p in parameters if p.kind is p.KEYWORD_ONLY]
        rest = next((p.name for p in parameters if p.kind is p.VAR_POSITIONAL), None)
        extra = any(p.kind is p.VAR_KEYWORD for p in parameters)
        for number in range(len(slots) + 1):
            left = slots[number:] + keywords
            if any(_required(p) and not _by_name(p) for p in left):
                continue
            named = [p for p in left if _by_name(p)]
            yield Shape(
                positional=[p.name for p in slots[:number]],
                rest=rest if number == len(slots) else None,
                named=[p.name for p in named],
                required=[p.name for p in named if _required(p)],
                extra=extra,
                taken=[p.name for p in slots[:number] if _by_name(p)],
            )

    def result_schema(self) -> dict[str, Any]:
        """A JSON Schema (2020-12) of the result; empty when the function does not say."""
        return self._returns.json_schema(mode="serialization")

    def _load_all(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> tuple[list[Any], dict[str, Any]]:
        positional, named, faults = [], {}, []
        for index, argument in enumerate(self._assign(args, kwargs)):
            value, fault = load(self._adapters[argument.parameter.name], argument.value)
            if fault is not None:
                faults.append(Fault(argument.where, fault[1]))
            elif index < len(args):
                positional.append(value)
            else:
                named[argument.where] = value
        self._raise(faults)
        self._run_check(positional, named)
        return positional, named

    def _run_check(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> None:
        if self._check is None:
            return
        try:
            self._check(*args, **kwargs)
        except ValueError as error:
            self._raise([Fault("arguments", str(error))])

    def _assign(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> list[_Given]:
        """Each value with its parameter, positional ones first; raises ``BadArguments`` when they do not fit."""
        if not kwargs and len(args) == self._exactly:
            return [_Given(p.name, p, value) for p, value in zip(self._slots, args, strict=True)]
        parameters, slots, rest, extra = self._signature.parameters, self._slots, self._rest, self._extra
        given, faults = [], []
        for index, value in enumerate(args):
            parameter = slots[index] if index < len(slots) else rest
            if parameter is None:
                faults.append(Fault(f"argument {index + 1}", f"is one too many; the task takes {_names(slots)}"))
            else:
                where = parameter.name if index < len(slots) else f"{parameter.name}[{index - len(slots)}]"
                given.append(_Given(where, parameter, value))
        taken = {p.name for p in slots[: len(args)]}
        for name, value in kwargs.items():
            parameter = parameters.get(name) if _by_name(parameters.get(name)) else extra
            if name in taken and _by_name(parameters.get(name)):
                faults.append(Fault(name, "is given twice, by position and by name"))
            elif parameter is None:
                faults.append(Fault(name, f"is not an argument of the task; it takes {_names(parameters.values())}"))
            else:
                given.append(_Given(name, parameter, value))
        found = taken | {name for name in kwargs if _by_name(parameters.get(name))}
        faults += [Fault(p.name, "is missing") for p in parameters.values() if _required(p) and p.name not in found]
        self._raise(faults)
        return given

    def _raise(self, faults: Sequence[Fault]) -> None:
        if faults:
            raise BadArguments(self.name, faults)


class Registry(Mapping[str, TaskSpec]):
    """The tasks that may be dispatched, by name; nothing else ever is."""

    def __init__(self, specs: Sequence[TaskSpec]) -> None:
        self._specs = {spec.name: spec for spec in sorted(specs, key=lambda spec: spec.name)}

    def __getitem__(self, name: str) -> TaskSpec:
        try:
            return self._specs[name]
        except KeyError:
            raise UnknownTask(name, difflib.get_close_matches(name[:191], self._specs, n=2)) from None

    def __contains__(self, name: object) -> bool:
        return name in self._specs

    def __iter__(self) -> Iterator[str]:
        return iter(self._specs)

    def __len__(self) -> int:
        return len(self._specs)


UNUSABLE = (NameError, AttributeError, SyntaxError, TypeError)
"""What an annotation that is text raises when it is evaluated."""
PLAIN = frozenset({int, float, str, bool, type(None)})


def plain_arguments(args: Sequence[Any], kwargs: Mapping[str, Any]) -> tuple[list[Any], dict[str, Any]]:
    """Arguments that Python code gave, as JSON values; raises ``ValueError`` with a sentence."""
    try:
        plain = to_jsonable_python([list(args), dict(kwargs)])
        strict_json.dumps(plain)
    except PydanticSerializationError as error:
        raise ValueError(f"the arguments are not JSON: {error}") from error
    return plain[0], plain[1]


def _by_name(parameter: Parameter | None) -> bool:
    return parameter is not None and parameter.kind in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY)


def _required(parameter: Parameter) -> bool:
    variable = parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD)
    return parameter.default is parameter.empty and not variable


def _names(parameters: Any) -> str:
    return ", ".join(parameter.name for parameter in parameters) or "none"


def _plain_default(value: Any) -> Any:
    try:
        plain = to_jsonable_python(value)
        strict_json.dumps(plain)
    except (PydanticSerializationError, ValueError):
        return None
    return plain
