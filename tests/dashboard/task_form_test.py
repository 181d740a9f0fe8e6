"""The view of a form: attributes, words and faults of each field."""

from datetime import date, datetime, time, timedelta
from typing import Annotated, Any, Literal, NamedTuple
from uuid import UUID

import pytest
from pydantic import BaseModel, Field

from pacifica.dispatcher.core.faults import Fault
from pacifica.dispatcher.core.registry import TaskSpec
from pacifica.dispatcher.dashboard.form_schema import Place
from pacifica.dispatcher.dashboard.form_values import FieldReader
from pacifica.dispatcher.dashboard.form_words import signature
from pacifica.dispatcher.dashboard.task_call import form_of
from pacifica.dispatcher.dashboard.task_form import FormField, view


class Cat(BaseModel):
    kind: Literal["cat"]
    lives: int = 9


class Dog(BaseModel):
    kind: Literal["dog"]
    friends: list[Cat]


class Tree(BaseModel):
    branches: "list[Tree] | None"


def field_of(annotation: Any, text: str | None = None, default: Any = ..., **further: str) -> FormField:
    """The field of an argument ``x``."""

    def function(x: Any = default) -> None: ...

    function.__annotations__ = {"x": annotation}
    if default is ...:
        function.__defaults__ = None
    typed = {f"a:x#{part}": value for part, value in further.items()} | ({} if text is None else {"a:x": text})
    return view(form_of(TaskSpec("t", function)).nodes, "a", typed).fields[0]


NUMBER, TEXT = {"type": "number"}, {"type": "text"}


@pytest.mark.parametrize(
    ("annotation", "text", "attributes", "hint"),
    [
        (int, None, {**NUMBER, "step": "1"}, "Whole number"),
        (int, str(2**60), {"type": "text", "inputmode": "decimal"}, "Whole number"),
        (int, "1e400", {"type": "text", "inputmode": "decimal"}, "Whole number"),
        (float, None, {**NUMBER, "step": "any"}, "Number"),
        (float, "1e3", NUMBER, "Number"),
        (Annotated[int, Field(gt=0, lt=9)], None, {"min": "1", "max": "8"}, "Whole number, more than 0, less than 9"),
        (Annotated[float, Field(gt=0, le=1)], None, {"min": "0", "max": "1"}, "Number, more than 0, at most 1"),
        (Annotated[int, Field(ge=1, multiple_of=5)], None, {"min": "5", "step": "5"}, "at least 1, a multiple of 5"),
        (Annotated[int, Field(multiple_of=5)], None, {"step": "1"}, "a multiple of 5"),
        (str, None, TEXT, "Text"),
        (Annotated[str, Field(min_length=2, max_length=5)], None, {"minlength": "2", "maxlength": "5"}, "2 to 5 char"),
        (Annotated[str, Field(pattern="[A-Z]{2}")], None, {"pattern": ".*[A-Z]{2}.*"}, "in the form [A-Z]{2}"),
        (UUID, None, TEXT, "UUID"),
        (date, None, {"type": "date"}, "Date"),
        (date, "tomorrow", TEXT, "Date"),
        (date, "2026-02-30", TEXT, "Date"),
        (time, "25:00", TEXT, "Time of day"),
        (time, "00:00", {"type": "time"}, "Time of day"),
        (datetime, "2026-13-01T12:00", TEXT, "Date and time"),
        (time, "12:30:05", {"type": "time", "step": "1"}, "Time of day"),
        (time, "12:30:05.123456", TEXT, "Time of day"),
        (datetime, "2026-01-31T12:30:05.123", {"type": "datetime-local", "step": "1"}, "Date and time"),
        (datetime, "2026-01-31T12:30:05.123456Z", TEXT, "Date and time"),
        (timedelta, None, TEXT, "Duration, such as 01:30:00"),
        (Annotated[list[int], Field(min_length=1, max_length=3)], None, {}, "List of whole numbers, 1 to 3 items"),
        (set[date], None, {}, "List of dates, each item once"),
        (dict[str, int], None, {}, 'JSON, such as {"name": 1}'),
        (list[list[float]], None, {}, "JSON, such as [[1.5]]"),
        (int | list[int], None, {}, "JSON, such as 1 or [1]"),
        (dict[str, list[date]], None, {}, 'JSON, such as {"name": ["2026-01-31"]}'),
        (Cat | Dog, None, {}, 'JSON, such as {"kind": "cat"} or {"kind": "dog", "friends": [{"kind": "cat"}]}'),
        (Annotated[Cat | Dog, Field(discriminator="kind")], None, {}, 'such as {"kind": "cat"} or {"kind": "dog"'),
        (int | Tree, None, {}, 'JSON, such as 1 or {"branches": [{}]}'),
        (date | datetime, None, TEXT, "Date or date and time"),
        (str | UUID, None, TEXT, "Text"),
        (Annotated[str, Field(min_length=1)], None, TEXT, "Text, at least 1 character"),
        (Annotated[list[int], Field(max_length=1)], None, {}, "at most 1 item"),
        (Any, None, TEXT, "Any value, text or JSON"),
        (int | str, None, TEXT, 'Whole number or text, "5" in quotation marks is text'),
        (int | float | str, None, TEXT, "Number or text"),
        (int | bool, None, TEXT, "Whole number or yes or no"),
        (list[bool], None, {}, "List of yes or no"),
        (Annotated[int, Field(description="How many", title="Number of samples")], None, NUMBER, "Whole number"),
    ],
)
def test_browser_and_reader_learn_what_a_field_allows(
    annotation: Any, text: str | None, attributes: dict[str, str], hint: str
) -> None:
    found = field_of(annotation, text)
    assert found.attributes.items() >= attributes.items()
    assert hint in found.hint


@pytest.mark.parametrize("pattern", [r"^\p{L}+$", "[a-z-]", "(a|b)", r"^a\.b$", "a{2", "[[a]]", "a/b", ""])
def test_pattern_that_a_browser_may_read_otherwise_is_left_to_the_server(pattern: str) -> None:
    def function(x: str) -> None: ...

    node = form_of(TaskSpec("t", function)).nodes[0]
    limits = {**node.limits, "pattern": pattern}
    shown = view([type(node)(**{**_fields(node), "limits": limits})], "a", {}).fields[0]
    assert "pattern" not in shown.attributes


def _fields(node: Any) -> dict[str, Any]:
    return {name: getattr(node, name) for name in node.__slots__}


@pytest.mark.parametrize(
    ("annotation", "text", "further", "widget"),
    [
        (bool, None, {}, "check"),
        (bool | None, None, {}, "select"),
        (Literal["a", "b"], None, {}, "select"),
        (str, "one line", {}, "input"),
        (str, "two\nlines", {}, "area"),
        (str, "x" * 100, {}, "area"),
        (str, "", {"tall": "1"}, "area"),
        (Annotated[str, Field(max_length=1000)], None, {}, "area"),
        (int, None, {"json": "[1]"}, "json"),
        (bytes, None, {}, "bytes"),
        (list[int], None, {}, "lines"),
        (list[list[int]], None, {}, "json"),
        (list[tuple[int, str]], None, {}, "rows"),
        (tuple[int, ...], None, {}, "lines"),
    ],
)
def test_widget_fits_the_kind_and_the_text(
    annotation: Any, text: str | None, further: dict[str, str], widget: str
) -> None:
    assert field_of(annotation, text, **further).widget == widget


@pytest.mark.parametrize(
    ("annotation", "default", "meanings", "line"),
    [
        (int, ..., [], "whole number"),
        (int, 3, [], "whole number = 3"),
        (int | None, None, ["left out", "null"], "whole number, optional"),
        (str, "a", ["default: a", "empty text"], 'text = "a"'),
        (str, ..., ["not allowed", "empty text"], "text"),
        (bytes, b"", ["default: no bytes", "no bytes"], "bytes = no bytes"),
        (list[str], ["a"], ['default: ["a"]', "empty list"], 'list of texts = ["a"]'),
        (bool, True, [], "yes or no = yes"),
        (Literal["a", 2], "a", [], "a | 2 = a"),
        (str, "x" * 200, ["default: " + "x" * 59 + "…", "empty text"], 'text = "' + "x" * 58 + "…"),
    ],
)
def test_default_and_other_meanings_of_an_empty_field_are_named(
    annotation: Any, default: Any, meanings: list[str], line: str
) -> None:
    found = field_of(annotation, default=default)
    assert [label for _, label in found.meanings] == meanings
    assert signature(found.node) == line


class Point(BaseModel):
    x: int
    names: list[str] = []
    table: dict[str, Any] = {}


def place(p: Point, points: list[Point] = [], table: dict[str, int] = {}, **more: int) -> None: ...  # noqa: B006


@pytest.mark.parametrize(
    ("where", "owner", "message", "words"),
    [
        ("p", "a-p", "is wrong", "p: is wrong"),
        ("p.x", "a-p_2ex", "is wrong", "p, x: is wrong"),
        ("p.names[2]", "a-p_2enames", "item 3: is wrong", "p, names, item 3: is wrong"),
        ("p.table.a[1].b", "a-p_2etable", "a[1].b: is wrong", "p, table, a[1].b: is wrong"),
        ("points[0].x", "a-points_5b0_5d_2ex", "is wrong", "points, item 1, x: is wrong"),
        ("points[7].x", "a-points", "[7].x: is wrong", "points, [7].x: is wrong"),
        ("table['a b']", "a-table", "['a b']: is wrong", "table, ['a b']: is wrong"),
        ("other", "a-_2a_2a", "other: is wrong", "further arguments, other: is wrong"),
        ("pointless", "a-_2a_2a", "pointless: is wrong", "further arguments, pointless: is wrong"),
        ("arguments", "", "", "is wrong"),
    ],
)
def test_fault_is_shown_at_the_innermost_field(where: str, owner: str, message: str, words: str) -> None:
    typed = {"a:points#count": "1"}
    shown = view(form_of(TaskSpec("t", place)).nodes, "a", typed, [Fault(where, "is wrong")])
    [(concerned, sentence)] = shown.faults
    assert [field.id for field in concerned] == ([owner] if owner else [])
    assert sentence == words
    found = {one.id: list(one.faults) for top in shown.fields for one in top.all() if one.faults}
    assert found == ({owner: [message]} if owner else {})


@pytest.mark.parametrize(
    ("where", "message", "owners"),
    [
        ("arguments", "p and table must differ", ["a-p", "a-table"]),
        ("arguments", "stable points are needed", ["a-points"]),
        ("arguments", "the x-axis is empty", []),
        ("p", "x must be the number of names", ["a-p_2ex", "a-p_2enames"]),
        ("p", "x is not even", ["a-p"]),
        ("points", "should have at least 2 items, not 1", ["a-points"]),
    ],
)
def test_fault_of_several_fields_is_shown_at_each(where: str, message: str, owners: list[str]) -> None:
    shown = view(form_of(TaskSpec("t", place)).nodes, "a", {"a:points#count": "1"}, [Fault(where, message)])
    [(concerned, sentence)] = shown.faults
    assert [field.id for field in concerned] == owners
    assert sentence == (message if where == "arguments" else f"{where}: {message}")
    assert [one.id for top in shown.fields for one in top.all() if one.faults == [message]] == owners


def test_members_of_tuples_and_lists_are_numbered_from_1() -> None:
    class Colour(NamedTuple):
        red: int
        deep_blue: int

    def function(pair: tuple[int, str], points: list[Point], colour: Colour) -> None: ...

    function.__annotations__["colour"] = Colour
    fields = view(form_of(TaskSpec("t", function)).nodes, "a", {"a:points#count": "1"}).fields
    labels = [[one.label for one in top.children] for top in fields]
    assert labels == [["value 1", "value 2"], ["item 1"], ["Red", "Deep Blue"]]
    assert not any(one.key for top in fields for one in top.children)


def test_text_in_a_union_of_texts_is_no_number() -> None:
    node = field_of(str | UUID).node
    assert FieldReader({"a:x": "5"}).read(node, Place("a", "x")) == "5"
    assert [one.value for one in node.meanings()] == ["missing", "empty"]
    assert [one.value for one in field_of(date | datetime).node.meanings()] == ["missing"]


def test_line_of_many_choices_ends_with_a_whole_one() -> None:
    node = field_of(Literal["plain", "chained", "long", "grouped", "without a message", "deeply nested", "last"]).node
    assert signature(node) == "plain | chained | long | grouped | without a message | …"


def test_default_is_the_placeholder_unless_it_is_empty() -> None:
    assert [field_of(str, default=text).attributes.get("placeholder") for text in ("a", "", None)] == ["a", None, None]
    assert field_of(int, default=0).attributes["placeholder"] == "0"


def test_shortened_place_of_a_fault_is_found() -> None:
    def function(x: int) -> None: ...

    name = "long_" * 30
    function.__annotations__ = {}
    node = form_of(TaskSpec("t", function)).nodes[0]
    shown = view([type(node)(**{**_fields(node), "key": name})], "a", {}, [Fault(name[:80], "is wrong")])
    assert shown.fields[0].faults == ["is wrong"]


def test_docstring_describes_fields_that_have_no_description() -> None:
    def function(x: Annotated[int, Field(description="From the annotation")], y: int) -> None: ...

    doc = "Do.\n\n:param x: From the docstring\n:param y: How many"
    fields = view(form_of(TaskSpec("t", function, doc)).nodes, "a", {}).fields
    assert [one.node.description for one in fields] == ["From the annotation", "How many"]
