"""From values to the fields of a form, and back."""

import json
from collections.abc import Callable
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from typing import Annotated, Any, Literal
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, Field

from pacifica.dispatcher.core import control_characters
from pacifica.dispatcher.core.registry import TaskSpec
from pacifica.dispatcher.dashboard.form_schema import ABSENT, FormNode, Meaning, Place
from pacifica.dispatcher.dashboard.form_values import FieldReader, written
from pacifica.dispatcher.dashboard.task_call import form_of
from pacifica.dispatcher.dashboard.task_draft import SPACE, read_draft


class Colour(Enum):
    RED = "red"
    BLUE = 2


class Point(BaseModel):
    x: float
    y: float = 0.0
    tags: list[str] = []


class Path(BaseModel):
    points: list[Point]
    ends: tuple[int, str]
    inner: Point | None = None


class Tree(BaseModel):
    name: str
    left: "Tree | None" = None


def everything(
    whole: int,
    number: float,
    text: str,
    yes: bool,
    colour: Colour,
    letter: Literal["a", "b", 3],
    day: date,
    at: datetime,
    clock: time,
    span: timedelta,
    raw: bytes,
    price: Decimal,
    some: UUID,
    wholes: list[int],
    words: set[str],
    pair: tuple[int, str],
    maybe: int | None,
    either: int | str,
    point: Point,
    path: Path,
    tree: Tree,
    table: dict[str, int],
    bare,  # type: ignore[no-untyped-def]
    colours: list[Colour],
    default: int = 3,
    word: str = "x",
    note: str | None = None,
    switch: bool = True,
    maybe_switch: bool | None = None,
    maybe_point: Point | None = None,
    words_or_none: list[str] | None = None,
) -> None: ...


EVERYTHING = TaskSpec("t", everything)


def node_of(name: str, spec: TaskSpec = EVERYTHING) -> FormNode:
    return next(node for node in form_of(spec).nodes if node.key == name)


KINDS = {
    "whole": "whole",
    "number": "number",
    "text": "text",
    "yes": "boolean",
    "colour": "choice",
    "letter": "choice",
    "day": "date",
    "at": "moment",
    "clock": "time",
    "span": "duration",
    "raw": "bytes",
    "price": "loose",
    "some": "text",
    "wholes": "lines",
    "words": "lines",
    "pair": "tuple",
    "maybe": "whole",
    "either": "loose",
    "point": "group",
    "path": "group",
    "tree": "group",
    "table": "json",
    "bare": "loose",
    "colours": "lines",
    "maybe_point": "group",
    "words_or_none": "lines",
}


@pytest.mark.parametrize(("name", "kind"), KINDS.items())
def test_kind_of_field_follows_from_the_annotation(name: str, kind: str) -> None:
    assert node_of(name).kind == kind


def test_members_and_items_have_kinds_of_their_own() -> None:
    path = node_of("path")
    assert [(one.key, one.kind, one.required) for one in path.children] == [
        ("points", "rows", True),
        ("ends", "tuple", True),
        ("inner", "group", False),
    ]
    assert path.children[0].item is not None
    assert [one.kind for one in path.children[0].item.children] == ["number", "number", "lines"]
    assert [one.kind for one in node_of("tree").children] == ["text", "json"]  # A tree within itself has no end.


@pytest.mark.parametrize(
    ("name", "meanings"),
    [
        ("whole", ["missing"]),
        ("text", ["missing", "empty"]),
        ("maybe", ["null"]),
        ("default", ["out"]),
        ("word", ["out", "empty"]),
        ("note", ["out", "null", "empty"]),
        ("wholes", ["empty"]),
        ("words_or_none", ["out", "null", "empty"]),
        ("point", ["given"]),
        ("maybe_point", ["out", "null", "given"]),
        ("yes", ["missing"]),
        ("maybe_switch", ["out"]),
    ],
)
def test_meanings_of_an_empty_field(name: str, meanings: list[str]) -> None:
    assert [one.value for one in node_of(name).meanings()] == meanings


def read(name: str, **typed: str) -> Any:
    """The value of an argument whose own field is ``value``, and whose further fields are named."""
    fields = {f"{SPACE}:{name}" if part == "value" else f"{SPACE}:{name}#{part}": text for part, text in typed.items()}
    return FieldReader(fields).read(node_of(name), Place(SPACE, name))


@pytest.mark.parametrize(
    ("name", "typed", "value"),
    [
        ("whole", "0", 0),
        ("whole", " +7 ", 7),
        ("whole", "-12345678901234567890123456789", -12345678901234567890123456789),
        ("whole", "seven", "seven"),
        ("whole", "3.0", 3.0),
        ("whole", "", ABSENT),
        ("number", "1e3", 1000.0),
        ("number", ".5", 0.5),
        ("number", "1,5", "1,5"),
        ("number", "1e999", "1e999"),
        ("number", "NaN", "NaN"),
        ("text", " ünï\r\n☃ ", " ünï\n☃ "),
        ("text", "null", "null"),
        ("yes", "false", False),
        ("yes", "true", True),
        ("yes", "yes", True),
        ("colour", '"red"', "red"),
        ("colour", "2", 2),
        ("colour", "green", "green"),
        ("day", "2026-01-31", "2026-01-31"),
        ("at", "2026-01-31T12:00", "2026-01-31T12:00"),
        ("wholes", "1\r\n\r\n 2 \r\nx", [1, 2, "x"]),
        ("wholes", " \r\n", []),
        ("words", "a\r\n b", ["a", " b"]),
        ("colours", "red\n2\nwhite", ["red", 2, "white"]),
        ("bare", "2", 2),
        ("bare", '"2"', "2"),
        ("bare", "word", "word"),
        ("bare", "null", None),
        ("bare", '{"a": [1]}', {"a": [1]}),
        ("table", '{"a": 1}', {"a": 1}),
        ("maybe_switch", "null", None),
        ("switch", "", ABSENT),
        ("default", "", ABSENT),
    ],
)
def test_field_is_read_as_its_value(name: str, typed: str, value: Any) -> None:
    found = read(name, value=typed)
    assert found == value
    assert type(found) is type(value) or isinstance(found, float)


@pytest.mark.parametrize(
    ("name", "meaning", "value"),
    [
        ("note", "null", None),
        ("note", "empty", ""),
        ("note", "out", ABSENT),
        ("note", "given", ABSENT),
        ("text", "empty", ""),
        ("text", "null", ABSENT),
        ("words_or_none", "empty", []),
        ("maybe_point", "null", None),
        ("maybe_point", "given", {}),
    ],
)
def test_reader_chooses_the_meaning_of_an_empty_field(name: str, meaning: str, value: Any) -> None:
    assert read(name, empty=meaning) == value


@pytest.mark.parametrize(("zone", "value"), [("Z", "Z"), ("+01:30", "+01:30"), ("", ""), ("); DROP", "")])
def test_date_and_time_gets_the_chosen_zone(zone: str, value: str) -> None:
    assert read("at", value="2026-01-31T12:00:05", zone=zone) == f"2026-01-31T12:00:05{value}"


def test_json_that_is_not_valid_is_a_fault_of_its_field() -> None:
    for name in ("table", "bare"):
        reading = FieldReader({f"{SPACE}:{name}": "{'a': 1}"})
        reading.read(node_of(name), Place(SPACE, name))
        assert [one.where for one in reading.faults] == [name]
        assert "line 1, column 2" in reading.faults[0].message


@pytest.mark.parametrize("count", ["-1", "x", "²", "9" * 30, ""])
def test_number_of_rows_that_is_not_valid_makes_no_rows(count: str) -> None:
    place = Place(SPACE, "path").below("points")
    assert FieldReader({place.field("count"): count}).rows(place) == 0


def test_number_of_rows_is_bounded() -> None:
    place = Place(SPACE, "path").below("points")
    claim = {place.field("count"): "99999999"}
    assert FieldReader(claim).rows(place) == 1
    assert FieldReader({**claim, place.below(0).below("x").field(): ""}).rows(place) == 2
    rows = {place.below(row).below("x").field(): "" for row in range(300)}
    assert FieldReader({**claim, **rows}).rows(place) == 100


TEXTS = st.text(st.characters(), max_size=20)
JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=6,
)
NODES = form_of(EVERYTHING).nodes
POINTS = st.fixed_dictionaries(
    {"x": st.floats(-9, 9)}, optional={"y": JSON_VALUES, "tags": st.lists(TEXTS, max_size=3)}
)
LIKELY: dict[str, st.SearchStrategy[Any]] = {
    "at": st.datetimes().map(lambda at: at.isoformat() + "Z"),
    "wholes": st.lists(st.integers(), max_size=4),
    "words": st.lists(TEXTS, max_size=4),
    "pair": st.tuples(st.integers(), TEXTS).map(list),
    "point": POINTS,
    "path": st.fixed_dictionaries({"points": st.lists(POINTS, max_size=3), "ends": st.just([1, "a"])}),
    "colour": st.sampled_from(["red", 2]),
    "either": st.integers() | TEXTS,
}


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_what_was_written_is_read_as_the_same_value(data: st.DataObject) -> None:
    node = data.draw(st.sampled_from(NODES), label="node")
    value = data.draw(LIKELY.get(node.key, JSON_VALUES) | JSON_VALUES, label="value")
    place = Place(SPACE, node.key)
    fields = written(node, place, value)
    assert all(control_characters.lines(text) == text for text in fields.values())
    # Browsers send a form with a carriage return before each line break.
    reading = FieldReader({name: text.replace("\n", "\r\n") for name, text in fields.items()})
    found = reading.read(node, place)
    assert not reading.faults
    assert json.dumps(found, sort_keys=True) == json.dumps(value, sort_keys=True)


@pytest.mark.parametrize(
    ("name", "value", "fields"),
    [
        ("whole", 0, {"": "0"}),
        ("note", None, {"#empty": "null"}),
        ("note", "", {"#empty": "empty"}),
        ("note", "two\nlines", {"": "two\nlines"}),
        ("text", "bell\x07", {"#json": '"bell\\u0007"'}),
        ("text", 5, {"#json": "5"}),
        ("either", "5", {"": '"5"'}),
        ("colours", ["red", 2], {"": "red\n2"}),
        ("words", ["a", ""], {"#json": '["a", ""]'}),
        ("at", "2026-01-31T12:00:00.5+01:00", {"": "2026-01-31T12:00:00.5", "#zone": "+01:00"}),
        ("at", "2026-01-31T12:00:00.123456Z", {"": "2026-01-31T12:00:00.123456Z"}),
        ("maybe_point", {"x": 1}, {"#empty": "given", ".x": "1", ".y#empty": "out", ".tags#empty": "out"}),
        ("maybe_point", {"z": 1}, {"#json": '{"z": 1}'}),
    ],
)
def test_value_is_written_to_the_simplest_fields(name: str, value: Any, fields: dict[str, str]) -> None:
    found = written(node_of(name), Place(SPACE, name), value)
    assert {key.removeprefix(f"{SPACE}:{name}"): text for key, text in found.items()} == fields


def in_order(a: int, /, b: int = 2, *rest: str, c: bool, **others: float) -> None: ...


def call(function: Callable[..., Any], values: dict[str, Any]) -> tuple[Any, Any, Any]:
    args, kwargs, faults = form_of(TaskSpec("t", function)).call(values)
    return args, kwargs, [(one.where, one.message[:20]) for one in faults]


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({"a": 1, "c": True}, ([1], {"c": True}, [])),
        ({"a": 1, "b": 3, "c": True}, ([1], {"b": 3, "c": True}, [])),
        ({"a": 1, "rest": ["x"], "c": True}, ([1, 2, "x"], {"c": True}, [])),
        ({"a": 1, "rest": [], "c": True, "**": {"d": 1.5}}, ([1], {"c": True, "d": 1.5}, [])),
        ({"rest": ["x"], "c": True}, ([None, 2, "x"], {"c": True}, [("a", "must be given, becau")])),
        ({"a": 1, "c": True, "**": [1]}, ([1], {"c": True}, [("**", "must be a JSON objec")])),
        ({"a": 1, "c": True, "**": {"b": 5}}, ([1], {"b": 5, "c": True}, [("**", "has b, which has a f")])),
        ({"c": ABSENT}, ([], {}, [])),
    ],
)
def test_values_become_arguments_by_position_only_where_they_must(values: dict[str, Any], expected: Any) -> None:
    assert call(in_order, values) == expected


@pytest.mark.parametrize(
    ("args", "kwargs"),
    [
        ([1], {"c": True}),
        ([1, 7, "x", "y"], {"c": False, "d": 1.5}),
        ([1, 2], {"c": True}),
    ],
)
def test_arguments_of_a_job_fill_its_form(args: list[Any], kwargs: dict[str, Any]) -> None:
    spec = TaskSpec("t", in_order)
    form = form_of(spec)
    values = form.values(args, kwargs)
    typed: dict[str, str] = {}
    for node in form.nodes:
        typed |= written(node, Place(SPACE, node.key), values.get(node.key, ABSENT))
    draft = read_draft(spec, [], typed)
    assert draft.complete
    assert form.values(draft.args, draft.kwargs) == values


def test_length_limits_decide_whether_a_text_may_be_empty() -> None:
    def named(name: Annotated[str, Field(min_length=1)]) -> None: ...

    assert node_of("name", TaskSpec("t", named)).meanings() == [Meaning.MISSING]
