"""Validators that fail otherwise than with a ``ValueError``: the value is refused, and the log says where."""

import logging
import sys
from collections.abc import Callable
from typing import Annotated, Any

import pytest
from pydantic import AfterValidator, BaseModel, BeforeValidator, WrapValidator, model_validator

from pacifica.dispatcher.core.errors import BadArguments
from pacifica.dispatcher.core.registry import TaskSpec

LOGGED = "the log of the service has the details"


def lookup(value: str) -> str:
    return {"a": "b"}[value]


def endless(value: str) -> str:
    return endless(value)


def leave(x: str) -> str:
    sys.exit(3)


class Window(BaseModel):
    low: int
    high: int

    @model_validator(mode="after")
    def _ratio(self) -> "Window":
        self.high // self.low
        return self


def taking(annotation: Any, check: Callable[..., object] | None = None) -> TaskSpec:
    """A task with one parameter ``x`` of this type."""

    def function(x):  # type: ignore[no-untyped-def]
        return x

    function.__annotations__ = {"x": annotation}
    return TaskSpec("it", function, check=check)


@pytest.mark.parametrize(
    ("annotation", "value", "kind"),
    [
        (Annotated[str, AfterValidator(lookup)], "z", "KeyError"),
        (Annotated[str, BeforeValidator(lookup)], "z", "KeyError"),
        (Annotated[str, WrapValidator(lambda value, handler: handler(value) + 1)], "z", "TypeError"),
        (Annotated[str, AfterValidator(endless)], "z", "RecursionError"),
        (Annotated[str, AfterValidator(leave)], "z", "SystemExit"),
        (list[Annotated[str, AfterValidator(lookup)]], ["a", "z"], "KeyError"),
        (Window, {"low": 0, "high": 1}, "ZeroDivisionError"),
    ],
)
def test_argument_whose_validator_fails_is_refused_and_logged(
    annotation: Any, value: Any, kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    own = taking(annotation)
    for bind in (lambda: own.bind([value], {}), lambda: own.load([value], {})):
        caplog.clear()
        with pytest.raises(BadArguments) as caught:
            bind()
        (fault,) = caught.value.faults
        assert (fault.where, fault.message) == ("x", f"its validator failed with {kind}; {LOGGED}")
        (record,) = caplog.records
        assert record.levelno == logging.ERROR
        assert "argument x of task it" in record.message
        assert record.exc_info is not None


def test_other_arguments_are_named_beside_one_whose_validator_fails() -> None:
    def function(x: Annotated[str, AfterValidator(lookup)], y: int) -> None: ...

    with pytest.raises(BadArguments) as caught:
        TaskSpec("it", function).bind(["z", "no"], {})
    assert [fault.where for fault in caught.value.faults] == ["x", "y"]


@pytest.mark.parametrize(
    ("check", "message"),
    [
        (lambda x: {}[x], f"the check of the task failed with KeyError; {LOGGED}"),
        (leave, f"the check of the task failed with SystemExit; {LOGGED}"),
    ],
)
def test_arguments_whose_check_fails_are_refused_and_logged(
    check: Callable[..., object], message: str, caplog: pytest.LogCaptureFixture
) -> None:
    own = taking(str, check)
    for bind in (lambda: own.bind(["z"], {}), lambda: own.bind_text(["z"])):
        with pytest.raises(BadArguments) as caught:
            bind()
        assert [(fault.where, fault.message) for fault in caught.value.faults] == [("arguments", message)]
    assert [record.levelno for record in caplog.records] == [logging.ERROR] * 2


def test_check_may_refuse_by_an_assertion() -> None:
    def check(x: str) -> None:
        assert x == "a", "x must be a"

    with pytest.raises(BadArguments, match="arguments: x must be a"):
        taking(str, check).bind(["z"], {})
