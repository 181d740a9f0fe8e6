"""JSON values of Python values: scientific numbers, keys with one text, and the path of what has no JSON form."""

import array
import enum
import re
from collections import OrderedDict, UserDict, deque, namedtuple
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime
from fractions import Fraction
from pathlib import PurePosixPath
from types import MappingProxyType, SimpleNamespace
from typing import Any
from uuid import UUID

import pytest
from pydantic import BaseModel

from pacifica.dispatcher.core.json_values import NotJson, check_keys, finite, plain, unwritable

NAN, INF = float("nan"), float("inf")


class Shade(enum.Enum):
    RED = "red"
    NAN = NAN


def named(value: Any) -> str:
    """Return the value's text without an address, as all test processes must know a test by one name."""
    return re.sub(r" at 0x[0-9a-f]+", "", repr(value))


class Array:
    """Like an array or a number of NumPy."""

    def __init__(self, values: Any) -> None:
        self.values = values

    def tolist(self) -> Any:
        return self.values


class Scalar:
    """Like a tensor with one number."""

    def __init__(self, values: list[Any]) -> None:
        self.values = values

    def item(self) -> Any:
        if len(self.values) != 1:
            raise ValueError("only one element can be converted")
        return self.values[0]


class LongDouble:
    """Like NumPy's long double, whose Python value is itself."""

    def tolist(self) -> Any:
        return self

    def __float__(self) -> float:
        return 1.5


class Nanoseconds:
    """Like an array of NumPy, whose times Python's ``datetime`` cannot hold in this unit."""

    def __init__(self, unit: str = "ns") -> None:
        self.dtype = SimpleNamespace(kind="M", str=f"<M8[{unit}]")

    def astype(self, kind: str) -> "Nanoseconds":
        return Nanoseconds(kind[3:-1])

    def tolist(self) -> Any:
        return [datetime(2026, 1, 31, tzinfo=UTC)] if self.dtype.str == "<M8[us]" else [1769817600000000000]


class Frame:
    """Like a table of pandas, whose columns may have one name twice."""

    columns = ("a", "b")

    def __init__(self, *columns: tuple[Any, Array]) -> None:
        self._columns = columns

    def items(self) -> Iterator[tuple[Any, Array]]:
        return iter(self._columns)


NaTType = type("NaTType", (datetime,), {"__module__": "pandas._libs.tslibs.nattype"})
Pair = namedtuple("Pair", "a b")  # noqa: PYI024 - also an untyped one is a list


@dataclass
class Sample:
    name: str
    values: Any


@dataclass(slots=True)
class Slotted:
    values: Any


class Model(BaseModel):
    values: Any = None
    raw: bytes = b""


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (Array([1, 2.5]), [1, 2.5]),
        (Array(3), 3),
        ({"mean": Array([[1.0, NAN]]), "n": Scalar([7])}, {"mean": [[1.0, "NaN"]], "n": 7}),
        (LongDouble(), 1.5),
        (Frame(("a", Array([1, 2])), ("b", Array([INF, -INF]))), {"a": [1, 2], "b": ["Infinity", "-Infinity"]}),
        ([NaTType(1, 1, 1)], [None]),
        ({Array(1): "one"}, {"1": "one"}),
        (array.array("d", [1.5]), [1.5]),
        ({1, 2}, [1, 2]),
        (deque([1]), [1]),
        (range(3), [0, 1, 2]),
        ({"a": 1}.values(), [1]),
        ((one for one in (1, NAN)), [1, "NaN"]),
        (map(str, [1]), ["1"]),
        (Pair(1, Array(2)), [1, 2]),
        (OrderedDict(a=NAN), {"a": "NaN"}),
        (UserDict(a=Array(1)), {"a": 1}),
        (MappingProxyType({"a": 1}), {"a": 1}),
        (Sample("s", NAN), {"name": "s", "values": "NaN"}),
        (Sample("s", Array([1])), {"name": "s", "values": [1]}),
        (Slotted({"a": Array([1])}), {"values": {"a": [1]}}),
        (Model(values=Array([INF]), raw=b"text"), {"values": ["Infinity"], "raw": "text"}),
        (Sample("s", b"\xff"), {"name": "s", "values": "_w=="}),
        (Nanoseconds(), ["2026-01-31T00:00:00Z"]),
        ([Shade.RED, Shade.NAN], ["red", "NaN"]),
        (bytearray(b"\xfb\xff"), "-_8="),
        (memoryview(b"\xfb\xff"), "-_8="),
        (1 + 2j, "1+2j"),
        (Fraction(1, 3), "1/3"),
        (PurePosixPath("/a"), "/a"),
        (datetime(2026, 1, 1, tzinfo=UTC), "2026-01-01T00:00:00Z"),
        (UUID(int=1), "00000000-0000-0000-0000-000000000001"),
        ({date(2026, 1, 1): 1, (1, 2): 2, None: 3, True: 4}, {"2026-01-01": 1, "1,2": 2, "None": 3, "true": 4}),
    ],
    ids=named,
)
def test_value_has_this_json_form(value: Any, expected: Any) -> None:
    assert finite(plain(value)) == expected


DOUBLED: list[Any] = [
    {1: "a", "1": "b"},
    {True: "a", "true": "b"},
    {None: "a", "None": "b"},
    {(1, 2): "a", "1,2": "b"},
    {Shade.RED: "a", "red": "b"},
    {1.5: "a", "1.5": "b"},
    {Array(1): "a", 1: "b"},
    {b"a": 1, "YQ==": 2},
]


@pytest.mark.parametrize("value", DOUBLED, ids=named)
def test_two_keys_of_one_text_are_refused_with_their_path(value: Any) -> None:
    for whole, path in (([0, {"x": value}], '[1]["x"]'), (Model(values=[value]), ".values[0]")):
        for refused in (plain, check_keys):
            with pytest.raises(NotJson, match="has two keys with the text") as caught:
                refused(whole)
            assert caught.value.place == path


@pytest.mark.parametrize("whole", [Sample("s", DOUBLED[0]), Slotted(DOUBLED[0])])
def test_two_keys_of_one_text_in_a_dataclass_are_refused(whole: Any) -> None:
    with pytest.raises(NotJson) as caught:
        plain(whole)
    assert caught.value.place == ".values"


def test_columns_of_one_name_are_refused() -> None:
    with pytest.raises(NotJson, match='two keys with the text "a"'):
        plain(Frame(("a", Array([1])), ("a", Array([2]))))


ADVICE = (
    "annotate them as Base64Bytes, or set ser_json_bytes and val_json_bytes to base64 in the configuration of class"
)


@pytest.mark.parametrize(
    ("value", "sentence"),
    [
        ({"mean": [1, 2, 3, object()]}, 'result["mean"][3] is of type builtins.object, which has no JSON form'),
        (Sample("s", [object()]), "result.values[0] is of type builtins.object, which has no JSON form"),
        (Model(values=(re,)), "result.values[0] is of type builtins.module, which has no JSON form"),
        (
            [Scalar([1, 2])],
            "result[0] has no JSON form: item() raised ValueError: only one element can be converted",
        ),
        ({object: 1}, "result has a key of type builtins.type, which has no text"),
        (
            [Model(raw=b"\xff")],
            f"result[0] has bytes that are not UTF-8: {ADVICE} {__name__}.Model",
        ),
        ([ValueError("x")], "result[0] is of type builtins.ValueError, which has no JSON form"),
    ],
)
def test_sentence_names_the_part_without_a_json_form(value: Any, sentence: str) -> None:
    with pytest.raises(NotJson) as caught:
        plain(value)
    assert caught.value.sentence("result") == sentence


def test_error_of_a_values_own_iterator_is_not_replaced() -> None:
    def broken() -> Iterator[int]:
        yield 1
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        plain({"a": broken()})


def test_endless_recursion_in_a_values_own_iterator_is_not_blamed_on_the_value() -> None:
    def endless() -> Iterator[int]:
        yield from endless()

    with pytest.raises(RecursionError):
        plain({"a": [endless()]})


def test_iterators_are_found_without_reading_them() -> None:
    values = iter([1, 2])
    assert check_keys({"a": [values]})
    assert list(values) == [1, 2]
    assert not check_keys({"a": [1, "b", {"c": 1.5}]})


def test_path_of_a_number_with_too_many_digits_is_named() -> None:
    assert unwritable({"a": [1, {"b c": 10**5000}]}) == '["a"][1]["b c"]'
