"""A JSON array is read element by element, by a parser that sees no more text than one element may have."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pacifica.dispatcher.core import strict_json
from pacifica.dispatcher.core.array_reader import ArrayReader, ElementTooLong

VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**6), 10**6)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)


@settings(max_examples=50)
@given(st.lists(VALUES), st.sampled_from(["", " ", "\n\t"]), st.integers(0, 40))
def test_elements_are_those_of_the_array_however_it_is_cut(values: list[Any], space: str, more: int) -> None:
    texts = [strict_json.dumps(value) for value in values]
    text = f"{space}[{space}" + f"{space},{space}".join(texts) + f"{space}]{space}"
    assert list(ArrayReader(text, max([0, *map(len, texts)]) + more)) == values


@settings(max_examples=50)
@given(st.text(alphabet='[]{}",:1tfne\\ -.', max_size=60), st.integers(20, 40))
def test_what_is_no_array_is_refused_as_by_the_whole_parser(inner: str, limit: int) -> None:
    text = f"[{inner}]"
    try:
        expected = strict_json.loads(text)
    except ValueError:
        with pytest.raises(ValueError, match=r" at line 1, column |characters"):
            list(ArrayReader(text, limit))
    else:
        assert list(ArrayReader(text, 100)) == expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "Expecting an array at line 1, column 1"),
        ("{}", "Expecting an array at line 1, column 1"),
        ("[1\n,\n x]", "Expecting value at line 3, column 2"),
        ("[1 2]", "Expecting ',' delimiter at line 1, column 4"),
        ("[1,]", "Expecting value at line 1, column 4"),
        ("[1] 2", "Extra data at line 1, column 5"),
        ("[1", "Expecting ',' delimiter at line 1, column 3"),
        ("[NaN]", "NaN is not JSON at line 1, column 2"),
        ("[" + "[" * 100_000, "it is nested too deeply at line 1, column 2"),
        ('["a', "Unterminated string starting at line 1, column 2"),
        ("[" + "9" * 1001 + "]", "an integer has 1001 digits; 1000 are allowed at line 1, column 2"),
    ],
)
def test_fault_is_placed_in_the_whole_text(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message.replace("[", r"\[")):
        list(ArrayReader(text, 200_000))


@pytest.mark.parametrize(
    "element", ['"%s"' % ("x" * 200), "[" + "1," * 100 + "1]", "1" * 200, '{"a": "%s"}' % ("y" * 300)]
)
def test_element_beyond_the_limit_is_refused_after_the_earlier_ones(element: str) -> None:
    values = iter(ArrayReader(f'[1, "two", {element}, 4]', 100))
    assert [next(values), next(values)] == [1, "two"]
    with pytest.raises(ElementTooLong, match="item 3 has more than 100 characters"):
        next(values)


def test_parser_never_sees_more_text_than_an_element_may_have(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []
    decode = strict_json.decode_at
    monkeypatch.setattr(strict_json, "decode_at", lambda text, at: (seen.append(len(text)), decode(text, at))[1])
    text = strict_json.dumps([{"task": "add", "args": [number, "x" * (number % 50)]} for number in range(2000)])
    assert len(list(ArrayReader(text, 1000))) == 2000
    assert max(seen) == 1016
    assert len(seen) < 2500
