"""Arguments from the command line are read as the service reads them in a URL, by the task's JSON Schema alone."""

from collections.abc import Callable
from datetime import datetime
from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pacifica.dispatcher.cli import dispatch_arguments
from pacifica.dispatcher.cli.exit_codes import CommandRefused
from pacifica.dispatcher.core.errors import BadArguments
from pacifica.dispatcher.core.registry import TaskSpec


def plain(a, b=None): ...
def numbers(a: int, b: float = 1.0): ...
def texts(a: str, b: bool = False): ...
def unions(a: int | str, b: float | None = None): ...
def either(a: Literal["x", 2], b: list[int] | None = None): ...
def moments(a: datetime, b: dict[str, int] | None = None): ...
def many(a: int, *rest: str, loud: bool = False): ...


TEXT = st.one_of(
    st.sampled_from(
        ["2", "-2", "1.5", "1e3", "true", "false", "null", "x", "", "[1, 2]", '{"n": 1}', "[", "007", "1_0"]
    ),
    st.integers().map(str),
    st.text(max_size=4),
)


@pytest.mark.parametrize("function", [plain, numbers, texts, unions, either, moments, many])
@given(words=st.lists(TEXT, min_size=1, max_size=3))
def test_positional_arguments_are_read_as_in_a_url(function: Callable[..., Any], words: list[str]) -> None:
    spec = TaskSpec("t", function)
    sent = dispatch_arguments.positional(spec.arguments_schema(), words)
    try:
        expected = spec.bind_text(words).args
    except BadArguments:
        with pytest.raises(BadArguments):
            spec.bind(sent, {})
    else:
        assert [(type(one), one) for one in sent] == [(type(one), one) for one in expected]


def test_named_arguments_are_read_by_their_types() -> None:
    def named(a: str, **rest: int) -> None: ...

    schema = TaskSpec("t", named).arguments_schema()
    assert dispatch_arguments.named(schema, {"a": "5", "b": "5"}) == {"a": "5", "b": 5}
    assert dispatch_arguments.named({}, {"a": "5", "b": "x"}) == {"a": 5, "b": "x"}


def test_name_that_is_given_twice_is_refused() -> None:
    assert dispatch_arguments.by_name("--kwarg", [("x", "1"), ("y", "1")]) == {"x": "1", "y": "1"}
    with pytest.raises(CommandRefused, match="--kwarg gives 'x' twice; give each name one value"):
        dispatch_arguments.by_name("--kwarg", [("x", "1"), ("y", "1"), ("x", "2")])
    for options, labels in (([("queue", "a"), ("queue", "b")], []), ([], [("run", "1"), ("run", "2")])):
        with pytest.raises(CommandRefused, match="twice"):
            dispatch_arguments.options_of(options, labels)
