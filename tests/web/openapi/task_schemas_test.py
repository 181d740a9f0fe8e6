"""The schemas of a task accept exactly the arguments that can be bound."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from pacifica.dispatcher.core.errors import BadArguments
from pacifica.dispatcher.core.parameters import CallShape
from pacifica.dispatcher.core.registry import Registry, TaskSpec
from pacifica.dispatcher.web.openapi.schemas import SCHEMAS
from pacifica.dispatcher.web.openapi.task_schemas import MOST_SHAPES, batch_schemas, needs_arguments, task_schemas


def plain(a: int, b: str = "x") -> None: ...
def nothing() -> None: ...
def named(a: int, *, b: bool, c: str | None = None) -> None: ...
def only(a: int, b: int = 1, /, c: int = 2) -> None: ...
def rest(a: int, *b: str) -> None: ...
def extra(a: int, /, b: str = "x", **c: bool) -> None: ...
def anything(a, *b, **c): ...  # type: ignore[no-untyped-def]
def choice(a: Literal["x", "y"] = "x", b: list[int] | None = None) -> None: ...


FUNCTIONS = (plain, nothing, named, only, rest, extra, anything, choice)
VALUES = st.sampled_from([1, -1, "x", "", True, None, [], [1], ["x"], {"a": 1}, 2.5])
NAMES = st.sampled_from(["a", "b", "c", "d"])


def accepts(spec: TaskSpec, part: str, value: Any) -> bool:
    """Whether the schema in the document accepts the value."""
    components = {"schemas": {**SCHEMAS, **batch_schemas(Registry([spec]), 10), **task_schemas(spec)}}
    return bool(
        Draft202012Validator({"$ref": f"#/components/schemas/t.{part}", "components": components}).is_valid(value)
    )


def binds(spec: TaskSpec, args: Sequence[Any], kwargs: Mapping[str, Any]) -> bool:
    try:
        spec.bind(args, kwargs)
    except BadArguments:
        return False
    return True


@pytest.mark.parametrize("function", FUNCTIONS, ids=lambda one: one.__name__)
@given(args=st.lists(VALUES, max_size=4), kwargs=st.dictionaries(NAMES, VALUES, max_size=3))
@settings(deadline=None, max_examples=200)
def test_schema_accepts_exactly_what_can_be_bound(
    function: Callable[..., Any], args: list[Any], kwargs: dict[str, Any]
) -> None:
    spec = TaskSpec("t", function)
    expected = binds(spec, args, kwargs)
    assert accepts(spec, "dispatch", {"args": args, "kwargs": kwargs}) is expected
    assert accepts(spec, "item", {"task": "t", "args": args, "kwargs": kwargs}) is expected


@pytest.mark.parametrize("function", FUNCTIONS, ids=lambda one: one.__name__)
def test_missing_arguments_count_as_empty(function: Callable[..., Any]) -> None:
    spec = TaskSpec("t", function)
    assert accepts(spec, "dispatch", {}) is binds(spec, [], {}) is not needs_arguments(spec)


def test_item_names_its_task() -> None:
    spec = TaskSpec("t", nothing)
    assert not accepts(spec, "item", {"task": "u"})
    assert not accepts(spec, "item", {})


def test_task_with_many_parameters_has_a_general_schema() -> None:
    names = [f"p{number}" for number in range(MOST_SHAPES)]
    space: dict[str, Any] = {}
    exec(f"def many({', '.join(f'{name}: int' for name in names)}): ...", space)
    spec = TaskSpec("t", space["many"])
    assert accepts(spec, "dispatch", {"args": [1] * 8})
    assert accepts(spec, "dispatch", {"args": ["x"]})


def test_call_shapes_omit_positional_only_names() -> None:
    assert list(TaskSpec("t", only).shapes()) == [
        CallShape(["a"], None, ["c"], [], extra=False, taken=[]),
        CallShape(["a", "b"], None, ["c"], [], extra=False, taken=[]),
        CallShape(["a", "b", "c"], None, [], [], extra=False, taken=["c"]),
    ]
