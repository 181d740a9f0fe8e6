"""The form of a value: which values are plots, tables, images, texts or trees."""

import base64
import json
from typing import Any

import pytest

from pacifica.dispatcher.core.strict_json import JsonText
from pacifica.dispatcher.dashboard import value_views
from pacifica.dispatcher.dashboard.value_views import Node, image_of, records_of, view

PNG = b"\x89PNG\r\n\x1a\n" + bytes(range(256))
IMAGES = {
    "png": PNG,
    "jpeg": b"\xff\xd8\xff\xe0" + bytes(50),
    "gif": b"GIF89a" + bytes(50),
    "webp": b"RIFF\x10\x00\x00\x00WEBPVP8 " + bytes(50),
}


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        (None, "scalar"),
        (True, "scalar"),
        (4, "scalar"),
        ("short", "scalar"),
        ("", "scalar"),
        ("two\nlines", "text"),
        ("long " * 40, "text"),
        ([], "scalar"),
        ({}, "scalar"),
        ([1, 2], "scalar"),
        ({"S-17": 5.0}, "scalar"),
        ([1, 2, 3], "plot"),
        ([[0, 1], [1, 4]], "plot"),
        ([{"a": 1}, {"b": 2}], "table"),
        ({"a": {"b": 1}}, "tree"),
        (["x" * 100], "tree"),
        (base64.b64encode(PNG).decode(), "image"),
    ],
)
def test_kind_of_view(value: Any, kind: str) -> None:
    assert view(value).kind == kind


def test_large_value_stays_unread(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(value_views, "pretty", lambda _: 1 / 0)
    found = view(JsonText('["' + "x" * value_views.MOST_READ + '"]'))
    assert (found.kind, found.size, len(found.text), found.node) == ("large", value_views.MOST_READ + 4, 2000, None)
    assert view(JsonText(f"[{'[],' * value_views.MOST_PARTS}[]]")).kind == "large"


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        ([number / 7 for number in range(20_000)], "plot"),
        ([{"n": number, "text": "x" * 40} for number in range(4_000)], "table"),
        ("line\n" * 50_000, "text"),
        (base64.b64encode(PNG + bytes(1_500_000)).decode(), "image"),
        ({"picture": base64.b64encode(PNG + bytes(150_000)).decode(), "lanes": 12}, "tree"),
    ],
)
def test_value_of_some_hundred_thousand_characters_is_shown_by_its_kind(value: Any, kind: str) -> None:
    found = view(JsonText(json.dumps(value)))
    assert (found.kind, found.cut) == (kind, True)


def test_image_that_is_too_large_is_named() -> None:
    found = view(JsonText(json.dumps(base64.b64encode(PNG + bytes(value_views.MOST_TEXT)).decode())))
    assert (found.kind, found.holds) == ("large", "a PNG image")


@pytest.mark.parametrize("text", ["", "  ", "null", "true", "17", "-1.5e3"])
def test_text_that_looks_like_another_value_is_in_quotation_marks(text: str) -> None:
    assert view(text).text == json.dumps(text)


@pytest.mark.parametrize("kind", IMAGES)
@pytest.mark.parametrize("form", ["plain", "url", "urlsafe", "unpadded", "lines", "wrong type"])
def test_image_is_recognised_by_its_first_bytes(kind: str, form: str) -> None:
    content = IMAGES[kind]
    text = base64.b64encode(content).decode()
    text = {
        "plain": text,
        "url": f"data:image/{kind};base64,{text}",
        "urlsafe": base64.urlsafe_b64encode(content).decode(),
        "unpadded": text.rstrip("="),
        "lines": base64.encodebytes(content).decode(),
        "wrong type": f"data:image/gif;base64,{text}",
    }[form]
    image = image_of(text)
    assert image is not None
    assert (image.kind, image.size) == (kind, len(content))
    head, _, coded = image.source.partition(",")
    assert (head, base64.b64decode(coded)) == (f"data:image/{kind};base64", content)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "iVBO",
        "hello",
        "data:image/svg+xml;base64,PHN2Zz4=",
        "data:text/html;base64,PHN2Zz4=",
        "data:image/png;base64,",
        base64.b64encode(b"<svg onload=alert(1)>").decode(),
        base64.b64encode(PNG).decode()[:60] + '"><script>',
    ],
)
def test_other_text_is_no_image(text: str) -> None:
    assert image_of(text) is None


def test_table_has_at_most_200_rows_and_20_columns() -> None:
    table = records_of([{f"c{number}": row for number in range(30)} for row in range(500)])
    assert table is not None
    assert (len(table.rows), len(table.columns), len(table.rows[0])) == (200, 20, 20)
    assert (table.all_rows, table.all_columns) == (500, 30)


def test_table_has_the_columns_of_all_records() -> None:
    table = records_of([{"a": 1, "b": "x"}, {"c": [1], "a": True}])
    assert table is not None
    assert list(table.columns) == ["a", "b", "c"]
    assert [[cell.text for cell in row] for row in table.rows] == [["1", "x", ""], ["true", "", "[1]"]]
    assert [cell.number for cell in table.rows[0]] == [True, False, False]


def test_numbers_of_a_table_have_no_noise() -> None:
    table = records_of([{"a": 0.1 + 0.2, "b": 1e-9, "c": 10**20, "d": 2.0}])
    assert table is not None
    assert [cell.text for cell in table.rows[0]] == ["0.3", "1e-09", "100000000000000000000", "2"]


@pytest.mark.parametrize("value", [[], [{}], [{"a": 1}, 2], {"a": 1}])
def test_other_value_is_no_table(value: Any) -> None:
    assert records_of(value) is None


def lines(node: Node) -> int:
    return 1 + sum(lines(child) for child in node.children)


def nested(depth: int) -> Any:
    value: Any = 1
    for _ in range(depth):
        value = [value, {"x": 1}]
    return value


@pytest.mark.parametrize(
    "value", [[[i] * 90 for i in range(1000)], nested(300), {str(i): {"a": [i]} for i in range(5000)}]
)
def test_tree_of_a_big_value_is_bounded(value: Any) -> None:
    node = view(value).node
    assert node is not None
    assert lines(node) <= value_views.MOST_NODES + 1


def test_tree_counts_the_parts_that_it_does_not_show() -> None:
    node = view({"list": [f"text {number}" for number in range(300)], "deep": {"inner": {"x": [[1]]}}}).node
    assert node is not None
    many, deep = node.children
    assert (many.text, len(many.children), many.more, many.open) == ("300 items", 200, 100, False)
    assert (deep.key, deep.text, deep.open) == ("deep", "1 member", True)


def test_tree_has_plots_and_tables_of_its_lists_but_not_many() -> None:
    numbers, records = [float(number) for number in range(30)], [{"a": number} for number in range(9)]
    node = view({"signal": numbers, "few": [1, 2, 3], "runs": records, **{f"s{i}": numbers for i in range(20)}}).node
    assert node is not None
    signal, few, runs, *others = node.children
    assert signal.plot is not None
    assert (signal.text, signal.open, len(signal.children), few.kind) == ("30 items", True, 0, "inline")
    assert runs.table is not None
    assert sum(one.plot is not None for one in others) == value_views.MOST_FIGURES - 2
    assert len(others[-1].children) == 30


def test_text_to_copy_is_the_whole_value_or_missing() -> None:
    value = {"a": {"b": ["é", 1.5]}}
    assert json.loads(view(value).text) == value
    long = view({"a": {"b": "x" * 30_000}})
    assert (long.text, long.cut) == ("", True)
    assert not view(value).cut
