"""The tasks that may be dispatched, and the binding of a request's arguments to their signatures.

Arguments are bound before a row exists: pydantic checks them against the annotations of the function, in its strict
JSON mode. The row stores the JSON values unchanged, and a worker loads them in the same way. Arguments in a URL are
text, and each is tried as every JSON value that the text may represent.
"""

import difflib
import inspect
import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from pydantic import TypeAdapter

from . import strict_json
from .argument_type import LOGGED, AcceptedValue, ArgumentType
from .arguments import DEFAULT_LIMITS, ArgumentLimits, join_texts, json_text
from .errors import BadArguments, BadResult, UnknownTask, UnusableTask
from .faults import Fault
from .job import EncodedArguments
from .json_values import NotJson, finite, plain, unwritable
from .result_type import ResultType
from .signature_faults import annotation_fault, check_fault
from .value_faults import ValueFaults

logger = logging.getLogger(__name__)

Parameter = inspect.Parameter


@dataclass(frozen=True, slots=True)
class Call:
    """A task and the arguments to call it with: JSON values that fit its signature, and their text."""

    task: str
    args: Sequence[Any]
    kwargs: Mapping[str, Any]
    encoded: EncodedArguments


class CallShape(NamedTuple):
    """One way to pass a task's arguments, some by position and the others by name, in names of parameters.

    ``rest`` is the parameter for any number of further arguments by position. ``extra``: any other name is accepted,
    too, except those in ``taken``.
    """

    positional: Sequence[str]
    rest: str | None
    named: Sequence[str]
    required: Sequence[str]
    extra: bool
    taken: Sequence[str]


class _Argument(NamedTuple):
    """One argument of a request: its name in faults, its parameter, and its value."""

    where: str
    parameter: Parameter
    value: Any


class TaskSpec:
    """A task's name and typed signature, without the Celery task that runs it.

    ``check`` is called with the loaded arguments, and refuses them with a ``ValueError``. ``limits`` apply to new
    calls, not to the arguments of a row. Raises ``ValueError`` when an annotation or ``check`` cannot be used.
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
        self.doc = inspect.cleandoc(doc or "")
        self._check = check
        self._limits = limits
        try:
            self._read_signature(function)
        except Exception as error:  # Evaluating an annotation runs code of the user.
            raise ValueError(annotation_fault(function, error)) from error
        if check is not None and (fault := check_fault(check, self._example_calls())):
            raise ValueError(fault)

    def _read_signature(self, function: Callable[..., Any]) -> None:
        signature = inspect.signature(function, eval_str=True)
        self._parameters = signature.parameters
        parameters = self._parameters.values()
        self._positional = [p for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
        self._keywords = [p for p in parameters if p.kind is p.KEYWORD_ONLY]
        self._rest = next((p for p in parameters if p.kind is p.VAR_POSITIONAL), None)
        self._extra = next((p for p in parameters if p.kind is p.VAR_KEYWORD), None)
        self._exact = -1 if any(_required(p) for p in self._keywords) else len(self._positional)
        """Exactly this number of arguments by position, and none by name, fits the parameters one to one."""
        self._types = {p.name: ArgumentType(p.annotation, f"argument {p.name} of task {self.name}") for p in parameters}
        self._returns = ResultType(signature.return_annotation)
        self.arguments_schema()
        self.result_schema()

    def bind_text(self, args: Sequence[str]) -> Call:
        """Bind the segments of a URL's path; raises ``BadArguments``."""
        self._limits.check_number(self.name, args, {})
        found = self._accepted(
            (argument, self._types[argument.parameter.name].read(argument.value)) for argument in self._assign(args, {})
        )
        self._limits.check_size(self.name, join_texts([accepted.text for accepted in found], ()))
        return self._call(found, [])

    def bind(self, args: Sequence[Any], kwargs: Mapping[str, Any], *, naive: bool = False) -> Call:
        """Bind JSON values; raises ``BadArguments``.

        ``naive``: a ``datetime`` without an offset is in UTC, as for ``eta``; this is for values that come from Python
        or from a row. Otherwise it is refused.
        """
        self._limits.check_number(self.name, args, kwargs)
        texts = [json_text(value) for value in (*args, *kwargs.values())]
        if all(texts):
            self._limits.check_size(self.name, join_texts(texts, list(kwargs)))
        return self._call(self._accept(args, kwargs, texts, naive=naive), list(kwargs))

    def load(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> tuple[list[Any], dict[str, Any]]:
        """The Python values to call the function with, from the JSON values of a row; raises ``BadArguments``."""
        texts = [json_text(value) for value in (*args, *kwargs.values())]
        return self._loaded(self._accept(args, kwargs, texts, naive=True), list(kwargs))

    def dump(self, value: Any, limit: int) -> Any:
        """A return value as JSON values of at most ``limit`` bytes; raises ``BadResult``."""
        try:
            result = self._returns.jsonable(value, self.name)
        except NotJson as error:
            raise BadResult(f"The result of task {self.name} cannot be stored: {error.sentence('result')}.") from error
        except RecursionError as error:
            raise BadResult(f"The result of task {self.name} cannot be stored: it contains itself.") from error
        try:
            result, text = _written(result)
        except (ValueError, RecursionError) as error:
            place = f"result{unwritable(finite(result))}"
            raise BadResult(f"The result of task {self.name} cannot be stored: {place}: {error}.") from error
        if len(text) > limit:
            size = f"{len(text)} bytes of JSON; [dispatcher] result_limit allows {limit}"
            raise BadResult(f"The result of task {self.name} has {size}.")
        return result

    def arguments_schema(self) -> dict[str, Any]:
        """A JSON Schema (2020-12) of the arguments by name, in the order of the signature."""
        properties: dict[str, Any] = {}
        required = []
        schema: dict[str, Any] = {"type": "object", "properties": properties, "additionalProperties": False}
        # Made together, because references are resolved from the root of the whole schema.
        types = self._types.items()
        owns, shared = TypeAdapter.json_schemas([(name, "validation", one.adapter) for name, one in types])
        schema |= {"$defs": shared["$defs"]} if "$defs" in shared else {}
        for name, parameter in self._parameters.items():
            alone = self._types[name].adapter.json_schema()
            # Only a schema of its own says that bytes are base64, but it cannot refer to shared schemas.
            own = owns[name, "validation"] if "$defs" in alone else alone
            if parameter.kind is Parameter.VAR_KEYWORD:
                schema["additionalProperties"] = own
            elif parameter.kind is Parameter.VAR_POSITIONAL:
                properties[name] = {"type": "array", "items": own}
            else:
                properties[name] = own
                if parameter.default is Parameter.empty:
                    required.append(name)
                elif (default := _plain_default(parameter.default)) is not None:
                    properties[name] = {**own, "default": default}
        return {**schema, "required": required} if required else schema

    def shapes(self) -> Iterator[CallShape]:
        """Each way to pass the arguments, from none by position to all by position."""
        for number in range(len(self._positional) + 1):
            left = self._positional[number:] + self._keywords
            if any(_required(p) and not _has_name(p) for p in left):
                continue
            named = [p for p in left if _has_name(p)]
            yield CallShape(
                positional=[p.name for p in self._positional[:number]],
                rest=self._rest.name if self._rest and number == len(self._positional) else None,
                named=[p.name for p in named],
                required=[p.name for p in named if _required(p)],
                extra=self._extra is not None,
                taken=[p.name for p in self._positional[:number] if _has_name(p)],
            )

    def _example_calls(self) -> Iterator[tuple[list[str], Mapping[str, Any]]]:
        """The names of the arguments in each way to pass all of them, and to pass the required ones alone."""
        for shape in self.shapes():
            yield [*shape.positional, *filter(None, [shape.rest])], dict.fromkeys(shape.named)
            yield [*shape.positional], dict.fromkeys(shape.required)

    def result_schema(self) -> dict[str, Any]:
        """A JSON Schema (2020-12) of the result; empty for a function without a return annotation."""
        return self._returns.json_schema()

    def _accept(
        self, args: Sequence[Any], kwargs: Mapping[str, Any], texts: Sequence[str], *, naive: bool
    ) -> list[AcceptedValue]:
        return self._accepted(
            (argument, self._types[argument.parameter.name].accept(argument.value, text, naive=naive))
            for argument, text in zip(self._assign(args, kwargs), texts, strict=True)
        )

    def _accepted(self, results: Iterable[tuple[_Argument, AcceptedValue | ValueFaults]]) -> list[AcceptedValue]:
        """The values in the order of the arguments; raises ``BadArguments``, which names every place that is wrong."""
        found: list[AcceptedValue] = []
        faults: list[Fault] = []
        more: int | None = 0
        for argument, result in results:
            if isinstance(result, AcceptedValue):
                found.append(result)
                continue
            faults += [Fault(place.where(argument.where), place.message) for place in result.places]
            more = None if more is None or result.more is None else more + result.more
        self._refuse(faults, more)
        return found

    def _loaded(self, found: Sequence[AcceptedValue], names: Sequence[str]) -> tuple[list[Any], dict[str, Any]]:
        """The Python values, of which the last ones have these names, after the task's own check."""
        values = [accepted.loaded for accepted in found]
        number = len(values) - len(names)
        args, kwargs = values[:number], dict(zip(names, values[number:], strict=True))
        self._run_check(args, kwargs)
        return args, kwargs

    def _call(self, found: Sequence[AcceptedValue], names: Sequence[str]) -> Call:
        self._loaded(found, names)
        values, number = [accepted.value for accepted in found], len(found) - len(names)
        encoded = join_texts([accepted.text for accepted in found], names)
        return Call(self.name, values[:number], dict(zip(names, values[number:], strict=True)), encoded)

    def _run_check(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> None:
        if self._check is None:
            return
        try:
            self._check(*args, **kwargs)
        except (ValueError, AssertionError) as error:
            self._refuse([Fault("arguments", str(error) or "are refused by the check of the task")])
        except (Exception, SystemExit) as error:
            logger.exception("The check of task %s raised an exception; the arguments are refused.", self.name)
            self._refuse([Fault("arguments", f"the task's check failed with {type(error).__name__}; {LOGGED}")])

    def _assign(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> list[_Argument]:
        """Assign each value to its parameter, positional values first; raises ``BadArguments`` if they do not fit."""
        if not kwargs and len(args) == self._exact:
            return [_Argument(p.name, p, value) for p, value in zip(self._positional, args, strict=True)]
        taken = {p.name for p in self._positional[: len(args)]}
        found = [self._by_position(index, value) for index, value in enumerate(args)]
        found += [self._by_name(name, value, taken) for name, value in kwargs.items()]
        given = taken | {name for name in kwargs if _has_name(self._parameters.get(name))}
        missing = [p.name for p in self._parameters.values() if _required(p) and p.name not in given]
        faults = [one for one in found if isinstance(one, Fault)]
        self._refuse(faults + [Fault(name, "is missing") for name in missing])
        return [one for one in found if isinstance(one, _Argument)]

    def _by_position(self, index: int, value: Any) -> _Argument | Fault:
        if index < len(self._positional):
            parameter = self._positional[index]
            return _Argument(parameter.name, parameter, value)
        if self._rest is None:
            return Fault(f"argument {index + 1}", f"is one too many; the task takes {_names(self._positional)}")
        return _Argument(f"{self._rest.name}[{index - len(self._positional)}]", self._rest, value)

    def _by_name(self, name: str, value: Any, taken: set[str]) -> _Argument | Fault:
        own = self._parameters.get(name)
        parameter = own if _has_name(own) else self._extra
        if name in taken and _has_name(own):
            return Fault(name, "is given twice, by position and by name")
        if parameter is None:
            return Fault(name, f"is not an argument of the task; it takes {_names(self._parameters.values())}")
        return _Argument(name, parameter, value)

    def _refuse(self, faults: Sequence[Fault], more: int | None = 0) -> None:
        if faults:
            raise BadArguments(self.name, faults, more)


class Registry(dict[str, TaskSpec]):
    """The tasks that may be dispatched, by name; no other task can be.

    ``unusable``: a sentence for each task whose signature cannot be used, by name; dispatching it is refused.
    """

    def __init__(self, specs: Sequence[TaskSpec], unusable: Mapping[str, str] | None = None) -> None:
        super().__init__((spec.name, spec) for spec in sorted(specs, key=lambda spec: spec.name))
        self.unusable: Mapping[str, str] = unusable or {}

    def __missing__(self, name: str) -> TaskSpec:
        if name in self.unusable:
            raise UnusableTask(name)
        raise UnknownTask(name, difflib.get_close_matches(name[:191], self, n=2))


def plain_arguments(args: Sequence[Any], kwargs: Mapping[str, Any]) -> tuple[list[Any], dict[str, Any]]:
    """The JSON values of arguments passed by Python code; raises ``ValueError`` with a sentence."""
    positional = [_plain_argument(f"args[{index}]", value) for index, value in enumerate(args)]
    return positional, {name: _plain_argument(name, value) for name, value in kwargs.items()}


def _plain_argument(name: str, value: Any) -> Any:
    own = None
    try:
        own = plain(value)
        strict_json.dumps(own)
    except NotJson as error:
        raise ValueError(f"the arguments are not JSON: {error.sentence(name)}") from error
    except ValueError as error:
        raise ValueError(f"the arguments are not JSON: {name}{unwritable(own)}: {error}") from error
    return own


def _written(result: Any) -> tuple[Any, str]:
    """The JSON value and its text; a number that JSON does not have becomes a text."""
    try:
        return result, strict_json.dumps(result)
    except ValueError:
        result = finite(result)
        return result, strict_json.dumps(result)


def _has_name(parameter: Parameter | None) -> bool:
    return parameter is not None and parameter.kind in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY)


def _required(parameter: Parameter) -> bool:
    variable = parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD)
    return parameter.default is parameter.empty and not variable


def _names(parameters: Any) -> str:
    return ", ".join(parameter.name for parameter in parameters) or "none"


def _plain_default(value: Any) -> Any:
    try:
        own = plain(value)
        strict_json.dumps(own)
    except ValueError:
        return None
    return own
