"""The arguments of a task: reading a value by its annotation, describing its faults, and limits of number and size."""

import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from pydantic import ConfigDict, TypeAdapter, ValidationError
from pydantic_core import SchemaValidator

from . import strict_json
from .errors import BadArguments
from .faults import Fault
from .job import EncodedArguments
from .text_values import possible_values
from .type_adapters import adapter_with

MAX_SORTED_FAULTS = 1000
"""With more faults than this in one argument, only the first fault of each list is named."""
MAX_PLACES = 10
"""How many places the description of one argument's faults names."""
LIST_TYPES = ("list", "set", "frozenset", "tuple")
"""The types of pydantic schemas that accept ``fail_fast``."""

CONFIG = ConfigDict(allow_inf_nan=False)

PydanticFault = tuple[str, str]
"""Pydantic's name for the kind of a fault, and a description of it."""


class AcceptedValue(NamedTuple):
    """A JSON value that fits an annotation, its text, and the Python value that the function is given."""

    value: Any
    text: str
    loaded: Any


def adapter_of(annotation: Any) -> TypeAdapter[Any]:
    """The pydantic adapter of an annotation; an integer too large for a float is refused, not read as infinity."""
    kind = Any if annotation is inspect.Signature.empty else annotation
    return adapter_with(kind, CONFIG)


def json_text(value: Any) -> str:
    """The JSON text of a value; empty if it has none, and ``load`` then describes the fault."""
    try:
        return strict_json.dumps(value)
    except ValueError:
        return ""


def join_texts(texts: Sequence[str], names: Sequence[str]) -> EncodedArguments:
    """The arguments as stored in a row, from the JSON text of each; the named ones come last."""
    if not names:
        return EncodedArguments(f"[{','.join(texts)}]", "{}")
    number = len(texts) - len(names)
    named = (f"{strict_json.dumps(name)}:{text}" for name, text in zip(names, texts[number:], strict=True))
    return EncodedArguments(f"[{','.join(texts[:number])}]", f"{{{','.join(named)}}}")


def load(adapter: TypeAdapter[Any], value: Any, text: str) -> tuple[Any, PydanticFault | None]:
    """Return the Python value of a JSON value, or what is wrong with it; ``text`` is the value's ``json_text``."""
    try:
        return adapter.validator.validate_json(text or strict_json.dumps(value), strict=True), None
    except ValidationError as error:
        return None, _fault(adapter, value, text, error)
    except ValueError as error:
        return None, ("json", str(error))


def read(adapter: TypeAdapter[Any], text: str) -> AcceptedValue | str:
    """Return the likeliest value of a URL's text that fits the annotation, or a description of what is wrong."""
    faults: list[PydanticFault] = []
    for value in possible_values(text):
        encoded = json_text(value)
        loaded, fault = load(adapter, value, encoded)
        if fault is None:
            return AcceptedValue(value, encoded, loaded)
        faults.append(fault)
    # A fault of the value, or of a place in it, is more helpful than a wrong type.
    specific = (message for kind, message in faults if message[:1] == "[" or not kind.endswith(("_type", "_parsing")))
    return next(specific, faults[0][1])


def _fault(adapter: TypeAdapter[Any], value: Any, text: str, error: ValidationError) -> PydanticFault:
    many = error.error_count() > MAX_SORTED_FAULTS
    if many:
        error = _first_faults(adapter, text) or error
    faults = error.errors(include_url=False, include_context=False)
    message = f"{_describe(faults[:MAX_PLACES], value)}, and many more" if many else _describe(faults, value)
    return faults[0]["type"], message


def _first_faults(adapter: TypeAdapter[Any], text: str) -> ValidationError | None:
    """The faults that remain if each list is read only up to its first wrong item."""
    try:
        SchemaValidator(_failing_fast(adapter.core_schema)).validate_json(text, strict=True)
    except ValidationError as error:
        return error
    return None


def _failing_fast(schema: Any) -> Any:
    if isinstance(schema, dict):
        copy = {key: _failing_fast(part) for key, part in schema.items()}
        return copy | {"fail_fast": True} if schema.get("type") in LIST_TYPES else copy
    return [_failing_fast(part) for part in schema] if isinstance(schema, list) else schema


def _describe(faults: Sequence[Any], value: Any) -> str:
    """Name the first few wrong places of the value, each with its faults.

    A union reports a fault for each of its members; together they list what is allowed.
    """
    places: dict[str, dict[str, None]] = {}
    for fault in faults:
        message = _MESSAGES.get(fault["type"]) or fault["msg"]
        message = message.removeprefix("Value error, ").removeprefix("Invalid JSON: ")
        places.setdefault(_place(fault, value), {}).setdefault(message)
    named = [f"{place} {_either(list(messages))}".strip() for place, messages in list(places.items())[:MAX_PLACES]]
    more = len(places) - len(named)
    return ", ".join(named) + (f", and {more} more" if more else "")


def _place(fault: Any, value: Any) -> str:
    """The path of a fault within the value, without the members of a union that pydantic adds to it."""
    steps = []
    for step in fault["loc"]:
        try:
            value = value[step]
        except (LookupError, TypeError):
            if fault["type"] != "missing" or step != fault["loc"][-1]:
                continue
        steps.append(f"[{step!r}]")
    return "".join(steps)


def _either(messages: Sequence[str]) -> str:
    kinds = [message.removeprefix(_SHOULD) for message in messages if message.startswith(_SHOULD)]
    others = [message[:1].lower() + message[1:] for message in messages if not message.startswith(_SHOULD)]
    return " or ".join(([f"should be {' or '.join(kinds)}"] if kinds else []) + others)


_SHOULD = "Input should be "
_MESSAGES = {"missing": "is missing", "extra_forbidden": "is not allowed"}


@dataclass(frozen=True, slots=True)
class ArgumentLimits:
    """The maximum number of a job's arguments, positional and named together, and their maximum bytes of JSON."""

    number: int = 1000
    size: int = 1_048_576

    def check_number(self, task: str, args: Sequence[Any], kwargs: Mapping[str, Any]) -> None:
        """Raise ``BadArguments`` if there are too many; call this before the values are read, which costs more."""
        if (number := len(args) + len(kwargs)) > self.number:
            self._refuse(task, f"there are {number}; arguments_limit allows {self.number}")

    def check_size(self, task: str, encoded: EncodedArguments) -> None:
        """Raise ``BadArguments`` if the JSON text for the row has too many bytes."""
        if (size := len(encoded.args) + len(encoded.kwargs)) > self.size:
            self._refuse(task, f"they have {size} bytes of JSON; arguments_bytes allows {self.size}")

    @staticmethod
    def _refuse(task: str, message: str) -> None:
        raise BadArguments(task, [Fault("arguments", message)])


DEFAULT_LIMITS = ArgumentLimits()
