"""A task's arguments: how an annotation reads a value, how a fault is described, and how much a job may have."""

import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import ConfigDict, PydanticUserError, TypeAdapter, ValidationError
from pydantic_core import SchemaValidator

from . import strict_json
from .errors import BadArguments, Fault

Loaded = tuple[Any, tuple[str, str] | None]
"""A value, and pydantic's kind and text of what is wrong with it."""


def adapter_of(annotation: Any) -> TypeAdapter[Any]:
    """The reader and writer of an annotation; a whole number too large for a float must not become infinity."""
    kind = Any if annotation is inspect.Signature.empty else annotation
    try:
        return TypeAdapter(kind, config=ConfigDict(allow_inf_nan=False))
    except PydanticUserError as error:
        if error.code != "type-adapter-config-unused":
            raise
        return TypeAdapter(kind)  # A model says so itself.


def load(adapter: TypeAdapter[Any], value: Any) -> Loaded:
    """The Python value, or pydantic's kind and text of what is wrong with it."""
    try:
        return adapter.validator.validate_json(strict_json.dumps(value), strict=True), None
    except ValidationError as error:
        return None, _fault(adapter, value, error)
    except ValueError as error:
        return None, ("json", str(error))


def _fault(adapter: TypeAdapter[Any], value: Any, error: ValidationError) -> tuple[str, str]:
    many = error.error_count() > MAX_FAULTS
    if many:
        error = _first_look(adapter, value) or error
    faults = error.errors(include_url=False, include_context=False)
    told = f"{_told(faults[:MAX_PLACES], value)}, and many more" if many else _told(faults, value)
    return faults[0]["type"], told


def _first_look(adapter: TypeAdapter[Any], value: Any) -> ValidationError | None:
    """The faults of a reader that stops at the first wrong item of each list."""
    try:
        SchemaValidator(_stopping(adapter.core_schema)).validate_json(strict_json.dumps(value), strict=True)
    except ValidationError as error:
        return error
    return None


def _stopping(schema: Any) -> Any:
    if isinstance(schema, dict):
        found = {key: _stopping(part) for key, part in schema.items()}
        return found | {"fail_fast": True} if schema.get("type") in SERIAL else found
    return [_stopping(part) for part in schema] if isinstance(schema, list) else schema


def _told(faults: Sequence[Any], value: Any) -> str:
    """What is wrong in each place of the value, for the first few places.

    A union reports each of its members; together they say what is allowed.
    """
    places: dict[str, dict[str, None]] = {}
    for fault in faults:
        said = _SAID.get(fault["type"]) or fault["msg"].removeprefix("Value error, ").removeprefix("Invalid JSON: ")
        places.setdefault(_place(fault, value), {}).setdefault(said)
    told = [f"{place} {_either(list(said))}".strip() for place, said in list(places.items())[:MAX_PLACES]]
    more = len(places) - len(told)
    return ", ".join(told) + (f", and {more} more" if more else "")


def _place(fault: Any, value: Any) -> str:
    """Where in the value a fault is; pydantic also names the members of a union, which are no place."""
    steps = []
    for step in fault["loc"]:
        try:
            value = value[step]
        except (LookupError, TypeError):
            if fault["type"] != "missing" or step != fault["loc"][-1]:
                continue
        steps.append(f"[{step!r}]")
    return "".join(steps)


def _either(said: Sequence[str]) -> str:
    kinds = [text.removeprefix(_SHOULD) for text in said if text.startswith(_SHOULD)]
    others = [text[:1].lower() + text[1:] for text in said if not text.startswith(_SHOULD)]
    return " or ".join(([f"should be {' or '.join(kinds)}"] if kinds else []) + others)


_SHOULD = "Input should be "
_SAID = {"missing": "is missing", "extra_forbidden": "is not allowed"}
MAX_FAULTS = 1000
"""How many faults of one argument are sorted by their places; to tell of each costs more than to find it."""
SERIAL = ("list", "set", "frozenset", "tuple")
"""What pydantic can leave at its first wrong item."""
MAX_PLACES = 10
"""How many places of one argument a fault tells of."""


def most_telling(faults: Sequence[tuple[str, str]]) -> str:
    """Of several readings' faults, one about the value or a place in it, rather than its type, if there is one."""
    telling = (text for kind, text in faults if text.startswith("[") or not kind.endswith(("_type", "_parsing")))
    return next(telling, faults[0][1])


@dataclass(frozen=True, slots=True)
class ArgumentLimits:
    """How many there may be, by position and by name together, and of how many bytes of JSON."""

    number: int = 1000
    size: int = 1_048_576

    def check_number(self, task: str, args: Sequence[Any], kwargs: Mapping[str, Any]) -> None:
        """Raise ``BadArguments`` when there are too many; cheap, so it comes before they are read."""
        if (number := len(args) + len(kwargs)) > self.number:
            self._refuse(task, f"are {number}; arguments_limit allows {self.number}")

    def check_size(self, task: str, args: Sequence[Any], kwargs: Mapping[str, Any]) -> None:
        """Raise ``BadArguments`` when the JSON values, as the row would hold them, have too many bytes."""
        try:
            size = len(strict_json.dumps(args)) + len(strict_json.dumps(kwargs) if kwargs else "{}")
        except ValueError:
            return  # Which of them is no JSON is told when each is read.
        if size > self.size:
            self._refuse(task, f"have {size} bytes of JSON; arguments_bytes allows {self.size}")

    @staticmethod
    def _refuse(task: str, told: str) -> None:
        raise BadArguments(task, [Fault("arguments", told)])


DEFAULT_LIMITS = ArgumentLimits()
