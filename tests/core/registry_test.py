"""Binding arguments to signatures: accepted values, refused values, and the faults that name them."""

import enum
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Annotated, Any, Literal
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, Field, with_config
from typing_extensions import TypedDict

from pacifica.dispatcher.core import strict_json
from pacifica.dispatcher.core.errors import BadArguments, BadResult, UnknownTask, UnusableTask
from pacifica.dispatcher.core.job import EncodedArguments
from pacifica.dispatcher.core.json_values import plain_arguments
from pacifica.dispatcher.core.registry import Call, Registry, TaskSpec
from pacifica.dispatcher.core.strict_json import ExactNumber


class Colour(enum.Enum):
    RED = "red"
    BLUE = "blue"


class Level(enum.IntEnum):
    LOW = 1
    HIGH = 2


class Point(BaseModel):
    x: int
    y: float = 0.0


class Shape(BaseModel):
    name: str
    points: list[Point] = []


@with_config(extra="forbid")
class Pair(TypedDict):
    left: int
    right: str


class Cat(BaseModel):
    kind: Literal["cat"]


class Dog(BaseModel):
    kind: Literal["dog"]


Tagged = Annotated[Cat | Dog, Field(discriminator="kind")]
INTEGER = "should be a valid integer"


def spec(function: Callable[..., Any], check: Callable[..., object] | None = None) -> TaskSpec:
    """The task of a function."""
    return TaskSpec("it", function, function.__doc__ or "", check)


def taking(annotation: Any) -> TaskSpec:
    """A task with one parameter ``x`` of this type."""

    def function(x):  # type: ignore[no-untyped-def]
        return x

    function.__annotations__ = {"x": annotation}
    return spec(function)


def bound_call(args: Sequence[Any], kwargs: Mapping[str, Any]) -> Call:
    """The call of the task ``it`` with these arguments, and their text as stored in a row."""
    return Call("it", args, kwargs, EncodedArguments(strict_json.dumps(args), strict_json.dumps(kwargs)))


def faults(bind: Callable[[], object]) -> dict[str, str]:
    """The fault of each argument."""
    with pytest.raises(BadArguments) as caught:
        bind()
    return {fault.where: fault.message for fault in caught.value.faults}


def untyped(x, y=None): ...  # type: ignore[no-untyped-def]


def mixed(a: int, /, b: int, *rest: int, c: int, d: int = 4, **more: int) -> None: ...


def only_position(x: int, /, **more: int) -> None: ...


# Text from a URL


@pytest.mark.parametrize("annotation", [Any, int | float | str])
@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("5", 5),
        ("-5", -5),
        ("0", 0),
        ("-0", 0),
        ("1.5", 1.5),
        ("-0.25", -0.25),
        ("1e3", 1000.0),
        ("1E-3", 0.001),
        ("٢", "٢"),
        ("２", "２"),
        ("1_000", "1_000"),
        (" 5 ", " 5 "),
        ("5\n", "5\n"),
        ("007", "007"),
        ("-01", "-01"),
        ("+5", "+5"),
        ("1.", "1."),
        (".5", ".5"),
        ("0x10", "0x10"),
        ("1,000", "1,000"),
        ("infinity", "infinity"),
        ("inf", "inf"),
        ("NaN", "NaN"),
        ("1e999", "1e999"),
        ("9" * 5000, "9" * 5000),
        ("true", "true"),
        ("null", "null"),
        ("[1]", "[1]"),
        ('{"a": 1}', '{"a": 1}'),
        ("", ""),
        ("é😀", "é😀"),
        ("a\0b", "a\0b"),
    ],
)
def test_untyped_text_is_a_number_if_it_looks_like_one(annotation: Any, text: str, value: Any) -> None:
    (bound,) = taking(annotation).bind_text([text]).args
    assert bound == value
    assert type(bound) in {type(value), ExactNumber}


@pytest.mark.parametrize(
    ("annotation", "text", "value"),
    [
        (str, "5", "5"),
        (str, "007", "007"),
        (str, "true", "true"),
        (str, "[1]", "[1]"),
        (float, "5", 5),
        (float, "1e3", 1000.0),
        (bool, "true", True),
        (bool, "false", False),
        (int | None, "null", None),
        (str | None, "null", "null"),
        (int | None, "5", 5),
        (str | int, "5", 5),
        (list[int], "[1, 2]", [1, 2]),
        (dict[str, int], '{"a": 1}', {"a": 1}),
        (Point, '{"x": 1}', {"x": 1}),
        (datetime, "2026-01-01T00:00:00Z", "2026-01-01T00:00:00Z"),
        (UUID, "0192f0c1-7c1e-7b60-9f3e-2b1a6d0c4e5f", "0192f0c1-7c1e-7b60-9f3e-2b1a6d0c4e5f"),
        (Decimal, "1.10", "1.10"),
        (Literal["a", "b"], "a", "a"),
        (Literal[1, 2], "2", 2),
        (Literal["1"], "1", "1"),
        (Colour, "red", "red"),
        (Level, "2", 2),
        (Annotated[int, Field(ge=1)], "1", 1),
    ],
)
def test_text_is_read_as_its_annotation_requires(annotation: Any, text: str, value: Any) -> None:
    (bound,) = taking(annotation).bind_text([text]).args
    assert bound == value
    assert type(bound) in {type(value), ExactNumber}


@pytest.mark.parametrize("text", ["٢", "1_000", " 5 ", "007", "infinity", "1.0", "1e3", "", "true", "9" * 5000, "null"])
def test_text_that_is_not_an_integer_is_refused_as_int(text: str) -> None:
    assert faults(lambda: taking(int).bind_text([text])) == {"x": "should be a valid integer"}


@pytest.mark.parametrize("text", ["٢", "1_000", " 5 ", "007", "infinity", "nan", "1e999", "1.", "x"])
def test_text_that_is_not_a_number_is_refused_as_float(text: str) -> None:
    assert faults(lambda: taking(float).bind_text([text])) == {"x": "should be a valid number"}


@pytest.mark.parametrize(
    ("annotation", "text", "expected"),
    [
        (bool, "1", "should be a valid boolean"),
        (bool, "True", "should be a valid boolean"),
        (list[int], "[1", "should be a valid array"),
        (list[int], "1", "should be a valid array"),
        (Annotated[float, Field(ge=0)], "-5", "should be greater than or equal to 0"),
        (Annotated[str, Field(max_length=3)], "abcd", "string should have at most 3 characters"),
        (Literal["a", "b"], "c", "should be 'a' or 'b'"),
        (Colour, "green", "should be 'red' or 'blue'"),
        (int | None, "x", "should be a valid integer"),
    ],
)
def test_fault_of_a_text_says_what_is_allowed(annotation: Any, text: str, expected: str) -> None:
    assert faults(lambda: taking(annotation).bind_text([text])) == {"x": expected}


def test_fault_of_a_text_names_its_place() -> None:
    assert faults(lambda: taking(list[int]).bind_text(['[1, "2"]'])) == {"x[1]": "should be a valid integer"}


def test_each_wrong_segment_is_named() -> None:
    def three(a: int, b: float, c: bool) -> None: ...

    assert list(faults(lambda: spec(three).bind_text(["x", "y", "z"]))) == ["a", "b", "c"]


def test_text_for_variable_arguments_is_read_one_by_one() -> None:
    def rest(*numbers: int) -> None: ...

    assert spec(rest).bind_text(["1", "2"]) == bound_call([1, 2], {})
    assert list(faults(lambda: spec(rest).bind_text(["1", "x", "y"]))) == ["numbers[1]", "numbers[2]"]


def test_optional_argument_may_be_left_out_of_a_url() -> None:
    assert spec(untyped).bind_text(["a"]).args == ["a"]


def test_url_cannot_give_a_keyword_only_argument() -> None:
    assert faults(lambda: spec(mixed).bind_text(["1", "2"])) == {"c": "is missing"}


# JSON values


@pytest.mark.parametrize(
    ("annotation", "value"),
    [
        (int, 5),
        pytest.param(int, 10**4000, id="4001 digits"),
        (float, 5),
        (float, 1.5),
        (str, "5"),
        (str, "\0é😀"),
        (bool, True),
        (int | str, "5"),
        (int | None, None),
        (datetime, "2026-01-01T00:00:00+01:00"),
        (Colour, "blue"),
        (Level, 1),
        (Literal["a", 1], 1),
        (list[Point], [{"x": 1}, {"x": 2, "y": 3}]),
        (Shape, {"name": "line", "points": [{"x": 1}]}),
        (Pair, {"left": 1, "right": "r"}),
        (dict[str, Any], {"__type__": "datetime", "__value__": 1}),
        (tuple[int, str], [1, "a"]),
        (set[int], [1, 2]),
        (bytes, "text"),
        (Any, {"deep": [None, True, 1.5]}),
    ],
)
def test_accepted_json_value_is_kept_unchanged(annotation: Any, value: Any) -> None:
    assert taking(annotation).bind([value], {}) == bound_call([value], {})
    assert taking(annotation).bind([], {"x": value}) == bound_call([], {"x": value})


@pytest.mark.parametrize(
    ("annotation", "value", "expected"),
    [
        (int, "5", "should be a valid integer"),
        (int, 5.0, "should be a valid integer"),
        (int, True, "should be a valid integer"),
        (int, None, "should be a valid integer"),
        (float, "5", "should be a valid number"),
        (float, True, "should be a valid number"),
        (float, 10**400, "should be a finite number"),
        (str, 5, "should be a valid string"),
        (bool, 1, "should be a valid boolean"),
        (bool, "true", "should be a valid boolean"),
        (int | str, 1.5, "should be a valid integer or a valid string"),
        (datetime, 5, "should be a valid datetime"),
        (Annotated[int, Field(ge=1, le=3)], 4, "should be less than or equal to 3"),
        (Annotated[int, Field(multiple_of=2)] | None, 3, "should be a multiple of 2"),
        (Annotated[str, Field(pattern="^a")], "b", "string should match pattern '^a'"),
        (Point, 5, "should be an object"),
        (Any, float("nan"), "it is not JSON"),
        (Any, "\ud800", "unexpected end of hex escape"),
        pytest.param(Any, 10**5000, "4300 digits", id="5000 digits"),
    ],
)
def test_fault_of_a_json_value_says_what_is_allowed(annotation: Any, value: Any, expected: str) -> None:
    found = faults(lambda: taking(annotation).bind([value], {}))
    assert list(found) == ["x"]
    for part in expected.split(" or should"):
        assert part in found["x"]
    assert "should be should" not in found["x"]


@pytest.mark.parametrize(
    ("annotation", "value", "expected"),
    [
        (list[float], [1.5, 10**400], {"x[1]": "should be a finite number"}),
        (list[int], [1, "a", 2, "b"], {"x[1]": INTEGER, "x[3]": INTEGER}),
        (dict[str, int], {"k": "v", "two words": "v"}, {"x.k": INTEGER, "x['two words']": INTEGER}),
        (Point, {}, {"x.x": "is missing"}),
        (Shape, {"points": [{"x": "a"}]}, {"x.name": "is missing", "x.points[0].x": INTEGER}),
        (Pair, {"left": 1, "right": "r", "up": 1}, {"x.up": "is not allowed"}),
    ],
)
def test_each_wrong_place_of_a_value_is_a_fault(annotation: Any, value: Any, expected: dict[str, str]) -> None:
    assert faults(lambda: taking(annotation).bind([value], {})) == expected


@pytest.mark.parametrize(
    ("annotation", "value", "expected"),
    [
        (Shape | int, {"name": 5}, {"x.name": "should be a valid string"}),
        (list[int] | str, ["a"], {"x[0]": INTEGER}),
        (Point | Pair, {"x": "a"}, {"x.x": INTEGER}),
        (list[int | None], ["a"], {"x[0]": INTEGER}),
        (list[int | bool], ["a"], {"x[0]": "should be a valid integer or a valid boolean"}),
        (Tagged, {"kind": "bird"}, {"x": "'kind' should be one of 'cat', 'dog'"}),
        (Annotated[list[int], Field(min_length=2)], [1], {"x": "list should have at least 2 items, not 1"}),
    ],
)
def test_fault_of_a_union_is_the_one_of_its_nearest_member(annotation: Any, value: Any, expected: Any) -> None:
    assert faults(lambda: taking(annotation).bind([value], {})) == expected


def test_fault_of_a_long_list_is_short() -> None:
    with pytest.raises(BadArguments, match="; and 990 more") as caught:
        taking(list[int]).bind([["x"] * 1000], {})
    assert [fault.where for fault in caught.value.faults] == [f"x[{place}]" for place in range(10)]


@pytest.mark.parametrize(
    ("annotation", "value", "where"),
    [
        (list[int], [1, *["x"] * 2000], "x[1]"),
        (list[list[int] | bool], [["x"]] * 2000, "x[0][0]"),
        (list[Shape], [{"points": []}] * 2000, "x[0].name"),
        (list[datetime], ["20260131"] * 2000, "x[0]"),
        (dict[str, int], {str(n): "x" for n in range(2000)}, "x['0']"),
    ],
)
def test_fault_of_a_very_long_list_names_its_first_wrong_item(annotation: Any, value: Any, where: str) -> None:
    with pytest.raises(BadArguments, match="; and many more") as caught:
        taking(annotation).bind([value], {})
    assert caught.value.faults[0].where == where
    assert len(str(caught.value)) < 1000


def test_deeply_nested_value_is_refused() -> None:
    value: list[Any] = []
    for _ in range(5000):
        value = [value]
    assert list(faults(lambda: taking(Any).bind([value], {}))) == ["x"]


# Assigning arguments to parameters


@pytest.mark.parametrize(
    ("args", "kwargs"),
    [
        ([1, 2], {"c": 3}),
        ([1], {"b": 2, "c": 3}),
        ([1, 2, 3, 4], {"c": 3, "d": 4}),
        ([1, 2], {"c": 3, "e": 5, "f": 6}),
        ([1, 2], {"c": 3, "a": 5}),
        ([1, 2], {"c": 3, "rest": 5, "more": 6}),
    ],
)
def test_every_kind_of_parameter_takes_its_argument(args: Sequence[int], kwargs: Mapping[str, int]) -> None:
    assert spec(mixed).bind(args, kwargs) == bound_call(args, kwargs)
    mixed(*args, **kwargs)


@pytest.mark.parametrize(
    ("args", "kwargs", "expected"),
    [
        ([], {}, {"a": "is missing", "b": "is missing", "c": "is missing"}),
        ([1, 2], {}, {"c": "is missing"}),
        ([1, "x"], {"e": "y"}, {"c": "is missing"} | dict.fromkeys(("b", "e"), "should be a valid integer")),
        ([1, 2], {"b": 2, "c": 3}, {"b": "is given twice, by position and by name"}),
        ([1, 2, "x"], {"c": 3}, {"rest[0]": "should be a valid integer"}),
        ([1, 2], {"c": 3, "e": "x"}, {"e": "should be a valid integer"}),
        (
            ["x", 2, 3, "y"],
            {"c": "z", "e": "w"},
            dict.fromkeys(("a", "rest[1]", "c", "e"), "should be a valid integer"),
        ),
    ],
)
def test_every_wrong_argument_is_named(args: Any, kwargs: Any, expected: dict[str, str]) -> None:
    assert faults(lambda: spec(mixed).bind(args, kwargs)) == expected


def test_positional_only_argument_cannot_be_given_by_name() -> None:
    assert spec(only_position).bind([1], {"x": 2}).kwargs == {"x": 2}
    assert faults(lambda: spec(only_position).bind([], {"x": 2})) == {"x": "is missing"}


def test_surplus_and_unknown_arguments_are_each_named() -> None:
    found = faults(lambda: spec(untyped).bind([1, 2, 3, 4], {"z": 5}))
    assert list(found) == ["argument 3", "argument 4", "z"]
    assert found["argument 3"] == "is one too many; the task takes x, y"
    assert found["z"] == "is not an argument of the task; it takes x, y"


def test_task_without_parameters_takes_no_arguments() -> None:
    def nothing() -> None: ...

    assert spec(nothing).bind([], {}) == spec(nothing).bind_text([]) == bound_call([], {})
    assert faults(lambda: spec(nothing).bind([1], {}))["argument 1"].endswith("takes none")
    assert spec(nothing).arguments_schema() == {"type": "object", "properties": {}, "additionalProperties": False}


# The check


def test_check_may_refuse_values_that_fit_the_annotations() -> None:
    def check(x: int, y: int = 1) -> None:
        if x > y:
            raise ValueError("x must not exceed y")

    def task(x: int, y: int = 1) -> None: ...

    own = spec(task, check)
    assert own.bind([1, 2], {}) == own.bind_text(["1", "2"])
    for bind in (lambda: own.bind([2], {}), lambda: own.bind([], {"x": 3, "y": 2}), lambda: own.bind_text(["3", "2"])):
        assert faults(bind) == {"arguments": "x must not exceed y"}


def test_check_gets_the_same_values_as_the_function() -> None:
    seen: list[Any] = []

    def task(when: datetime, colour: Colour) -> None: ...

    own = spec(task, lambda when, colour: seen.append((when, colour)))
    own.bind(["2026-01-01T00:00:00Z", "red"], {})
    own.bind_text(["2026-01-01T00:00:00Z", "red"])
    own.load(["2026-01-01T00:00:00Z", "red"], {})
    assert seen == [(datetime.fromisoformat("2026-01-01T00:00:00Z"), Colour.RED)] * 3


def test_check_is_not_called_with_values_that_do_not_fit() -> None:
    own = spec(lambda x: None, check=lambda x: 1 // 0)
    assert faults(lambda: own.bind([], {})) == {"x": "is missing"}


# Loading and dumping


def test_worker_gets_python_values() -> None:
    def task(when: datetime, *points: Point, colour: Colour) -> None: ...

    args, kwargs = spec(task).load(["2026-01-01T00:00:00Z", {"x": 1}], {"colour": "red"})
    assert args == [datetime.fromisoformat("2026-01-01T00:00:00Z"), Point(x=1)]
    assert kwargs == {"colour": Colour.RED}


@pytest.mark.parametrize(
    ("value", "plain"),
    [
        (None, None),
        (10**4000, 10**4000),
        ("\ud800\0", "\ud800\0"),
        (Colour.RED, "red"),
        (Level.HIGH, 2),
        ((1, {2}), [1, [2]]),
        ({1: Point(x=1)}, {"1": {"x": 1, "y": 0.0}}),
        (datetime(2026, 1, 1), "2026-01-01T00:00:00"),  # noqa: DTZ001 - a naive one is what the test is about
        (b"text", "dGV4dA=="),
        (float("nan"), "NaN"),
        ([float("inf"), {"low": -float("inf")}], ["Infinity", {"low": "-Infinity"}]),
        (Decimal("1.10"), "1.10"),
    ],
)
def test_result_is_kept_as_json_values(value: Any, plain: Any) -> None:
    dumped = spec(untyped).dump(value, 10_000)
    assert dumped == plain
    assert strict_json.loads(strict_json.dumps(dumped)) == plain


def itself() -> list[Any]:
    """A list that contains itself."""
    value: list[Any] = []
    value.append(value)
    return value


@pytest.mark.parametrize(
    "value",
    [object(), 10**5000, itself(), lambda: 1],
    ids=["object", "digits", "itself", "function"],
)
def test_result_that_is_not_json_is_refused(value: Any) -> None:
    with pytest.raises(BadResult, match="The result of task it cannot be stored"):
        spec(untyped).dump(value, 10_000)


def test_result_may_be_as_long_as_the_limit_in_bytes() -> None:
    assert spec(untyped).dump("é", 8) == "é"
    with pytest.raises(BadResult, match=r"has 8 bytes of JSON; \[dispatcher\] result_limit allows 7"):
        spec(untyped).dump("é", 7)


def test_arguments_from_python_become_json_values() -> None:
    assert plain_arguments((Colour.RED, (1, 2)), {"p": Point(x=1)}) == (["red", [1, 2]], {"p": {"x": 1, "y": 0.0}})


@pytest.mark.parametrize("value", [object(), itself(), pytest.param(10**5000, id="digits")])
def test_arguments_from_python_that_are_not_json_are_refused(value: Any) -> None:
    with pytest.raises(ValueError, match=r"the arguments are not JSON: args\[0\]"):
        plain_arguments([value], {})


@pytest.mark.parametrize(("value", "reason"), [(object(), "args"), ("20260131", "ISO 8601")])
def test_every_fault_of_arguments_from_python_is_bad_arguments(value: Any, reason: str) -> None:
    with pytest.raises(BadArguments, match=f"The arguments do not fit task it: .*{reason}"):
        taking(datetime).bind_python([value], {})
    assert taking(datetime).bind_python([datetime(2026, 1, 1)], {}).args == ["2026-01-01T00:00:00"]  # noqa: DTZ001


# Annotations and schemas


@pytest.mark.parametrize("text", ["nope", "datetime.nope", "int |", "1 + 'a'"])
def test_error_of_an_unresolvable_annotation_names_the_argument(text: str) -> None:
    with pytest.raises(ValueError, match="the annotation of argument x cannot be used"):
        taking(text)


class Opaque:
    """A class without a pydantic schema."""


@pytest.mark.parametrize("annotation", [Opaque, list[Opaque], Callable[[], int], Iterator[Opaque]])
def test_error_of_an_annotation_without_a_schema_names_the_argument(annotation: Any) -> None:
    with pytest.raises(ValueError, match="the annotation of argument x cannot be used"):
        taking(annotation)


def references(schema: Any) -> Iterator[str]:
    """All references in a JSON Schema."""
    if isinstance(schema, dict):
        for key, value in schema.items():
            if key == "$ref":
                yield value
            yield from references(value)
    elif isinstance(schema, list):
        for value in schema:
            yield from references(value)


def test_arguments_schema_has_names_defaults_and_required() -> None:
    schema = spec(mixed).arguments_schema()
    assert list(schema["properties"]) == ["a", "b", "rest", "c", "d"]
    assert schema["properties"]["rest"] == {"type": "array", "items": {"type": "integer"}}
    assert schema["properties"]["d"] == {"type": "integer", "default": 4}
    assert schema["required"] == ["a", "b", "c"]
    assert schema["additionalProperties"] == {"type": "integer"}


def test_every_reference_of_a_schema_resolves() -> None:
    def task(shape: Shape, other: list[Shape], point: Point, pair: Pair, colour: Colour = Colour.RED) -> Shape: ...

    for schema in (spec(task).arguments_schema(), spec(task).result_schema()):
        found = list(references(schema))
        assert found
        for reference in found:
            path = re.fullmatch(r"#/\$defs/(\w+)", reference)
            assert path is not None, reference
            assert path[1] in schema["$defs"]


def test_schema_is_strict_json_with_any_defaults() -> None:
    def task(a: float = float("inf"), b: Any = itself, c: Any = None, d: Colour = Colour.RED) -> None: ...

    schema = spec(task).arguments_schema()
    assert strict_json.loads(strict_json.pretty(schema)) == schema
    assert "default" not in schema["properties"]["a"]
    assert schema["properties"]["d"]["default"] == "red"


def test_result_schema_is_empty_without_a_return_annotation() -> None:
    assert spec(untyped).result_schema() == {}
    assert spec(mixed).result_schema() == {"type": "null"}


# The registry


def test_registry_has_only_its_tasks_in_order() -> None:
    registry = Registry([TaskSpec("mul", untyped), TaskSpec("add", untyped)])
    assert list(registry) == ["add", "mul"]
    assert len(registry) == 2
    assert "add" in registry
    assert "__class__" not in registry
    with pytest.raises(UnknownTask, match="Did you mean add"):
        registry["ad"]
    with pytest.raises(UnknownTask, match="GET /tasks"):
        registry["__init__"]


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("resize", "Did you mean shop.images.resize?"),
        ("images.resize", "Did you mean shop.images.resize?"),
        ("add", "Did you mean a.add or b.add or c.add?"),
        ("size", "GET /tasks"),
        ("", "GET /tasks"),
    ],
)
def test_short_name_is_suggested_and_starts_nothing(name: str, meant: str) -> None:
    names = ("shop.images.resize", "a.add", "b.add", "c.add", "d.add")
    registry = Registry([TaskSpec(one, untyped) for one in names])
    with pytest.raises(UnknownTask) as refused:
        registry[name]
    assert meant in str(refused.value)


def test_task_with_an_unusable_signature_is_refused_by_its_own_error() -> None:
    registry = Registry([TaskSpec("add", untyped)], {"scan": "lab.py:3: task scan cannot be dispatched"})
    assert list(registry) == ["add"]
    with pytest.raises(UnusableTask, match="Task scan cannot be dispatched"):
        registry["scan"]


# Properties of all values

KINDS: list[tuple[Any, st.SearchStrategy[Any]]] = [
    (int, st.integers()),
    (float, st.floats()),
    (str, st.text()),
    (bool, st.booleans()),
    (int | float | str, st.integers() | st.floats() | st.text()),
    (list[int], st.lists(st.integers())),
    (dict[str, float], st.dictionaries(st.text(), st.floats())),
    (datetime, st.datetimes().map(lambda moment: moment.isoformat())),
    (Colour, st.sampled_from(["red", "green"])),
    (Point, st.fixed_dictionaries({"x": st.integers()}, optional={"y": st.floats(), "z": st.text()})),
    (Any, st.recursive(st.none() | st.integers() | st.floats() | st.text(), st.lists, max_leaves=5)),
]
ANYTHING = st.one_of([values for _, values in KINDS])


@given(st.sampled_from(KINDS).flatmap(lambda kind: st.tuples(st.just(kind[0]), kind[1] | ANYTHING)))
def test_bound_value_is_loaded_from_its_json_text(pair: tuple[Any, Any]) -> None:
    annotation, value = pair
    own = taking(annotation)
    try:
        call = own.bind([value], {})
    except BadArguments:
        return
    stored = json.loads(strict_json.dumps(call.args))
    (first,), _ = own.load(call.args, {})
    (again,), _ = own.load(stored, {})
    assert again == first
    assert stored == [value]


@given(st.sampled_from([kind for kind, _ in KINDS]), st.text() | st.integers().map(str) | st.floats().map(str))
def test_value_bound_from_a_url_can_be_bound_as_json(annotation: Any, text: str) -> None:
    own = taking(annotation)
    try:
        call = own.bind_text([text])
    except BadArguments:
        return
    assert own.bind(call.args, call.kwargs) == call


@given(st.lists(st.integers(), max_size=4), st.dictionaries(st.sampled_from("abcdexyz"), st.integers(), max_size=5))
def test_python_accepts_the_arguments_that_are_bound(args: list[int], kwargs: dict[str, int]) -> None:
    for function in (mixed, only_position, untyped):
        try:
            call = spec(function).bind(args, kwargs)
        except BadArguments:
            with pytest.raises(TypeError):
                function(*args, **kwargs)
        else:
            function(*call.args, **call.kwargs)
