"""Describes what is wrong with a JSON value: each wrong place by its path, with all faults of the place together."""

import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from pydantic import ValidationError

from .value_guards import validator_of

MAX_SORTED_FAULTS = 1000
"""With more faults than this in one argument, only the first fault of each list is described."""
MAX_PLACES = 10
"""How many places of one argument are described."""
LIST_TYPES = ("list", "set", "frozenset", "tuple")
"""The types of pydantic schemas that accept ``fail_fast``."""

Path = tuple[Any, ...]
"""The keys and indexes that lead to a place in a JSON value."""


class PlaceFaults(NamedTuple):
    """The faults of one place of a value: its path, their description, and pydantic's name of the first one."""

    path: Path
    message: str
    kind: str

    @property
    def wrong_type(self) -> bool:
        """Whether the value itself has another type than the annotation."""
        return not self.path and self.kind.endswith(("_type", "_parsing"))

    def where(self, argument: str) -> str:
        """The argument and the path, such as ``recipe.steps[0]``."""
        return argument + "".join(map(_step, self.path))


class ValueFaults(NamedTuple):
    """The faults of one value at the first places, and how many more places are wrong; ``None`` if uncounted."""

    places: Sequence[PlaceFaults]
    more: int | None = 0


def of_value(kind: str, message: str) -> ValueFaults:
    """A single fault of the whole value."""
    return ValueFaults([PlaceFaults((), message, kind)])


def describe(schema: Any, value: Any, text: str, error: ValidationError) -> ValueFaults:
    """The faults in an error of pydantic; ``schema`` is the core schema, and ``text`` the value's JSON text."""
    many = error.error_count() > MAX_SORTED_FAULTS
    if many:
        error = _first_faults(schema, text) or error
    listed: Sequence[Any] = error.errors(include_url=False, include_context=False, include_input=False)
    faults = [_fault(one, value) for one in (listed[:MAX_SORTED_FAULTS])]
    places = _by_place(_of_likeliest_members(faults))
    return ValueFaults(places[:MAX_PLACES], None if many else max(0, len(places) - MAX_PLACES))


def paths(error: ValidationError, value: Any, kind: str) -> list[Path]:
    """The paths of all faults of one kind."""
    listed = error.errors(include_url=False, include_context=False, include_input=False)
    return [_fault(fault, value).path for fault in listed if fault["type"] == kind]


class _Fault(NamedTuple):
    """One fault of pydantic; ``member`` is the path of a union and the label of the member that has the fault."""

    path: Path
    member: tuple[Path, Any] | None
    kind: str
    message: str


def _fault(fault: Any, value: Any) -> _Fault:
    """Separate the steps of a fault's location from the labels of members of unions, which pydantic adds to it."""
    path: Path = ()
    member = None
    for step in fault["loc"]:
        try:
            value = value[step]
        except (LookupError, TypeError):
            if fault["type"] != "missing" or step != fault["loc"][-1]:
                member = member or (path, step)
                continue
        path += (step,)
    return _Fault(path, member, fault["type"], _message(fault))


def _message(fault: Mapping[str, Any]) -> str:
    message: str = _MESSAGES.get(fault["type"]) or fault["msg"]
    for prefix in ("Value error, ", "Assertion failed, ", "Invalid JSON: "):
        message = message.removeprefix(prefix)
    return _TAG.sub(r"\1 should be one of \2", message.replace(" after validation", ""))


def _of_likeliest_members(faults: Sequence[_Fault]) -> list[_Fault]:
    """Of each union only the faults of the members that the value fits best: it has their type, and fewest faults."""
    ranks: dict[Path, dict[Any, tuple[bool, int]]] = {}
    for fault in faults:
        if fault.member is not None:
            path, label = fault.member
            _, number = ranks.setdefault(path, {}).get(label, (False, 0))
            ranks[path][label] = (fault.path == path and fault.kind.endswith("_type"), number + 1)
    best = {path: min(members.values()) for path, members in ranks.items()}
    return [one for one in faults if one.member is None or ranks[one.member[0]][one.member[1]] == best[one.member[0]]]


def _by_place(faults: Sequence[_Fault]) -> list[PlaceFaults]:
    found: dict[Path, dict[str, str]] = {}
    for fault in faults:
        found.setdefault(fault.path, {}).setdefault(fault.message, fault.kind)
    return [PlaceFaults(path, _either(list(each)), next(iter(each.values()))) for path, each in found.items()]


def _either(messages: Sequence[str]) -> str:
    kinds = [message.removeprefix(_SHOULD) for message in messages if message.startswith(_SHOULD)]
    others = [message[:1].lower() + message[1:] for message in messages if not message.startswith(_SHOULD)]
    return " or ".join(([f"should be {' or '.join(kinds)}"] if kinds else []) + others)


def _step(step: Any) -> str:
    if isinstance(step, str) and step.isidentifier():
        return f".{step}"
    return f"[{step!r}]"


def _first_faults(schema: Any, text: str) -> ValidationError | None:
    """The faults that remain if each list is read only up to its first wrong item."""
    try:
        validator_of(_failing_fast(schema)).validate_json(text, strict=True)
    except ValidationError as error:
        return error
    return None


def _failing_fast(schema: Any) -> Any:
    if isinstance(schema, dict):
        copy = {key: _failing_fast(part) for key, part in schema.items()}
        return copy | {"fail_fast": True} if schema.get("type") in LIST_TYPES else copy
    return [_failing_fast(part) for part in schema] if isinstance(schema, list) else schema


_TAG = re.compile(r"Input tag .* found using (.+) does not match any of the expected tags: (.+)", re.DOTALL)
_SHOULD = "Input should be "
_MESSAGES = {
    "missing": "is missing",
    "bytes_invalid_encoding": f"{_SHOULD}base64, such as TmFDbA==",
    "base64_decode": f"{_SHOULD}base64, such as TmFDbA==",
    "extra_forbidden": "is not allowed",
    "decimal_type": f"{_SHOULD}a valid decimal",
    "fraction_type": f"{_SHOULD}a valid fraction",
}
