"""The JSON values of Python values: of arguments that Python code passes, and of results without an annotation.

- A value with ``tolist()``, ``to_list()`` or ``item()`` (NumPy, pandas, PyTorch, polars) becomes the result of that
  call, and a table of columns an object with a list for each column.
- ``bytes`` become base64 with the URL-safe alphabet (RFC 4648, section 5), as pydantic's ``ser_json_bytes`` defines it.
- Numbers that JSON does not have stay as they are until ``finite`` makes them texts, as in the JSON form of Protocol
  Buffers: ``"NaN"``, ``"Infinity"`` and ``"-Infinity"``. ``null`` would make three values one.
- The missing values of pandas (``NaT``, ``NA``) become ``null``.
- A model of pydantic has an encoding of its own, by default UTF-8, by which its annotation reads it again; other bytes
  in it are an error.
- Two keys of one dictionary with the same text are an error, because one of the values would be lost.

Source: https://protobuf.dev/programming-guides/json/
"""

import dataclasses
import math
import traceback
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, ValuesView
from collections.abc import Set as AbstractSet
from contextlib import contextmanager
from enum import Enum
from pathlib import PurePath
from typing import Any

from pydantic import BaseModel
from pydantic_core import PydanticSerializationError, to_jsonable_python

from . import strict_json

EXACT = frozenset({int, str, bool, type(None), float})
"""The types whose values need no conversion, except that ``finite`` makes texts of some floats."""
NATIVE = ("tolist", "to_list", "item")
"""The methods by which values of other libraries become values of Python; the first that a value has counts."""
NANOSECONDS = ("<M8[ns]", "<m8[ns]")
"""NumPy's types of times that ``tolist`` makes integers; Python's times have microseconds."""
_NOT_UTF_8 = (
    "has bytes that are not UTF-8: annotate them as Base64Bytes, or set ser_json_bytes and val_json_bytes to base64 in "
    "the configuration"
)
MISSING = ("NaTType", "NAType")
"""The types of pandas for a missing time and for any missing value."""


MANY_CALLS = 100
"""A ``RecursionError`` after more calls in this module is due to the value, and not to code that the value runs."""


class NotJson(ValueError):
    """A value, or a part of it, has no JSON form; ``place`` is the path of that part, such as ``["mean"][3]``."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.place = ""

    def below(self, step: str) -> "NotJson":
        """Itself, after one step up: the part is at ``step`` of the value around it."""
        self.place = step + self.place
        return self

    def sentence(self, name: str) -> str:
        """A sentence about the part, in the value with this name."""
        return f"{name}{self.place} {self}"


def plain(value: Any) -> Any:
    """The JSON value, whose numbers may be infinite; raises ``NotJson``, and any error of the value's own iterators."""
    with _depth():
        return _plain(value)


def finite(value: Any) -> Any:
    """A JSON value whose numbers are all finite; the others become ``strict_json.NON_FINITE``."""
    if isinstance(value, dict):
        return {key: finite(each) for key, each in value.items()}
    if isinstance(value, list):
        return [finite(each) for each in value]
    return _number(value) if isinstance(value, float) else value


def written(value: Any) -> tuple[Any, str]:
    """The JSON value with finite numbers, and its text; raises ``ValueError`` if it has none."""
    try:
        return value, strict_json.dumps(value)
    except ValueError:
        value = finite(value)
        return value, strict_json.dumps(value)


def check_keys(value: Any) -> bool:
    """Whether the value contains iterators, which can be read only once; it reads none.

    Raises ``NotJson`` if two keys of a dictionary anywhere in the value have the same text.
    """
    with _depth():
        return _check_keys(value)


@contextmanager
def _depth() -> Iterator[None]:
    """Raise ``NotJson`` for a value that is nested too deeply; a ``RecursionError`` of its own iterators goes on."""
    try:
        yield
    except RecursionError as error:
        own = [frame for frame, _ in traceback.walk_tb(error.__traceback__) if frame.f_code.co_filename == __file__]
        if len(own) > MANY_CALLS:
            raise NotJson("is nested too deeply, or contains itself") from None
        raise


def _check_keys(value: Any) -> bool:
    if isinstance(value, Mapping):
        texts = [_key(key) for key in value]
        if len(set(texts)) < len(texts):
            raise NotJson(_doubled(next(text for text in texts if texts.count(text) > 1)))
        pairs = zip(texts, value.values(), strict=False)
        children: Iterable[tuple[str, Any]] = ((_in_brackets(k), each) for k, each in pairs if type(each) not in EXACT)
    elif _has_fields(value):
        children = ((f".{name}", each) for name, each in _members(value))
    elif isinstance(value, list | tuple | deque):
        children = ((f"[{index}]", each) for index, each in enumerate(value) if type(each) not in EXACT)
    else:
        return isinstance(value, Iterator)
    found = False
    for step, each in children:
        try:
            found |= _check_keys(each)
        except NotJson as error:
            raise error.below(step) from None
    return found


def _plain(value: Any) -> Any:
    kind = type(value)
    if kind in EXACT:
        return value
    if kind is dict:
        return _object(value.items())
    for types, convert in _CONVERSIONS:
        if isinstance(value, types):
            return convert(value)
    return _foreign(value)


def _foreign(value: Any) -> Any:
    """The JSON value of an object of another library."""
    kind = type(value)
    if kind.__name__ in MISSING and kind.__module__.startswith("pandas."):
        return None
    if hasattr(kind, "columns") and hasattr(kind, "items"):
        return _object(value.items())
    method = _native_method(value)
    return _native(value, method) if method else _leaf(value)


def native(value: Any) -> Any:
    """A number of NumPy as a number of Python; any other value as it is."""
    method = _native_method(value)
    return getattr(value, method)() if method else value


def _native_method(value: Any) -> str:
    """The name of the method that makes the value one of Python's own types; empty if it has none."""
    return next((name for name in NATIVE if callable(getattr(type(value), name, None))), "")


def _object(pairs: Iterable[tuple[Any, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in pairs:
        text = _key(key)
        if text in found:
            raise NotJson(_doubled(text))
        try:
            found[text] = value if type(value) in EXACT else _plain(value)
        except NotJson as error:
            raise error.below(_in_brackets(text)) from None
    return found


def _array(values: Iterable[Any]) -> list[Any]:
    found: list[Any] = []
    for value in values:
        try:
            found.append(value if type(value) in EXACT else _plain(value))
        except NotJson as error:
            raise error.below(f"[{len(found)}]") from None
    return found


def _native(value: Any, method: str) -> Any:
    if getattr(getattr(value, "dtype", None), "str", None) in NANOSECONDS:
        value = value.astype(f"{value.dtype.kind}8[us]")
    try:
        native = getattr(value, method)()
        # NumPy's long double has no Python form, and returns itself.
        native = float(native) if type(native) is type(value) else native
    except (ValueError, TypeError, RuntimeError) as error:
        raise NotJson(f"has no JSON form: {method}() raised {type(error).__name__}: {error}") from error
    return _plain(native)


def _leaf(value: Any) -> Any:
    """The JSON value of a date, a model or another value that pydantic knows."""
    try:
        check_keys(value)
        return _known(value)
    except (PydanticSerializationError, ValueError, TypeError, AttributeError) as error:
        if isinstance(error, UnicodeDecodeError):
            raise NotJson(f"{_NOT_UTF_8} of class {_type_name(value)}") from error
        if _has_fields(value):
            return _fields(value)
        if isinstance(error, NotJson):
            raise
        raise NotJson(f"of type {_type_name(value)} has no JSON form: {error}") from error


def _known(value: Any) -> Any:
    """The form that pydantic gives the value; other values within it get the form that they have here."""

    def other(part: Any) -> Any:
        if part is value:
            raise NotJson(f"is of type {_type_name(value)}, which has no JSON form")
        return finite(_plain(part))

    return to_jsonable_python(value, bytes_mode="base64", fallback=other)


def _has_fields(value: Any) -> bool:
    return isinstance(value, BaseModel) or (dataclasses.is_dataclass(value) and not isinstance(value, type))


def _members(value: Any) -> Iterable[tuple[str, Any]]:
    if isinstance(value, BaseModel):
        return iter(value)
    return ((field.name, getattr(value, field.name, None)) for field in dataclasses.fields(value))


def _type_name(value: Any) -> str:
    return f"{type(value).__module__}.{type(value).__qualname__}"


def _fields(value: Any) -> dict[str, Any]:
    """A model or dataclass field by field, after it could not be written as a whole."""
    found = {}
    for name, each in _members(value):
        try:
            found[name] = _plain(each)
        except NotJson as error:
            raise error.below(f".{name}") from None
    return found


def _number(value: float) -> float | str:
    if math.isfinite(value):
        return value
    nan, high, low = strict_json.NON_FINITE
    return nan if math.isnan(value) else high if value > 0 else low


def _key(key: Any) -> str:
    """The text of a dictionary's key, as pydantic makes it."""
    if type(key) is str:
        return key
    if isinstance(key, float) and not math.isfinite(key):
        return str(_number(key))
    try:
        text: str = next(iter(to_jsonable_python({native(key): None}, bytes_mode="base64")))
    except (PydanticSerializationError, ValueError, TypeError) as error:
        raise NotJson(f"has a key of type {_type_name(key)}, which has no text") from error
    return text


def _in_brackets(key: str) -> str:
    text = strict_json.dumps(key)
    return f"[{text}]" if len(text) <= 80 else f'[{text[:80]}…"]'


def _doubled(text: str) -> str:
    return f"has two keys with the text {_in_brackets(text)[1:-1]}; one of the two values would be lost"


def unwritable(value: Any) -> str:
    """The path of the first part of a JSON value that has no text, such as an integer with too many digits."""
    pairs: Iterable[tuple[str, Any]] = ()
    if isinstance(value, dict):
        pairs = ((_in_brackets(key), each) for key, each in value.items())
    elif isinstance(value, list):
        pairs = ((f"[{index}]", each) for index, each in enumerate(value))
    for step, each in pairs:
        try:
            strict_json.dumps(each)
        except ValueError:
            return step + unwritable(each)
    return ""


_CONVERSIONS: tuple[tuple[Any, Callable[[Any], Any]], ...] = (
    (list | tuple, _array),
    (Enum, lambda value: _plain(value.value)),
    (float, float),
    (Mapping, lambda value: _object(value.items())),
    (memoryview, lambda value: _leaf(bytes(value))),
    (str | bytes | bytearray, _leaf),
    (PurePath, str),
    (AbstractSet | Sequence | ValuesView | Iterator, _array),
)
"""How values of these types become JSON values; the first type that fits counts."""


def plain_arguments(args: Sequence[Any], kwargs: Mapping[str, Any]) -> tuple[list[Any], dict[str, Any]]:
    """The JSON values of arguments passed by Python code; raises ``ValueError`` with a sentence."""
    positional = [_plain_argument(f"args[{index}]", value) for index, value in enumerate(args)]
    return positional, {name: _plain_argument(name, value) for name, value in kwargs.items()}


def _plain_argument(name: str, value: Any) -> Any:
    if type(value) is str or (type(value) is int and value.bit_length() < 64):
        return value  # The usual argument, which always has a text.
    own = None
    try:
        own = plain(value)
        return written(own)[0]
    except NotJson as error:
        raise ValueError(f"the arguments are not JSON: {error.sentence(name)}") from error
    except ValueError as error:
        raise ValueError(f"the arguments are not JSON: {name}{unwritable(finite(own))}: {error}") from error


def plain_default(value: Any) -> Any:
    """The JSON value of a default for a JSON Schema; ``None`` if it has none."""
    try:
        own = plain(value)
        strict_json.dumps(own)
    except ValueError:
        return None
    return own
