"""Results are written by the return annotation, as the catalogue promises."""

import json
import logging
import math
import traceback
from collections.abc import Generator, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Annotated, Any

import pytest
from pydantic import (
    Base64Bytes,
    Base64UrlBytes,
    BaseModel,
    ConfigDict,
    Field,
    FiniteFloat,
    Json,
    PlainSerializer,
    SecretStr,
)
from typing_extensions import TypedDict

from pacifica.dispatcher.core.errors import BadArguments, BadResult
from pacifica.dispatcher.core.json_values import plain_arguments
from pacifica.dispatcher.core.registry import TaskSpec
from pacifica.dispatcher.core.result_type import ResultType


class Point(BaseModel):
    x: int
    y: float = 0.0


class Login(BaseModel):
    user: str
    password: SecretStr


class Renamed(BaseModel):
    model_config = ConfigDict(serialize_by_alias=True)
    sample_name: str = Field(serialization_alias="sampleName")


class Opaque:
    """A class without a pydantic schema."""


class Chunk(TypedDict):
    data: Base64Bytes


class Note(TypedDict):
    data: bytes


@dataclass
class Blob:
    """A class without a configuration."""

    data: bytes


class Utf8(BaseModel):
    """A model has its own configuration: pydantic's default for bytes is UTF-8."""

    data: bytes


class Float32:
    """Like a number or an array of NumPy."""

    def __init__(self, value: Any) -> None:
        self.value = value

    def tolist(self) -> Any:
        return self.value


def returning(annotation: Any) -> TaskSpec:
    """A task with this return annotation, and a parameter of the same type."""

    def function(x): ...  # type: ignore[no-untyped-def]

    function.__annotations__ = {"return": annotation, "x": annotation}
    return TaskSpec("it", function)


@pytest.mark.parametrize(
    ("annotation", "value", "expected"),
    [
        (Base64Bytes, b"abc", "YWJj"),
        (Base64UrlBytes, b"\xfb\xff", "-_8="),
        (Chunk, {"data": b"abc"}, {"data": "YWJj"}),
        (bytes, b"\xfb\xff", "-_8="),
        (dict[str, list[bytes]], {"a": [b"\xff"]}, {"a": ["_w=="]}),
        (Blob, Blob(b"\xff"), {"data": "_w=="}),
        (Utf8, Utf8(data=b"text"), {"data": "text"}),
        (Note, {"data": b"text"}, {"data": "dGV4dA=="}),
        (Note, {"data": b"\xff"}, {"data": "_w=="}),
        (SecretStr, SecretStr("hidden"), "**********"),
        (SecretStr, "hidden", "**********"),
        (Login, {"user": "a", "password": "hidden"}, {"user": "a", "password": "**********"}),
        (Renamed, Renamed(sample_name="s"), {"sampleName": "s"}),
        (Annotated[int, PlainSerializer(lambda number: f"#{number}")], 3, "#3"),
        (Point, {"x": 1}, {"x": 1, "y": 0.0}),
        (Point, Point(x=1, y=math.inf), {"x": 1, "y": "Infinity"}),
        (float, math.nan, "NaN"),
        (float, Float32(1.5), 1.5),
        (list[float], Float32([1.5, -math.inf]), [1.5, "-Infinity"]),
        (dict[str, Any], {"a": Float32(1)}, {"a": 1}),
        (tuple[int, str], (1, "a"), [1, "a"]),
        (datetime, "2026-01-01T00:00:00Z", "2026-01-01T00:00:00Z"),
        (list[int], (number for number in range(2)), [0, 1]),
        (Iterable[int], (number for number in range(2)), [0, 1]),
        (dict[str, list[int]], {"a": iter([1, 2])}, {"a": [1, 2]}),
    ],
)
def test_result_is_written_by_the_return_annotation(
    annotation: Any, value: Any, expected: Any, caplog: pytest.LogCaptureFixture
) -> None:
    assert returning(annotation).dump(value, 1000) == expected
    assert not caplog.records


@pytest.mark.parametrize("annotation", [Iterator, Iterator[int], Generator[int, None, str]])
def test_result_of_a_generator_function_is_a_list(annotation: Any) -> None:
    numbers = ResultType(annotation)
    assert numbers.json_schema()["type"] == "array"
    assert numbers.jsonable((number for number in range(2)), "numbers") == [0, 1]


def test_serializer_of_an_annotation_writes_a_class_that_pydantic_does_not_know() -> None:
    class Known(Opaque):
        @classmethod
        def __get_pydantic_core_schema__(cls, source: Any, handler: Any) -> Any:
            return handler(Annotated[Any, PlainSerializer(lambda value: "opaque")])

    assert returning(Known).dump(Known(), 1000) == "opaque"


def test_value_that_does_not_fit_is_stored_by_its_own_type_and_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    own = returning(list[int])
    assert [own.dump(value, 1000) for value in ("three", {"a": b"b"}, ["1"])] == ["three", {"a": "Yg=="}, ["1"]]
    assert [record.getMessage().partition(" Correct")[0] for record in caplog.records] == [
        "A result of task it does not fit the return annotation, so it is stored by its own type, str."
    ]


def test_value_that_does_not_fit_a_secret_is_not_stored() -> None:
    with pytest.raises(BadResult, match="hides secrets") as caught:
        returning(Login).dump({"user": 1, "password": "hidden"}, 1000)
    assert "'hidden'" not in str(caught.value)


@pytest.mark.parametrize("annotation", [Any, dict, dict[str, Any], dict[int | str, Any]])
def test_annotation_does_not_hide_two_keys_of_one_text(annotation: Any) -> None:
    with pytest.raises(BadResult, match=r'result\["a"\] has two keys with the text "1"'):
        returning(annotation).dump({"a": {1: "a", "1": "b"}}, 1000)


def test_path_of_a_part_without_a_json_form_is_named() -> None:
    with pytest.raises(BadResult, match=r'result\["a"\]\[1\] is of type .*Opaque, which has no JSON form'):
        returning(dict[str, Any]).dump({"a": [1, Opaque()]}, 1000)


def test_refused_result_shows_no_traceback_of_the_search_for_its_path() -> None:
    with pytest.raises(BadResult) as caught:
        returning(dict[str, Any]).dump({"a": [1, Opaque()]}, 1000)
    assert "json_values" not in "".join(traceback.format_exception(caught.value))


def test_schema_of_a_float_result_allows_the_words() -> None:
    words = {"enum": ["NaN", "Infinity", "-Infinity"]}
    assert returning(float).result_schema() == {"anyOf": [{"type": "number"}, words]}
    assert returning(Point).result_schema()["properties"]["y"]["anyOf"] == [{"type": "number"}, words]
    assert returning(Point).arguments_schema()["$defs"]["Point"]["properties"]["y"]["type"] == "number"


@pytest.mark.parametrize(
    ("annotation", "text", "value"),
    [
        (bytes, "-_8=", b"\xfb\xff"),
        (bytes, "+/8=", b"\xfb\xff"),
        (Base64Bytes, "YWJj", b"abc"),
        (list[bytes], ["YWJj"], [b"abc"]),
        (Chunk, {"data": "YWJj"}, {"data": b"abc"}),
        (Blob, {"data": "YWJj"}, Blob(b"abc")),
        (Note, {"data": "YWJj"}, {"data": b"abc"}),
        (Utf8, {"data": "text"}, Utf8(data=b"text")),
    ],
)
def test_bytes_come_in_as_base64(annotation: Any, text: Any, value: Any) -> None:
    own = returning(annotation)
    own.bind([text], {})
    assert own.load([text], {}) == ([value], {})
    if isinstance(text, str):
        assert own.bind_text([text]).args == [text]


def test_bytes_that_are_not_base64_are_refused() -> None:
    for annotation in (bytes, Base64Bytes):
        with pytest.raises(BadArguments, match=r"task it: x: should be base64, such as TmFDbA==\.$"):
            returning(annotation).bind(["a"], {})


@pytest.mark.parametrize(
    ("annotation", "value"),
    [
        (dict[str, bytes], {"a": b"\xff\x00"}),
        (Blob, Blob(b"\xff")),
        (Blob, Blob(b"abc")),
        (list[Blob], [Blob(b"abc")]),
        (Note, {"data": b"abc"}),
        (Utf8, Utf8(data=b"abc")),
        (float, math.inf),
        (float | None, -math.inf),
        (list[int | float], [1, math.inf, 2.5]),
        (Point, Point(x=1, y=math.inf)),
        (dict[str, list[float]], {"a": [math.inf]}),
        (tuple[Decimal, float], (Decimal("1.10"), math.inf)),
    ],
)
def test_value_of_python_code_reaches_the_task_unchanged(annotation: Any, value: Any) -> None:
    own = returning(annotation)
    call = own.bind_python([value], {})
    assert own.load(call.args, call.kwargs) == ([value], {})
    assert json.loads(call.encoded.args) == call.args


def test_nan_of_python_code_reaches_the_task() -> None:
    own = returning(float)
    call = own.bind_python([math.nan], {})
    (loaded,), _ = own.load(call.args, call.kwargs)
    assert math.isnan(loaded)
    assert call.args == ["NaN"]


@pytest.mark.parametrize(
    ("annotation", "fault"),
    [
        (FiniteFloat, "should be a finite number"),
        (Annotated[float, Field(gt=0)], "should be greater than 0"),
        (int, "should be a valid integer"),
        (list[float], "should be a valid array"),
    ],
)
def test_nan_of_python_code_must_fit_the_annotation(annotation: Any, fault: str) -> None:
    with pytest.raises(BadArguments, match=f"x: {fault}"):
        returning(annotation).bind_python([math.nan], {})


def test_number_that_no_text_can_stand_for_ends_the_passes() -> None:
    with pytest.raises(BadArguments, match="should be a number in quotes"):
        returning(tuple[Json[Decimal], float]).bind_python([("1.10", math.nan)], {})


def test_text_of_a_request_never_stands_for_a_number() -> None:
    for bind in (lambda own: own.bind(["NaN"], {}), lambda own: own.bind_text(["NaN"])):
        with pytest.raises(BadArguments, match="x: should be a valid number"):
            bind(returning(float))


def test_schema_says_that_bytes_are_base64() -> None:
    own = returning(bytes)
    assert own.arguments_schema()["properties"]["x"] == {"type": "string", "format": "base64url"}
    assert own.result_schema() == {"type": "string", "format": "base64url"}


@pytest.mark.parametrize(
    ("args", "kwargs", "sentence"),
    [
        ([0, {"x": {1: "a", "1": "b"}}], {}, r'args\[1\]\["x"\] has two keys with the text "1"'),
        ([], {"n": [True, {None: 1, "None": 2}]}, r'n\[1\] has two keys with the text "None"'),
        ([Opaque()], {}, r"args\[0\] is of type .*Opaque, which has no JSON form"),
    ],
)
def test_arguments_of_python_code_that_would_lose_a_value_are_refused(
    args: list[Any], kwargs: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(ValueError, match=f"the arguments are not JSON: {sentence}"):
        plain_arguments(args, kwargs)


def test_numbers_of_numpy_are_arguments_of_python_code() -> None:
    assert plain_arguments([Float32(1.5)], {"n": Float32([1, 2])}) == ([1.5], {"n": [1, 2]})
