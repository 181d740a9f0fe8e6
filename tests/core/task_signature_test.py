"""Signatures behind decorators, hidden arguments, and defaults that are pydantic's fields."""

import dataclasses
import functools
from collections.abc import Callable
from typing import Annotated, Any

import pytest
from pydantic import BaseModel, Field, PrivateAttr, validate_call

from pacifica.dispatcher.core.errors import BadArguments
from pacifica.dispatcher.core.registry import TaskSpec


def spec(function: Callable[..., Any], **options: Any) -> TaskSpec:
    """The task of a function."""
    return TaskSpec("it", function, **options)


def run(function: Callable[..., Any], *args: Any, hidden: tuple[str, ...] = (), **kwargs: Any) -> Any:
    """Call the function as a worker does, with arguments as in a request."""
    own = spec(function, hidden=hidden)
    call = own.bind(args, kwargs)
    positional, named = own.load(call.args, call.kwargs)
    return function(*positional, **named)


def by_keyword(function: Callable[..., Any]) -> Callable[..., Any]:
    """Pass a session by name."""

    @functools.wraps(function)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        return function(*args, session="s", **kwargs)

    return wrapper


def first(function: Callable[..., Any]) -> Callable[..., Any]:
    """Pass a session as the first argument."""

    @functools.wraps(function)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        return function("s", *args, **kwargs)

    return wrapper


def transparent(function: Callable[..., Any]) -> Callable[..., Any]:
    """Pass all arguments on."""

    @functools.wraps(function)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        return function(*args, **kwargs)

    return wrapper


def names(own: TaskSpec) -> list[str]:
    """The arguments in the schema."""
    return list(own.arguments_schema()["properties"])


class Session:
    """A class without a schema, as sessions and clients are."""


# Hidden arguments


@pytest.mark.parametrize("decorator", [by_keyword, first])
@pytest.mark.parametrize("place", ["first", "last"])
def test_injected_argument_is_hidden(decorator: Any, place: str) -> None:
    def begins(session: Session, x: int, y: int = 2) -> tuple[Any, int, int]:
        return session, x, y

    def ends(x: int, y: int = 2, *, session: Session) -> tuple[Any, int, int]:
        return session, x, y

    if place == "last" and decorator is first:
        return
    function = decorator(begins if place == "first" else ends)
    own = spec(function, hidden=("session",))
    assert names(own) == ["x", "y"]
    assert own.arguments_schema()["required"] == ["x"]
    for args, kwargs in (([1], {}), ([1, 2], {}), ([], {"x": 1}), ([1], {"y": 2})):
        assert run(function, *args, hidden=("session",), **kwargs) == ("s", 1, 2)
    assert own.bind_text(["1", "2"]).args == [1, 2]
    with pytest.raises(BadArguments, match="session: is not an argument of the task; it takes x, y"):
        own.bind([1], {"session": "mine"})


def test_arguments_after_a_hidden_one_may_be_many() -> None:
    @first
    def function(session: Session, x: int, *rest: int, **more: int) -> Any:
        return session, x, rest, more

    assert run(function, 1, 2, 3, hidden=("session",)) == ("s", 1, (2, 3), {})
    assert run(function, 1, k=5, hidden=("session",)) == ("s", 1, (), {"k": 5})


def test_argument_after_a_hidden_one_may_have_no_name() -> None:
    @first
    def function(session: Session, x: int, /, y: int) -> Any:
        return session, x, y

    assert run(function, 1, 2, hidden=("session",)) == ("s", 1, 2)


def test_unknown_hidden_argument_is_refused() -> None:
    with pytest.raises(ValueError, match=r"hidden names sesion; the arguments .* are session, x"):
        spec(lambda session, x: None, hidden=("sesion",))


# Decorators


def test_signature_of_a_wrapper_with_arguments_of_its_own_counts() -> None:
    def inner(x: int, session: Session) -> Any:
        return x, session

    @functools.wraps(inner)
    def wrapper(x: int) -> Any:
        return inner(x, Session())

    assert names(spec(wrapper)) == ["x"]
    assert spec(wrapper).arguments_schema()["properties"]["x"] == {"type": "integer"}
    assert run(wrapper, 1)[0] == 1
    assert names(spec(transparent(wrapper))) == ["x"]


def test_transparent_decorators_show_the_function() -> None:
    @transparent
    @transparent
    def function(x: int, *, y: str = "a") -> str:
        return f"{x}{y}"

    assert names(spec(function)) == ["x", "y"]
    assert run(function, 1, y="b") == "1b"


@pytest.mark.parametrize(
    "make",
    [lambda inner: lambda *args: [inner(*args)], lambda inner: lambda **kwargs: [inner(**kwargs)]],
    ids=["args", "kwargs"],
)
def test_wrapper_that_does_not_pass_all_arguments_is_refused(make: Any) -> None:
    def inner(x: int) -> None: ...

    with pytest.raises(ValueError, match=r"its decorator makes the signature .* give the wrapper"):
        spec(functools.wraps(inner)(make(inner)))


def test_wrapper_that_needs_more_than_its_function_is_refused() -> None:
    def inner(x: int) -> None: ...

    @functools.wraps(inner)
    def wrapper(tenant: str, *args: Any, **kwargs: Any) -> None: ...

    with pytest.raises(ValueError, match="its decorator needs tenant, which is not an argument of the function"):
        spec(wrapper)


def test_signature_set_by_hand_counts() -> None:
    import inspect

    def function(*args: Any, **kwargs: Any) -> Any:
        return kwargs

    parameter = inspect.Parameter("x", inspect.Parameter.KEYWORD_ONLY, annotation=int)
    function.__signature__ = inspect.Signature([parameter])  # type: ignore[attr-defined]
    assert names(spec(function)) == ["x"]
    assert run(function, x=1) == {"x": 1}
    assert run(transparent(function), x=1) == {"x": 1}


class Bound:
    """The place of a task in ``bind=True``."""

    def plain(self, x: int) -> Any:
        return self, x

    @transparent
    def wrapped(self, x: int) -> Any:
        return self, x

    @first
    def injected(self, session: Session, x: int) -> Any:
        return self, session, x

    def _function(x: int) -> Any:  # type: ignore[misc]
        return x

    @functools.wraps(_function)
    def kept(self, *args: Any, **kwargs: Any) -> Any:
        return Bound._function(*args, **kwargs)


def test_bound_function_does_not_show_its_task() -> None:
    bound = Bound()
    for function in (bound.plain, bound.wrapped, bound.kept):
        assert names(spec(function)) == ["x"]
    assert run(bound.plain, 1) == run(bound.wrapped, 1) == (bound, 1)
    assert run(bound.kept, 1) == 1
    assert names(spec(bound.injected, hidden=("session",))) == ["x"]


def test_other_callables_show_the_arguments_that_they_take() -> None:
    def function(x: int, session: str) -> Any:
        return x, session

    partial = functools.update_wrapper(functools.partial(function, session="s"), function)
    assert spec(partial).arguments_schema()["required"] == ["x"]
    assert run(partial, 1) == (1, "s")

    class Callable_:
        def __call__(self, x: int) -> int:
            return x

    assert run(Callable_(), 1) == 1

    class Point(BaseModel):
        x: int

    assert run(Point, x=1) == Point(x=1)


def test_function_that_pydantic_validates_is_a_task() -> None:
    @validate_call
    def function(x: Annotated[int, Field(gt=0)], y: int = 2) -> int:
        return x + y

    assert names(spec(function)) == ["x", "y"]
    assert run(function, 1) == 3
    with pytest.raises(BadArguments, match="greater than 0"):
        spec(function).bind([0], {})


# Defaults


@pytest.mark.parametrize("annotation", [int, Annotated[int, Field(lt=9)], None], ids=["int", "annotated", "none"])
def test_default_of_a_field_is_passed_and_its_rules_apply(annotation: Any) -> None:
    def function(x=Field(default=3, gt=0, description="A number.")):  # type: ignore[no-untyped-def]  # noqa: B008
        return x

    function.__annotations__ = {} if annotation is None else {"x": annotation}
    own = spec(function)
    assert run(function) == 3
    assert run(function, 5) == run(function, x=5) == 5
    for bind in (lambda: own.bind([0], {}), lambda: own.bind([], {"x": 0}), lambda: own.bind_text(["0"])):
        with pytest.raises(BadArguments, match="x: should be greater than 0"):
            bind()
    schema = own.arguments_schema()
    assert schema["properties"]["x"]["default"] == 3
    assert schema["properties"]["x"]["description"] == "A number."
    assert "required" not in schema


def test_default_in_the_annotation_is_passed() -> None:
    def function(x: Annotated[int, Field(default=3)], *, y: Annotated[int, Field(gt=0)] = 4) -> Any:
        return x, y

    assert run(function) == (3, 4)
    assert "required" not in spec(function).arguments_schema()


def test_default_factory_is_called_for_each_call() -> None:
    def function(x: list[int] = Field(default_factory=list)) -> list[int]:  # noqa: B008
        x.append(1)
        return x

    assert run(function) == run(function) == [1]
    assert "default" not in spec(function).arguments_schema()["properties"]["x"]


def test_default_factory_that_fails_refuses_the_arguments(caplog: pytest.LogCaptureFixture) -> None:
    def function(x: int = Field(default_factory=lambda: {}["x"])) -> None: ...

    with pytest.raises(BadArguments, match="arguments: a default of the task failed with KeyError; the log"):
        spec(function).bind([], {})
    assert "Traceback" in caplog.text


def test_default_is_not_shared_between_calls() -> None:
    def function(x: list[int] = Field(default=[])) -> list[int]:  # noqa: B008
        x.append(1)
        return x

    assert run(function) == run(function) == [1]


@pytest.mark.parametrize("field", [Field(), Field(...), Field(gt=0)], ids=["empty", "ellipsis", "rule"])
def test_field_without_default_is_required(field: Any) -> None:
    def function(x: int = field) -> int:
        return x

    assert spec(function).arguments_schema()["required"] == ["x"]
    with pytest.raises(BadArguments, match="x: is missing"):
        spec(function).bind([], {})


def test_check_gets_the_default_of_a_field() -> None:
    seen: list[Any] = []

    def function(x: int = Field(default=3)) -> None: ...

    spec(function, check=lambda x: seen.append({"x": x})).bind([], {})
    assert seen == [{"x": 3}]


def test_field_after_an_argument_by_position_is_passed_by_name() -> None:
    def function(a: int, b: int = Field(default=2), *rest: int) -> Any:
        return a, b, rest

    assert run(function, 1) == (1, 2, ())
    assert run(function, 1, 5, 6) == (1, 5, (6,))


def aliased(x: int = Field(default=3, alias="y")) -> None: ...
def in_annotation(x: Annotated[int, Field(alias="y")] = 3) -> None: ...
def validation(x: int = Field(default=3, validation_alias="y")) -> None: ...
def of_others(x: int = Field(default_factory=lambda others: 3)) -> None: ...
def nameless(x: int = Field(default=3), /) -> None: ...
def private(x: int = PrivateAttr(default=3)) -> None: ...
def of_dataclass(x: int = dataclasses.field(default=3)) -> None: ...


@pytest.mark.parametrize(
    ("function", "sentence"),
    [
        (aliased, "the argument x has an alias; rename the argument instead"),
        (in_annotation, "the argument x has an alias"),
        (validation, "the argument x has an alias"),
        (of_others, "the default_factory of x takes the other arguments; it must take none"),
        (nameless, "the default of x, which has no name for callers, must be a plain value"),
        (private, "the default of x is ModelPrivateAttr, which is for classes only"),
        (of_dataclass, "the default of x is Field, which is for classes only"),
    ],
)
def test_default_that_cannot_be_honoured_is_refused(function: Callable[..., Any], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        spec(function)
