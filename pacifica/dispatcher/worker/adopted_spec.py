"""The signature of a task that was written for Celery alone: strict over HTTP, and as Celery's for other callers.

Python code, and messages of other programs, pass any values that fit the number and the names of the parameters, and
each reaches the function as Celery would pass it. A value of HTTP reaches it as the annotation reads it. The row does
not say who has dispatched the job: a value that the annotation would change has a tag, which keeps it as it is.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, NamedTuple

from ..core import strict_json
from ..core.argument_type import AcceptedValue, ArgumentType
from ..core.arguments import DEFAULT_LIMITS, ArgumentLimits, join_texts, json_text
from ..core.errors import BadArguments, BadResult
from ..core.faults import Fault
from ..core.json_values import EXACT, finite, plain, plain_arguments, written
from ..core.lenient_signature import lenient_signature, outer_signature, without_types
from ..core.parameters import Parameters
from ..core.registry import Call, TaskSpec
from .tagged_json import MARK, TAG, as_it_is, tagged, untagged

LONGEST_REPR = 65_536
"""The most bytes of JSON that a row keeps of a result that is no JSON."""


class Asked(NamedTuple):
    """The options that a task asked for, and that the dispatcher replaces by its own.

    ``bypassed`` are methods and attributes of its base classes that are not used.
    """

    acks_late: bool = False
    ignore_result: bool = False
    serializer: str = "json"
    bypassed: Sequence[str] = ()


NOTHING_ASKED = Asked()
"""Celery's defaults."""


class StoredResult(NamedTuple):
    """The JSON value of a result; ``reason`` says why it is only the result's text, if it is."""

    value: Any
    reason: str = ""


class AdoptedSpec(TaskSpec):
    """As ``TaskSpec``; ``asked`` is part of the declaration.

    ``counted`` is the function by which Celery counts the arguments of a call, if it is another one.
    ``converts``: the function is to get values of the types in its annotations, and its result is written by its
    annotation. Otherwise the function does this itself, as with ``pydantic=True``.
    """

    def __init__(  # noqa: PLR0913 - the parts of a declaration
        self,
        name: str,
        function: Callable[..., Any],
        doc: str = "",
        limits: ArgumentLimits = DEFAULT_LIMITS,
        asked: Asked = NOTHING_ASKED,
        *,
        counted: Callable[..., Any] | None = None,
        converts: bool = True,
    ) -> None:
        self.asked = asked
        self._converts = converts
        self._counted = Parameters(outer_signature(counted or function).parameters)
        super().__init__(name, function, doc, None, limits)
        self.max_attempts = None if asked.acks_late else 1

    def _read_signature(self, function: Callable[..., Any], _: Collection[str]) -> None:
        found = lenient_signature(function)
        try:
            self._use(found.signature)
        except Exception as error:  # noqa: BLE001 - the annotations cannot be used together
            found = without_types(found, f"the annotations cannot be used together: {error}")
            self._use(found.signature)
        self.untyped = found.untyped

    def bind_text(self, args: Sequence[str]) -> Call:
        """As for own tasks, without tags."""
        return self._untagged(super().bind_text(args))

    def bind(self, args: Sequence[Any], kwargs: Mapping[str, Any], **options: Any) -> Call:
        """As for own tasks, without tags."""
        return self._untagged(super().bind(args, kwargs, **options))

    def _untagged(self, call: Call) -> Call:
        """Refuse a tag in a request: its value would pass by the annotation, and reach a decoder of the application."""
        if MARK in call.encoded.args or MARK in call.encoded.kwargs:
            text = f"an object must not have a member {TAG}: Celery would read it as a value of another type"
            raise BadArguments(self.name, [Fault("arguments", text)])
        return call

    def bind_python(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Call:
        """Bind the values that ``delay`` or a message has; only their number and names may raise ``BadArguments``."""
        self._limits.check_number(self.name, args, kwargs)
        self._refuse(self._counted.assign(args, kwargs)[1])
        names = list(kwargs)
        places = [*(f"args[{index}]" for index in range(len(args))), *names]
        values = [*args, *kwargs.values()]
        types = self._types_of(args, kwargs)
        found = [self._sent(*each) for each in zip(places, values, types, strict=True)]
        encoded = join_texts([strict_json.dumps(value) for value in found], names)
        self._limits.check_size(self.name, encoded)
        number = len(args)
        named = dict(zip(names, found[number:], strict=True))
        return Call(self.name, found[:number], named, encoded, self.max_attempts, self.expires)

    def load(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> tuple[list[Any], dict[str, Any]]:
        """The Python values to call the function with; raises nothing, as the function itself counts them."""
        types: list[ArgumentType | None] = (
            self._types_of(args, kwargs) if self._converts else [None] * (len(args) + len(kwargs))
        )
        values = [*args, *kwargs.values()]
        found = [self._loaded_one(value, kind) for value, kind in zip(values, types, strict=True)]
        number = len(args)
        return found[:number], dict(zip(kwargs, found[number:], strict=True))

    def stored(self, value: Any, limit: int) -> StoredResult:
        """The JSON value of a result of at most ``limit`` bytes, or its ``repr``."""
        if self.asked.ignore_result:
            return StoredResult(None)
        try:
            return StoredResult(self.dump(value, limit))
        except BadResult as error:
            hides = self._returns.hides
            return StoredResult(f"<{type(value).__qualname__}>" if hides else text_of(value, limit), str(error))

    def _jsonable(self, value: Any) -> Any:
        return super()._jsonable(value) if self._converts else plain(value)

    def _types_of(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> list[ArgumentType | None]:
        """The usable type of each argument; ``None`` for those without one."""
        found, faults = self._parameters.assign(args, kwargs)
        if faults:
            return [None] * (len(args) + len(kwargs))
        names = [argument.parameter.name for argument in found]
        return [None if name in self.untyped else self._types[name] for name in names]

    def _sent(self, place: str, value: Any, kind: ArgumentType | None) -> Any:
        """The JSON value for the row, from which ``load`` makes the value that Celery would pass."""
        if kind is None and type(value) in EXACT and finite(value) is value:
            return value
        try:
            found = tagged(value)
            text = strict_json.dumps(found)
        except (ValueError, TypeError):
            return self._without_tags(place, value)
        if kind is None or not self._converts:
            return found
        passed = untagged(found)
        if MARK not in text:
            accepted = kind.accept(found, text, naive=True, describe=False)
            changes = isinstance(accepted, AcceptedValue) and not _same(accepted.loaded, passed)
            return as_it_is(found) if changes else found
        own = _plain_or_none(value)
        accepted = kind.accept(own, json_text(own), naive=True, describe=False)
        return own if isinstance(accepted, AcceptedValue) and _same(accepted.loaded, passed) else found

    def _without_tags(self, place: str, value: Any) -> Any:
        """The JSON value of one that Celery cannot send, such as a set."""
        try:
            return plain_arguments([], {place: value})[1][place]
        except ValueError as error:
            raise BadArguments(self.name, [Fault("arguments", str(error))]) from error

    @staticmethod
    def _loaded_one(value: Any, kind: ArgumentType | None) -> Any:
        text = "" if kind is None else json_text(value)
        if kind is not None and text and MARK not in text:
            accepted = kind.accept(value, text, naive=True, describe=False)
            if isinstance(accepted, AcceptedValue):
                return value if _is_number(accepted.loaded, value) else accepted.loaded
        return untagged(value)


def text_of(value: Any, limit: int) -> str:
    """The ``repr`` of a value, cut to 64 KiB and to ``limit`` bytes of JSON."""
    try:
        text = repr(value)
    except Exception as error:  # noqa: BLE001 - the text is made by the class of the value
        text = f"<{type(value).__qualname__} whose text cannot be made: {type(error).__name__}>"
    most = min(LONGEST_REPR, limit)
    shown = text[:most]
    while shown and len(strict_json.dumps(shown if shown == text else f"{shown}…")) > most:
        shown = shown[: len(shown) * 3 // 4]
    return shown if shown == text else f"{shown}…"


def _plain_or_none(value: Any) -> Any:
    try:
        return written(plain(value))[0]
    except Exception:  # noqa: BLE001 - the value may run any code
        return None


def _same(loaded: Any, passed: Any) -> bool:
    """Whether the two values are equal, and of the same types throughout; whole numbers are as good as floats."""
    if type(loaded) is not type(passed):
        return _is_number(loaded, passed)
    if isinstance(loaded, list):
        return len(loaded) == len(passed) and all(map(_same, loaded, passed))
    if isinstance(loaded, dict):
        return loaded.keys() == passed.keys() and all(_same(each, passed[name]) for name, each in loaded.items())
    try:
        return bool(loaded == passed)
    except Exception:  # noqa: BLE001 - the comparison is code of the value
        return False


def _is_number(loaded: Any, passed: Any) -> bool:
    return type(loaded) is float and type(passed) is int and loaded == passed
