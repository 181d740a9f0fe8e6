"""Strict JSON in both directions; the only error is a ValueError with a sentence."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pacifica.dispatcher.core import strict_json

DEEP = 100_000
VALUES: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=15,
)


@given(VALUES)
def test_value_survives(value: Any) -> None:
    text = strict_json.dumps(value)
    assert text.isascii()
    assert "\0" not in text
    assert strict_json.loads(text) == strict_json.loads(text.encode()) == value
    assert strict_json.loads(strict_json.pretty(value)) == value


@pytest.mark.parametrize("value", ["\0", "\ud800", "a\udfffb", "\ud83d\ude00"[::-1], "😀", "\x7f\u2028"])
def test_characters_that_some_databases_refuse_survive_as_escapes(value: str) -> None:
    assert strict_json.dumps({value: value}).isascii()
    assert strict_json.loads(strict_json.dumps({value: value})) == {value: value}
    assert json.loads(strict_json.pretty(value)) == value


@pytest.mark.parametrize("text", ["NaN", "Infinity", "-Infinity", "[1, NaN]", "1e999", "-1e999", "[1.0e400]"])
def test_nan_and_infinity_are_not_read(text: str) -> None:
    with pytest.raises(ValueError, match=r"is not JSON|is too large for a float"):
        strict_json.loads(text)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), [-float("inf")], {float("nan"): 1}])
def test_nan_and_infinity_are_not_written(value: Any) -> None:
    with pytest.raises(ValueError, match="it is not JSON"):
        strict_json.dumps(value)


@pytest.mark.parametrize("text", ["[" * DEEP, '{"a":' * DEEP, "[" * DEEP + "]" * DEEP, b"[" * DEEP])
def test_deeply_nested_text_is_not_read(text: str | bytes) -> None:
    with pytest.raises(ValueError, match="nested too deeply"):
        strict_json.loads(text)


def test_deeply_nested_value_is_not_written() -> None:
    value: list[Any] = []
    for _ in range(DEEP):
        value = [value]
    with pytest.raises(ValueError, match="nested too deeply"):
        strict_json.dumps(value)


def test_value_that_contains_itself_is_not_written() -> None:
    value: list[Any] = []
    value.append(value)
    with pytest.raises(ValueError, match="it is not JSON"):
        strict_json.dumps(value)


def test_number_of_4300_digits_survives_and_one_of_5000_is_refused() -> None:
    longest = int("9" * 4300)
    assert strict_json.loads(strict_json.dumps(longest)) == longest
    for refused in (lambda: strict_json.loads("9" * 5000), lambda: strict_json.dumps(longest * 10**700)):
        with pytest.raises(ValueError, match="4300 digits") as caught:
            refused()
        assert "sys." not in str(caught.value)


@pytest.mark.parametrize("text", ["", "{", "[1,]", "{'a': 1}", '"\n"', "01", "+1", ".5", "1.", "tru", "1 2", "[1]x"])
def test_malformed_json_is_refused_with_line_and_column(text: str) -> None:
    with pytest.raises(ValueError, match=r"at line 1, column|at line 2, column"):
        strict_json.loads(text)


@pytest.mark.parametrize(
    "text", [b"\xff", b'"\xc3\x28"', b'"\xed\xa0\x80"', "[1]".encode("utf-16"), "1".encode("utf-32")]
)
def test_bytes_that_are_not_utf_8_are_refused(text: bytes) -> None:
    with pytest.raises(ValueError, match="it is not UTF-8"):
        strict_json.loads(text)


def test_utf_16_without_a_byte_order_mark_is_refused() -> None:
    with pytest.raises(ValueError, match="line 1"):
        strict_json.loads("[1]".encode("utf-16-le"))


def test_byte_order_mark_of_utf_8_is_ignored() -> None:
    assert strict_json.loads(b"\xef\xbb\xbf[1]") == [1]


@given(st.binary(max_size=60) | st.text(max_size=60))
def test_any_input_is_read_or_raises_value_error(text: str | bytes) -> None:
    try:
        value = strict_json.loads(text)
    except ValueError:
        return
    assert strict_json.loads(strict_json.dumps(value)) == value


def test_value_of_another_type_is_refused() -> None:
    for value in (object(), {1, 2}, {(1, 2): 3}, b"bytes"):
        with pytest.raises(ValueError, match="it is not JSON"):
            strict_json.dumps(value)


def test_pretty_line_is_utf_8_and_ends_with_a_newline() -> None:
    assert strict_json.pretty({"a": [1, "é"]}) == '{"a": [1, "é"]}\n'.encode()


@pytest.mark.parametrize("text", ["1.10", "0.1234567890123456789012345", "1e3", "-0.10", "100000000000000000000000.5"])
def test_digits_that_a_float_would_change_are_kept(text: str) -> None:
    number = strict_json.loads(text, exact=True)
    assert isinstance(number, strict_json.ExactNumber)
    assert (number, number.digits) == (float(text), text)
    assert strict_json.dumps_exact({"a": [1.5, number, (number,)]}) == f'{{"a":[1.5,{text},[{text}]]}}'
    assert type(strict_json.loads(text)) is float


@pytest.mark.parametrize("text", ["1.1", "0.5", "-0.0", "1e-07", "1e+16", "2.5"])
def test_number_that_a_float_holds_as_written_is_a_float(text: str) -> None:
    assert type(strict_json.loads(text, exact=True)) is float


def test_exact_text_of_a_value_without_such_numbers_is_its_text() -> None:
    for value in ({"a": [None, True, 1, "x"]}, [], "x", 1.5):
        assert strict_json.dumps_exact(value) == strict_json.dumps(value)
    with pytest.raises(ValueError, match="not JSON"):
        strict_json.dumps_exact([object()])


@pytest.mark.parametrize("text", ['{"a": 1, "a": 2}', '[{"b": {"a": 1, "b": 2, "a": 1}}]', '{"a": 1, "\\u0061": 1}'])
def test_object_of_a_client_with_one_member_twice_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="an object has the member 'a' twice"):
        strict_json.loads(text, exact=True)
    strict_json.loads(text)


@pytest.mark.parametrize("value", [{1: 0, "1": 0}, [{None: 0, "null": 0}], {"a": ({True: 0, "true": 0},)}])
def test_keys_with_one_text_are_found(value: Any) -> None:
    with pytest.raises(ValueError, match="two keys of one object have the text"):
        strict_json.check_keys(value)
    strict_json.check_keys({1: 0, 2: [{"a": 1}], None: {"1": 0}})
