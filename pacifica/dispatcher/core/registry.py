"""The tasks that may be dispatched, and the binding of a request's arguments to their signatures.

Arguments are bound before a row exists: pydantic checks them against the annotations of the function, in its strict
JSON mode. The row stores the JSON values unchanged, and a worker loads them in the same way. Arguments in a URL are
text, and each is tried as every JSON value that the text may represent.
"""

import difflib
import inspect
import logging
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from types import MappingProxyType
from typing import Any, NoReturn

from .argument_type import LOGGED, AcceptedValue, ArgumentType
from .arguments import DEFAULT_LIMITS, ArgumentLimits, join_texts, json_text
from .arguments_schema import arguments_schema
from .errors import BadArguments, BadResult, UnknownTask, UnusableTask
from .faults import MAX_FAULTS, Fault
from .job import EncodedArguments
from .json_values import NotJson, finite, plain_arguments, unwritable, written
from .name_limits import task_name_fault
from .parameters import Argument, CallShape, Parameters
from .queue_names import QueueNames
from .result_type import ResultType
from .signature_faults import annotation_fault, check_fault
from .task_signature import SignatureFault, TaskSignature, read_signature
from .value_faults import ValueFaults

logger = logging.getLogger(__name__)

Parameter = inspect.Parameter


@dataclass(frozen=True, slots=True)
class Call:
    """A task and the arguments to call it with: JSON values that fit its signature, and their text.

    ``max_attempts`` and ``expires`` (seconds, or a time) are the task's own, for jobs whose request names none.
    """

    task: str
    args: Sequence[Any]
    kwargs: Mapping[str, Any]
    encoded: EncodedArguments
    max_attempts: int | None = None
    expires: float | datetime | None = None


class TaskSpec:
    """A task's name and typed signature, without the Celery task that runs it.

    ``check`` is called with the loaded arguments, and refuses them with a ``ValueError``. ``limits`` apply to new
    calls, not to the arguments of a row. A decorator of the function passes the ``hidden`` arguments, which callers
    cannot. Raises ``ValueError`` when the name, the signature, an annotation or ``check`` cannot be used.

    ``untyped`` has the parameters that take any JSON value, each with the reason: those of an adopted task.
    """

    untyped: Mapping[str, str] = MappingProxyType({})
    max_attempts: int | None = None
    expires: float | datetime | None = None

    def __init__(  # noqa: PLR0913 - the options of a task
        self,
        name: str,
        function: Callable[..., Any],
        doc: str = "",
        check: Callable[..., object] | None = None,
        limits: ArgumentLimits = DEFAULT_LIMITS,
        *,
        hidden: Collection[str] = (),
    ) -> None:
        self.name = name
        self.doc = inspect.cleandoc(doc or "")
        self._check = check
        self._limits = limits
        if fault := task_name_fault(name):
            raise ValueError(fault)
        try:
            self._read_signature(function, hidden)
        except SignatureFault:
            raise
        except Exception as error:  # Evaluating an annotation runs code of the user.
            raise ValueError(annotation_fault(function, error, hidden)) from error
        if check is not None and (fault := check_fault(check, self._example_calls())):
            raise ValueError(fault)

    def _read_signature(self, function: Callable[..., Any], hidden: Collection[str]) -> None:
        self._use(read_signature(function, hidden))

    def _use(self, signature: TaskSignature) -> None:
        self._signature = signature
        self._parameters = Parameters(signature.parameters)
        parameters = signature.parameters.values()
        self._types = {p.name: ArgumentType(p.annotation, f"argument {p.name} of task {self.name}") for p in parameters}
        exact = self._parameters.exact
        self._exact = None if exact is None else [self._types[parameter.name] for parameter in exact]
        self._may_refuse = self._check is not None or bool(signature.defaults)
        self._returns = ResultType(signature.returns)
        self.arguments_schema()
        self.result_schema()

    def bind_text(self, args: Sequence[str]) -> Call:
        """Bind the segments of a URL's path; raises ``BadArguments``."""
        self._limits.check_number(self.name, args, {})
        if self._exact is None or len(args) != len(self._exact):
            assigned, missing = self._assigned(args, {})
            results = (self._types[one.parameter.name].read(one.value) for one in assigned)
            found = self._accepted(assigned, results, missing)
        else:
            found = self._unless_faulty(args, [kind.read(text) for kind, text in zip(self._exact, args, strict=True)])
        encoded = join_texts([accepted.text for accepted in found], ())
        self._limits.check_size(self.name, encoded)
        if self._may_refuse:
            self._loaded(found, ())
        return Call(self.name, [accepted.value for accepted in found], {}, encoded, self.max_attempts, self.expires)

    def bind(
        self, args: Sequence[Any], kwargs: Mapping[str, Any], *, naive: bool = False, describe: bool = True
    ) -> Call:
        """Bind JSON values; raises ``BadArguments``, without a description of the faults unless ``describe`` is set.

        ``naive``: a ``datetime`` without an offset is in UTC, as for ``eta``; this is for values that come from Python
        or from a row. Otherwise it is refused.
        """
        self._limits.check_number(self.name, args, kwargs)
        texts = [json_text(value) for value in (*args, *kwargs.values())]
        names = list(kwargs)
        encoded = join_texts(texts, names)
        if all(texts):
            self._limits.check_size(self.name, encoded)
        found = self._accept(args, kwargs, texts, naive=naive, describe=describe)
        if self._may_refuse:
            self._loaded(found, names)
        if (read := [accepted.text for accepted in found]) != texts:  # Numbers have become texts.
            encoded = join_texts(read, names)
        values, number = [accepted.value for accepted in found], len(args)
        named = dict(zip(names, values[number:], strict=True)) if names else {}
        return Call(self.name, values[:number], named, encoded, self.max_attempts, self.expires)

    def bind_python(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Call:
        """Bind the Python values that ``delay`` was given; raises ``BadArguments``."""
        try:
            values = plain_arguments(args, kwargs)
        except ValueError as error:
            raise BadArguments(self.name, [Fault("arguments", str(error))]) from error
        return self.bind(*values, naive=True)

    def fits_row(self, encoded: EncodedArguments) -> bool:
        """Whether a row may hold arguments of this size."""
        try:
            self._limits.check_size(self.name, encoded)
        except BadArguments:
            return False
        return True

    def load(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> tuple[list[Any], dict[str, Any]]:
        """The Python values to call the function with, from the JSON values of a row; raises ``BadArguments``."""
        texts = [json_text(value) for value in (*args, *kwargs.values())]
        loaded = self._loaded(self._accept(args, kwargs, texts, naive=True), list(kwargs))
        return self._signature.for_function(*loaded)

    def dump(self, value: Any, limit: int) -> Any:
        """A return value as JSON values of at most ``limit`` bytes; raises ``BadResult``."""
        try:
            result = self._jsonable(value)
        except NotJson as error:
            sentence = f"The result of task {self.name} cannot be stored: {error.sentence('result')}."
            raise BadResult(sentence) from error.__cause__  # The way through the value is in the sentence.
        try:
            result, text = written(result)
        except (ValueError, RecursionError) as error:
            place = f"result{unwritable(finite(result))}"
            raise BadResult(f"The result of task {self.name} cannot be stored: {place}: {error}.") from error
        if len(text) > limit:
            size = f"{len(text)} bytes of JSON; [dispatcher] result_limit allows {limit}"
            raise BadResult(f"The result of task {self.name} has {size}.")
        return result

    def _jsonable(self, value: Any) -> Any:
        return self._returns.jsonable(value, self.name)

    def argument_names(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Sequence[str] | None:
        """The name of each argument, positional ones first; ``None`` if they do not fit (any more)."""
        found = self._parameters.assign(args, kwargs)[0]
        return [argument.where for argument in found] if len(found) == len(args) + len(kwargs) else None

    def arguments_schema(self) -> dict[str, Any]:
        """A JSON Schema (2020-12) of the arguments by name, in the order of the signature."""
        return arguments_schema(self._signature.parameters, self._types)

    def shapes(self) -> Iterator[CallShape]:
        """Each way to pass the arguments, from none by position to all by position."""
        return self._parameters.shapes()

    def _example_calls(self) -> Iterator[tuple[list[str], Mapping[str, Any]]]:
        """The names of the arguments in each way to pass all of them, and to pass the required ones alone."""
        for shape in self.shapes():
            yield [*shape.positional, *filter(None, [shape.rest])], dict.fromkeys(shape.named)
            always = [name for name in self._signature.defaults if name not in shape.positional]
            yield [*shape.positional], dict.fromkeys([*shape.required, *always])

    def result_schema(self) -> dict[str, Any]:
        """A JSON Schema (2020-12) of the result; empty for a function without a return annotation."""
        return self._returns.json_schema()

    def _accept(
        self,
        args: Sequence[Any],
        kwargs: Mapping[str, Any],
        texts: Sequence[str],
        *,
        naive: bool,
        describe: bool = True,
    ) -> list[AcceptedValue]:
        if kwargs or self._exact is None or len(args) != len(self._exact):
            assigned, missing = self._assigned(args, kwargs)
            each = zip(assigned, texts, strict=True)
            results = (self._types[p.name].accept(v, text, naive=naive, describe=describe) for (_, p, v), text in each)
            return self._accepted(assigned, results, missing)
        kinds = zip(self._exact, args, texts, strict=True)
        read = [kind.accept(value, text, naive=naive, describe=describe) for kind, value, text in kinds]
        return self._unless_faulty(args, read)

    def _unless_faulty(self, args: Sequence[Any], read: Sequence[AcceptedValue | ValueFaults]) -> list[AcceptedValue]:
        """The values of positional arguments; only faults need the names of the arguments."""
        found = [one for one in read if isinstance(one, AcceptedValue)]
        return found if len(found) == len(read) else self._accepted(self._assigned(args, {})[0], read)

    def _accepted(
        self,
        assigned: Sequence[Argument],
        results: Iterable[AcceptedValue | ValueFaults],
        missing: Sequence[Fault] = (),
    ) -> list[AcceptedValue]:
        """The values in the order of the arguments; raises ``BadArguments``, which names the places that are wrong.

        It also names the arguments that are ``missing``.

        After more faults than an answer names, further arguments are not read, as a fault costs more than a value.
        """
        found: list[AcceptedValue] = []
        faults = [*missing]
        more: int | None = 0
        for argument, result in zip(assigned, results, strict=True):
            if isinstance(result, AcceptedValue):
                found.append(result)
                continue
            faults += [Fault(place.where(argument.where), place.message) for place in result.places]
            more = None if more is None or result.more is None else more + result.more
            if len(faults) > MAX_FAULTS:
                self._refuse(faults, None)
        self._refuse(faults, more)
        return found

    def _loaded(self, found: Sequence[AcceptedValue], names: Sequence[str]) -> tuple[list[Any], dict[str, Any]]:
        """The Python values, of which the last ones have these names, after the task's own check."""
        values = [accepted.loaded for accepted in found]
        number = len(values) - len(names)
        args, given = values[:number], dict(zip(names, values[number:], strict=True)) if names else {}
        if self._signature.defaults:
            try:
                given = self._signature.completed(args, given)
            except (Exception, SystemExit) as error:  # noqa: BLE001 - it is logged
                self._refuse_broken("a default of the task", error)
        if self._check is not None:
            self._run_check(self._check, args, given)
        return args, given

    def _run_check(self, check: Callable[..., object], args: Sequence[Any], kwargs: Mapping[str, Any]) -> None:
        try:
            check(*args, **kwargs)
        except BadArguments:
            raise
        except (ValueError, AssertionError) as error:
            try:
                reason = str(error) or "are refused by the check of the task"
            except Exception as another:  # noqa: BLE001 - the exception's class is the user's
                self._refuse_broken("the check of the task", another)
            self._refuse([Fault("arguments", reason)])
        except (Exception, SystemExit) as error:  # noqa: BLE001 - it is logged
            self._refuse_broken("the check of the task", error)

    def _refuse_broken(self, part: str, error: BaseException) -> NoReturn:
        """Refuse the arguments because this part of the user's code has failed; the log has the traceback."""
        logger.error("Task %s: %s raised an exception; the arguments are refused.", self.name, part, exc_info=error)
        fault = Fault("arguments", f"{part} failed with {type(error).__name__}; {LOGGED}")
        raise BadArguments(self.name, [fault]) from error

    def _assigned(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> tuple[list[Argument], list[Fault]]:
        """Each value with its parameter, and a fault for each that is missing; raises if a value has no parameter."""
        found, faults = self._parameters.assign(args, kwargs)
        if len(found) < len(args) + len(kwargs) or len(faults) > MAX_FAULTS:
            self._refuse(faults, None if len(faults) > MAX_FAULTS else 0)
        return found, faults

    def _refuse(self, faults: Sequence[Fault], more: int | None = 0) -> None:
        if faults:
            raise BadArguments(self.name, faults, more)


MAX_SUGGESTED = 3
"""The most names that the error of an unknown task suggests."""


class Registry(dict[str, TaskSpec]):
    """The tasks that may be dispatched, by name; no other task can be.

    ``unusable``: a sentence for each task whose signature cannot be used, by name; dispatching it is refused.
    ``queues`` are those that requests may name; ``None``
    allows any. ``internal`` tasks have jobs as well, but only Python code dispatches them: they are in no catalogue.
    """

    def __init__(
        self,
        specs: Sequence[TaskSpec],
        unusable: Mapping[str, str] | None = None,
        queues: QueueNames | None = None,
        internal: Sequence[TaskSpec] = (),
    ) -> None:
        super().__init__((spec.name, spec) for spec in sorted(specs, key=lambda spec: spec.name))
        self.unusable: Mapping[str, str] = unusable or {}
        self.queues = queues
        self._internal = {spec.name: spec for spec in internal}

    def of_job(self, name: str) -> TaskSpec:
        """The task of a job, which may be an internal one; raises as ``spec``."""
        return self._internal.get(name) or self.spec(name, hint=False)

    def __missing__(self, name: str) -> TaskSpec:
        return self.spec(name)

    def spec(self, name: str, *, hint: bool = True) -> TaskSpec:
        """The task of that name; raises ``UnusableTask``, or ``UnknownTask``, which can suggest similar names."""
        if name in self.unusable:
            raise UnusableTask(name)
        found = self.get(name)
        if found is None:
            raise UnknownTask(name, self._near(name[:191]) if hint else ())
        return found

    def ending_with(self, name: str) -> list[str]:
        """The names of which this one is the last part, or the last parts: ``add`` is that of ``shop.tasks.add``."""
        return [full for full in self if full.endswith(f".{name}")] if name else []

    def _near(self, name: str) -> list[str]:
        return self.ending_with(name)[:MAX_SUGGESTED] or difflib.get_close_matches(name, self, n=2)
