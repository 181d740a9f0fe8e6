"""The JSON with which Celery sends Python values: kombu's, in which an object with a tag stands for a ``datetime``.

Kombu has tags for ``datetime``, ``date``, ``time``, ``Decimal``, ``UUID`` and ``bytes``; an application may register
further types. Two tags are of this package: ``float`` for the numbers that JSON does not have, and ``as_is`` for a
value that an annotation would change.

Source: https://docs.celeryq.dev/projects/kombu/en/stable/reference/kombu.utils.json.html
"""

import json
import math
from typing import Any

from kombu.utils.json import dumps, loads, object_hook

from ..core import strict_json

TAG, VALUE, FLOAT, AS_IS = "__type__", "__value__", "float", "as_is"
MARK = f'"{TAG}":'
"""A tag in the JSON text of a value, as ``strict_json`` writes it; quotes within a text have a backslash."""


def tagged(value: Any) -> Any:
    """The JSON value that stands for a Python value; raises ``ValueError`` or ``TypeError`` if kombu has none."""
    try:
        return _finite(json.loads(dumps(value)))
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def as_it_is(value: Any) -> dict[str, Any]:
    """The JSON value with a tag by which no annotation changes it."""
    return {TAG: AS_IS, VALUE: value}


def untagged(value: Any) -> Any:
    """The Python value for which a JSON value stands; an object with a tag that no one can read stays as it is."""
    try:
        text = strict_json.dumps(value)
    except ValueError:  # A Python value, which has no tags.
        return value
    return loads(text, object_hook=_read) if MARK in text else value


def _read(found: dict[str, Any]) -> Any:
    if found.keys() == {TAG, VALUE} and found[TAG] == FLOAT and found[VALUE] in strict_json.NON_FINITE:
        return float(found[VALUE])
    if found.keys() == {TAG, VALUE} and found[TAG] == AS_IS:
        return found[VALUE]
    try:
        return object_hook(found)
    except Exception:  # noqa: BLE001 - decoders are the application's code, and the object may be no tag
        return found


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_finite(each) for each in value]
    if isinstance(value, float) and not math.isfinite(value):
        nan, high, low = strict_json.NON_FINITE
        return {TAG: FLOAT, VALUE: nan if math.isnan(value) else high if value > 0 else low}
    return value
