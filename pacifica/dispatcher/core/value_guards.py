"""Guards around pydantic's validators: no digits of a number are lost, and no digits are taken for a time.

Pydantic reads a JSON number for a ``Decimal`` through a float, and the text ``"20260131"`` for a ``datetime`` as
seconds since 1970. The guards are put around the nodes of the core schema, and so apply at any depth: in models,
lists, unions and aliases, and to annotations such as ``PastDate`` and ``AwareDatetime``.
"""

import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, NamedTuple

from pydantic_core import PydanticCustomError, SchemaValidator, core_schema

from . import strict_json
from .strict_json import NON_FINITE, ExactNumber
from .type_adapters import names_an_encoding

NUMBER_AS_TEXT = "number_as_text"
"""The kind of the fault of a number that must be passed as a text of its digits."""
REFUSE_NAIVE: Mapping[str, bool] = {"refuse_naive": True}
"""The validation context in which a ``datetime`` needs an offset; otherwise one without an offset is in UTC."""

Guard = Callable[[Any, core_schema.ValidationInfo], Any]


class _Form(NamedTuple):
    """The pattern of texts that may be read as a time, and the sentence for any other value."""

    pattern: re.Pattern[str]
    message: str


_DATE = "[0-9]{4}-[0-9]{2}-[0-9]{2}"
_FORMS = {
    "datetime": _Form(
        re.compile(f"{_DATE}[Tt ]"), "Input should be a valid datetime in ISO 8601, such as 2026-01-31T12:00:00Z"
    ),
    "date": _Form(re.compile(_DATE), "Input should be a valid date in ISO 8601, such as 2026-01-31"),
    "time": _Form(re.compile("[0-9]{2}:[0-9]{2}"), "Input should be a valid time in ISO 8601, such as 12:30:00"),
    "timedelta": _Form(
        re.compile("(?s).*[A-Za-z:]"), "Input should be a valid duration in ISO 8601, such as PT1H30M or P2D"
    ),
}
_NO_OFFSET = (
    "Input should be a valid datetime with an offset, such as 2026-01-31T12:00:00Z or 2026-01-31T12:00:00+01:00"
)
_AS_TEXT = 'Input should be a number in quotes, such as "1.10"'
_NOT_SCHEMAS = frozenset({"config", "ctx", "default", "expected", "members", "metadata", "serialization"})
"""Keys of a core schema whose values are not schemas."""


def validator_of(schema: Any, *, non_finite: bool = False) -> SchemaValidator:
    """The validator of a core schema that has guards; a model's own validator, which has none, is not used.

    ``non_finite``: a ``float`` may be NaN or infinite unless its annotation says otherwise.
    """
    config = core_schema.CoreConfig(allow_inf_nan=non_finite)
    if not names_an_encoding(schema):
        config["val_json_bytes"] = "base64"
    return SchemaValidator(schema, config, _use_prebuilt=False)


def guarded(schema: Any) -> Any:
    """A copy of the core schema with guards; the same object if nothing in it needs one."""
    if isinstance(schema, list):
        items = [guarded(item) for item in schema]
        return items if any(new is not old for new, old in zip(items, schema, strict=True)) else schema
    if isinstance(schema, tuple):  # A choice of a union with its label.
        parts = tuple(guarded(part) for part in schema)
        return parts if any(new is not old for new, old in zip(parts, schema, strict=True)) else schema
    if not isinstance(schema, dict):
        return schema
    other = _NOT_SCHEMAS if isinstance(schema.get("type"), str) else frozenset()  # Else the keys are names of fields.
    changed = {key: new for key, old in schema.items() if key not in other and (new := guarded(old)) is not old}
    return _wrapped({**schema, **changed} if changed else schema)


def _wrapped(node: dict[str, Any]) -> Any:
    kind = node.get("type")
    make = _GUARDS.get(kind) if isinstance(kind, str) else None
    if make is None:
        return node
    guard = make(node, validator_of({key: value for key, value in node.items() if key != "ref"}))
    return core_schema.with_info_plain_validator_function(guard, ref=node.get("ref"))


def _number(_: Any, inner: SchemaValidator) -> Guard:
    def read(value: Any, _: core_schema.ValidationInfo) -> Any:
        if isinstance(value, float):
            raise PydanticCustomError(NUMBER_AS_TEXT, _AS_TEXT)
        return _read_json(inner, value)

    return read


def _time(node: dict[str, Any], inner: SchemaValidator) -> Guard:
    pattern, message = _FORMS[node["type"]]
    assume = node["type"] == "datetime" and node.get("tz_constraint") is None

    def read(value: Any, info: core_schema.ValidationInfo) -> Any:
        if not isinstance(value, str):
            raise PydanticCustomError("iso_8601_type", message)
        if pattern.match(value) is None:
            raise PydanticCustomError("iso_8601", message)
        found = _read_json(inner, value)
        return _with_offset(found, info.context) if assume else found

    return read


def _read_json(inner: SchemaValidator, value: Any) -> Any:
    """Read a value that pydantic has already converted from JSON: as a Python value, strict mode would refuse it."""
    return inner.validate_json(strict_json.dumps(value), strict=True)


def _with_offset(moment: datetime, context: Any) -> datetime:
    if moment.tzinfo is not None:
        return moment
    if context is REFUSE_NAIVE:
        raise PydanticCustomError("no_offset", _NO_OFFSET)
    return moment.replace(tzinfo=UTC)


_GUARDS: Mapping[str, Callable[[dict[str, Any], SchemaValidator], Guard]] = {
    "decimal": _number,
    "fraction": _number,
    **dict.fromkeys(_FORMS, _time),
}


def number_as_text(value: Any) -> Any:
    """The text of a number's digits; any other value as it is."""
    return (value.digits if isinstance(value, ExactNumber) else repr(value)) if isinstance(value, float) else value


def non_finite(value: Any) -> Any:
    """The number for which a text of ``strict_json.NON_FINITE`` stands; any other value as it is."""
    return float(value) if value in NON_FINITE else value


def changed(value: Any, places: list[tuple[Any, ...]], change: Callable[[Any], Any]) -> Any:
    """A copy of a JSON value in which the values at these places are changed."""
    root = [_copied(value)]
    for place in places:
        holder: Any = root
        steps = (0, *place)
        for step in steps[:-1]:
            holder = holder[step]
        holder[steps[-1]] = change(holder[steps[-1]])
    return root[0]


def _copied(value: Any) -> Any:
    if isinstance(value, list):
        return [_copied(item) for item in value]
    return {key: _copied(item) for key, item in value.items()} if isinstance(value, dict) else value
