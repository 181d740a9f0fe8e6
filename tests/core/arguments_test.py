"""The limits of the arguments of a job, for JSON values and for text."""

import pytest

from pacifica.dispatcher.core.arguments import ArgumentLimits
from pacifica.dispatcher.core.errors import BadArguments
from pacifica.dispatcher.core.registry import TaskSpec


def many(*values: object, **named: object) -> None:
    """A task that accepts any arguments."""


def two(x: int, y: int = 0) -> None:
    """A task of two arguments."""


SPEC = TaskSpec("many", many, limits=ArgumentLimits(number=3, size=40))


def test_arguments_within_the_limits_are_bound() -> None:
    assert SPEC.bind([1, 2], {"a": 3}).args == [1, 2]
    assert SPEC.bind_text(["1", "2", "3"]).args == [1, 2, 3]
    assert SPEC.bind(["x" * 34], {}).args == ["x" * 34]


def test_arguments_by_position_and_by_name_count_together() -> None:
    with pytest.raises(BadArguments, match=r"arguments: there are 4; arguments_limit allows 3\."):
        SPEC.bind([1, 2], {"a": 3, "b": 4})
    with pytest.raises(BadArguments, match="there are 4; arguments_limit allows 3"):
        SPEC.bind_text(["1", "2", "3", "4"])


def test_size_is_measured_on_the_json_in_the_row() -> None:
    for args, kwargs in ((["x" * 35], {}), ([], {"k": "ß" * 6}), ([[0] * 20], {})):
        with pytest.raises(BadArguments, match=r"they have \d+ bytes of JSON; arguments_bytes allows 40"):
            SPEC.bind(args, kwargs)
    with pytest.raises(BadArguments, match="they have 41 bytes of JSON"):
        SPEC.bind_text(["x" * 35])


def test_size_is_checked_before_the_values() -> None:
    with pytest.raises(BadArguments, match="bytes of JSON"):
        TaskSpec("two", two, limits=ArgumentLimits(size=40)).bind([["x"] * 40], {})


def test_too_many_arguments_are_one_fault() -> None:
    with pytest.raises(BadArguments) as caught:
        TaskSpec("two", two).bind(list(range(1001)), {})
    assert [fault.message for fault in caught.value.faults] == ["there are 1001; arguments_limit allows 1000"]


def test_arguments_of_a_row_are_loaded_beyond_the_limits() -> None:
    assert SPEC.load([1] * 10, {})[0] == [1] * 10
