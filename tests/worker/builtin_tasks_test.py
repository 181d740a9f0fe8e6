"""The built-in tasks: their results, and the arguments that they refuse before they compute anything."""

import time
from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pacifica.dispatcher.core.errors import BadArguments
from pacifica.dispatcher.core.registry import TaskSpec
from pacifica.dispatcher.worker import builtin_tasks
from pacifica.dispatcher.worker.builtin_tasks import MAX_BITS, MAX_TEXT

TASKS = {task.name: task for task in (builtin_tasks.add, builtin_tasks.mul, builtin_tasks.sleep, builtin_tasks.fail)}
NUMBERS = st.integers() | st.floats(allow_nan=False, allow_infinity=False)
LARGE = st.integers(-(10**1300), 10**1300) | st.integers(-5, 5).map(lambda n: n * 10**4000)


def spec(name: str) -> TaskSpec:
    """The signature of a built-in task."""
    made: TaskSpec = TASKS[name].spec()
    return made


def run(name: str, args: Sequence[Any], kwargs: Mapping[str, Any] | None = None) -> Any:
    """The result that a worker would return for these JSON values."""
    own = spec(name)
    call = own.bind(args, kwargs or {})
    positional, named = own.load(call.args, call.kwargs)
    return own.dump(TASKS[name].run(*positional, **named), 1_000_000)


def refusal(name: str, *args: Any) -> str:
    """The reason why the task refuses these JSON values."""
    with pytest.raises(BadArguments) as caught:
        spec(name).bind(args, {})
    return str(caught.value)


@pytest.mark.parametrize(
    ("name", "args", "result"),
    [
        ("add", (2, 2), 4),
        ("add", (2, 0.5), 2.5),
        ("add", ("a", "b"), "ab"),
        ("add", (2**MAX_BITS // 4, 1), 2**MAX_BITS // 4 + 1),
        ("mul", (6, 7), 42),
        ("mul", (6, 0.5), 3.0),
        ("mul", ("ab", 2), "abab"),
        ("mul", (2, "ab"), "abab"),
        ("mul", ("ab", -(10**6)), ""),
        ("sleep", (0,), 0),
        ("sleep", (0.001,), 0.001),
    ],
)
def test_task_returns(name: str, args: tuple[Any, ...], result: Any) -> None:
    assert run(name, args) == result


def test_arguments_may_be_given_by_name() -> None:
    assert run("add", [1], {"y": 2}) == run("add", [], {"y": 2, "x": 1}) == 3


def test_fail_fails_with_its_message() -> None:
    with pytest.raises(RuntimeError, match=r"no luck\Z"):
        run("fail", ["no luck"])
    with pytest.raises(RuntimeError, match="asked to fail"):
        run("fail", [])


@pytest.mark.parametrize(
    ("name", "args", "reason"),
    [
        ("add", (1, "a"), "must both be numbers, or both be text"),
        ("add", ("a", 1.5), "must both be numbers, or both be text"),
        ("add", (True, 1), "x: should be a valid integer or a valid number or a valid string"),
        ("add", (None, [1]), "y: should be"),
        ("add", (1,), "y: is missing"),
        ("add", (1, 2, 3), "argument 3: is one too many"),
        ("add", ("a" * MAX_TEXT, "b"), f"{MAX_TEXT} are allowed"),
        ("add", (2**MAX_BITS - 1, 1), f"{MAX_BITS} are allowed"),
        ("add", (1.5, 2**MAX_BITS), f"y has {MAX_BITS + 1} bits; {MAX_BITS} are allowed"),
        ("mul", ("a", "b"), "at most one of x and y may be text"),
        ("mul", ("a", 1.5), "only a whole number of times"),
        ("mul", ("a", MAX_TEXT + 1), f"{MAX_TEXT} are allowed"),
        ("mul", (int("9" * 4299), "abc" * 100), "fewer than 2**31 times"),
        ("mul", ("ab", -(10**100)), "fewer than 2**31 times"),
        ("mul", ("", 10**100), "fewer than 2**31 times"),
        ("mul", (2**2048, 2**2048), f"{MAX_BITS} are allowed"),
        ("mul", (-(2**MAX_BITS), 0.0), "x has"),
        ("sleep", (-1,), "seconds: should be greater than or equal to 0"),
        ("sleep", (86_401,), "seconds: should be less than or equal to 86400"),
        ("sleep", (10**400,), "seconds: should be"),
        ("sleep", ("1",), "seconds: should be a valid number"),
        ("fail", ("a" * 1001,), "message: string should have at most 1000 characters"),
        ("fail", (5,), "message: should be a valid string"),
    ],
)
def test_task_refuses(name: str, args: tuple[Any, ...], reason: str) -> None:
    assert reason in refusal(name, *args)


@given(st.sampled_from(["add", "mul"]), NUMBERS | LARGE | st.text(max_size=5), NUMBERS | LARGE | st.text(max_size=5))
def test_accepted_arguments_are_computed_fast_to_a_small_result(name: str, x: Any, y: Any) -> None:
    try:
        spec(name).bind([x, y], {})
    except BadArguments:
        return
    begin = time.thread_time()
    try:
        result = TASKS[name].run(x, y)
    except OverflowError:
        return  # An integer was too large to be converted to a float.
    assert time.thread_time() - begin < 0.1
    assert not isinstance(result, int) or result.bit_length() <= MAX_BITS
    assert not isinstance(result, str) or len(result) <= MAX_TEXT


@pytest.mark.parametrize(("x", "y"), [("9" * 4000, "9" * 4000), ("a", "9" * 4000), ("ab", str(MAX_TEXT))])
def test_url_cannot_request_a_large_product(x: str, y: str) -> None:
    with pytest.raises(BadArguments, match=r"allowed|whole number|fewer than|may be text"):
        spec("mul").bind_text([x, y])


@pytest.mark.parametrize("name", list(TASKS))
def test_each_task_is_documented(name: str) -> None:
    assert spec(name).doc
    assert spec(name).arguments_schema()["properties"]
    assert isinstance(spec(name).result_schema(), dict)
