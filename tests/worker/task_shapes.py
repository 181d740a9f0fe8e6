"""The ways to declare a plain Celery task, each with a call of it over HTTP."""

import enum
import functools
import sys
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from threading import Lock
from typing import Any, Literal, NamedTuple, Optional, TypedDict
from unittest.mock import patch
from uuid import UUID

from celery import Task, shared_task
from pydantic import BaseModel

from .future_shapes import weigh


class Shape(NamedTuple):
    """A declaration, the JSON values of a call, its result, and the parameters that take any JSON value."""

    declare: Callable[[Any], Any]
    args: Sequence[Any]
    kwargs: Mapping[str, Any]
    result: Any
    untyped: Collection[str] = ()


SHAPES: dict[str, Shape] = {}
"""By their names in the ids of tests."""


class Colour(enum.Enum):
    """Not a text itself."""

    RED = "red"


@dataclass
class Point:
    """A place."""

    x: int
    y: int


class Options(TypedDict):
    """Named options."""

    depth: int


class Order(BaseModel):
    """A model."""

    number: int


class Base(Task):  # type: ignore[misc]
    """A custom base class."""

    unit = "mm"


class Surrounding(Task):  # type: ignore[misc]
    """A base class that surrounds the function, as Flask's documentation shows it."""

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call the function."""
        return f"[{self.run(*args, **kwargs)} {[type(value).__name__ for value in args]}]"


class Super(Task):  # type: ignore[misc]
    """A base class that calls Celery's ``__call__``."""

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call the function in the request of the job."""
        return [super().__call__(*args, **kwargs), self.request.id is not None, self.request.called_directly]


class Adder:
    """An object that can be called."""

    unit: str = "m"

    __name__ = "callable_object"
    __module__ = "shapes"

    def __call__(self, x: int, y: "int" = 2) -> int:
        """Add."""
        return x + y


class Holder:
    """Functions in a class."""

    @staticmethod
    def static(x: int) -> int:
        """Add one."""
        return x + 1

    @classmethod
    def klass(cls, x: int) -> str:
        """Add the class's name."""
        return f"{cls.__name__}{x}"


def wrapping(function: Callable[..., Any]) -> Callable[..., Any]:
    """A decorator that keeps the signature."""

    @functools.wraps(function)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        return function(*args, **kwargs)

    return wrapper


def hiding(function: Callable[..., Any]) -> Callable[..., Any]:
    """A decorator that hides the signature."""

    def wrapper(*args, **kwargs):  # type: ignore[no-untyped-def]
        return function(*args, **kwargs)

    wrapper.__name__ = "hidden"
    return wrapper


def add(x: int, y: int) -> int:
    """Add two numbers."""
    return x + y


def shape(
    name: str,
    *args: Any,
    result: Any,
    untyped: Collection[str] = (),
    options: Mapping[str, Any] | None = None,
    **kwargs: Any,
) -> Callable[[Any], Any]:
    """A decorator of a function that is a shape, declared with these options of ``app.task``."""

    def note(function: Any) -> Any:
        def declare(app: Any) -> Any:
            return app.task(**{"shared": False, "name": f"shapes.{name}", **(options or {})})(function)

        SHAPES[name] = Shape(declare, args, kwargs, result, untyped)
        return function

    return note


shape("plain", 1, 2, result=3)(add)
shape("by-name", y=2, x=1, result=3)(add)
shape("wraps", 1, 2, result=3)(wrapping(add))
shape("without-wraps", 1, 2, result=3, untyped={"args", "kwargs"})(hiding(add))
shape("callable-object", 1, result=3)(Adder())
shape("staticmethod", 1, result=2)(Holder.static)
shape("classmethod", 1, result="Holder1")(Holder.klass)
shape("future-annotations", "1.50", {"a": 1}, result="Decimal('1.50') {'a': 1} 1", untyped={"instrument"})(weigh)


@shape("bind", 1, result=[1, True], options={"bind": True})
def _bind(self: Any, x: int) -> list[Any]:
    return [x, self.request.id is not None]


@shape("custom-base", 2, result="2 mm", options={"base": Base, "bind": True})
def _custom_base(self: Any, x: int) -> str:
    return f"{x} {self.unit}"


@shape("autoretry", 1, result=1, options={"autoretry_for": (OSError,)})
def _autoretry(x: int) -> int:
    return x


@shape("pydantic", {"number": 4}, result={"number": 5}, options={"pydantic": True})
def _pydantic(order: Order) -> Order:
    return Order(number=order.number + 1)


@shape("base-call", {"x": 1, "y": 2}, result="[1 ['Point']]", options={"base": Surrounding})
def _base_call(place: Point) -> Any:
    return place.x


@shape("base-super-call", 3, result=[[3, False], True, False], options={"base": Super, "bind": True})
def _base_super_call(self: Any, x: int) -> Any:
    return [x, self.request.called_directly]


@shape("defaults", 1, result=[1, 2, None])
def _defaults(x: int, y: int = 2, z: str | None = None) -> list[Any]:
    return [x, y, z]


@shape("keyword-only", x=1, result=1)
def _keyword_only(*, x: int) -> int:
    return x


@shape("positional-only", 1, result=1)
def _positional_only(x: int, /) -> int:
    return x


@shape("any-number", 1, 2, a="3", result=[[1, 2], {"a": "3"}])
def _any_number(*numbers: int, **texts: str) -> list[Any]:
    return [list(numbers), texts]


@shape("optional", None, result=None)
def _optional(x: Optional[int]) -> Optional[int]:  # noqa: UP045 - as in older code
    return x


@shape("literal", "fast", result="fast")
def _literal(mode: Literal["fast", "slow"]) -> str:
    return mode


@shape("enum", "red", result="Colour.RED")
def _enum(colour: Colour) -> str:
    return str(colour)


@shape("dataclass", {"x": 1, "y": 2}, result={"x": 1, "y": 2})
def _dataclass(place: Point) -> Point:
    return place


@shape("typed-dict", {"depth": 1}, result=1, untyped={"options"} if sys.version_info < (3, 12) else ())
def _typed_dict(options: Options) -> int:
    return options["depth"]


@shape(
    "times",
    "2026-01-31T12:00:00Z",
    "1.10",
    "01a2283f-b844-7f78-a14c-d1029a011645",
    result=[True, "Decimal('1.10')", "01a2283f-b844-7f78-a14c-d1029a011645"],
)
def _times(when: datetime, price: Decimal, key: UUID) -> list[Any]:
    return [when == datetime(2026, 1, 31, 12, tzinfo=UTC), repr(price), str(key)]


@shape("models", [{"number": 1}, {"number": 2}], result=3)
def _models(orders: list[Order]) -> int:
    return sum(order.number for order in orders)


@shape("no-form-in-json", 1, result=[1, 2], untyped={"lock", "return"})
def _no_form(lock: Lock, y: int = 2) -> Lock:
    return [lock, y]  # type: ignore[return-value]


@shape("async", 1, result=1)
async def _async(x: int) -> int:
    return x


@shape("generator", 3, result=[0, 1, 2])
def _generator(number: int) -> Iterator[int]:
    yield from range(number)


@shape("without-annotations", 1, result=[1, 2], untyped={"x", "y"})
def _without(x, y=2):  # type: ignore[no-untyped-def]
    return [x, y]


def _shared(app: Any) -> Any:
    """Declare a task for all applications, of which only this one gets it."""
    state = sys.modules["celery._state"]
    with patch.object(state, "_on_app_finalizers", set()), patch.object(state, "_get_active_apps", lambda: [app]):
        app.finalize()
        shared_task(name="shapes.shared")(add)
        return app.tasks["shapes.shared"]


def _class(app: Any) -> Any:
    class Sum(Task):  # type: ignore[misc]
        name = "shapes.class"

        def run(self, x: int, y: int = 2) -> int:
            return x + y

    return app.register_task(Sum)


def _class_of_app(app: Any) -> Any:
    class Sum(app.Task):  # type: ignore[misc, name-defined]
        def run(self, x: int, y: int = 2) -> int:
            return x + y

    return app.register_task(Sum())


def _class_with_call(app: Any) -> Any:
    class Measure(Task):  # type: ignore[misc]
        def __init__(self, unit: str) -> None:
            self.unit = unit

        def __call__(self, *args: Any, **kwargs: Any) -> Any:
            found = super().__call__(*args, **kwargs)
            return [found, self.request.id is not None, [type(one).__name__ for one in args]]

        def run(self, place: Point) -> str:
            return f"{place.x}{self.unit}"

    return app.register_task(Measure("m"))


SHAPES["shared-task"] = Shape(_shared, [1, 2], {}, 3)
SHAPES["class"] = Shape(_class, [1], {}, 3)
SHAPES["class-of-app"] = Shape(_class_of_app, [1], {}, 3)
SHAPES["class-with-call"] = Shape(_class_with_call, [{"x": 1, "y": 2}], {}, ["1m", True, ["Point"]])
