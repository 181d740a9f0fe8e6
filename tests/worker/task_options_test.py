"""The options of ``@task`` that Celery does not have, and the objects that it refuses."""

import functools
from collections.abc import Callable
from typing import Any

import pytest
from celery import Celery

from pacifica.dispatcher import task
from pacifica.dispatcher.worker.task import DispatcherTask


def with_session(function: Callable[..., Any]) -> Callable[..., Any]:
    """Pass a session by name, as decorators for databases do."""

    @functools.wraps(function)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        return function(*args, session="s", **kwargs)

    return wrapper


@pytest.mark.parametrize("hidden", ["session", ("session",), ["session"]])
@pytest.mark.parametrize("bind", [False, True])
def test_hidden_argument_of_a_task_is_passed_by_its_decorator(hidden: Any, bind: bool) -> None:
    def plain(session: object, x: int) -> Any:
        return session, x

    def bound(self: Any, session: object, x: int) -> Any:
        return session, x

    app = Celery("test", set_as_current=False)
    function = with_session(bound if bind else plain)
    made = app.task(function, base=DispatcherTask, hidden=hidden, bind=bind, shared=False)
    args, kwargs = made.spec().load([1], {})
    assert made.run(*args, **kwargs) == ("s", 1)
    assert list(made.spec().arguments_schema()["properties"]) == ["x"]


class Nameless:
    """A callable object, which has no name."""

    def __call__(self, x: int) -> int:
        return x


@pytest.mark.parametrize("function", [functools.partial(int, base=2), Nameless()], ids=["partial", "object"])
def test_object_without_a_name_is_no_task(function: Any) -> None:
    for decorate in (task, task(name="it")):
        with pytest.raises(TypeError, match="@task needs a function with a name"):
            decorate(function)
