"""Signatures that cannot be used: the sentence names the argument, and says what to do."""

from collections.abc import Callable
from typing import Any

import pytest
from typing_extensions import TypedDict, Unpack

from pacifica.dispatcher.core.registry import TaskSpec
from pacifica.dispatcher.core.signature_faults import place_of


class Options(TypedDict):
    scale: float


class Frame:
    """A class without a form in JSON."""


def unpacked(x: int, **options: Unpack[Options]): ...  # type: ignore[no-untyped-def]
def missing(x: int, frame: "Later"): ...  # type: ignore[no-untyped-def,name-defined]  # noqa: F821
def opaque(frame: Frame): ...  # type: ignore[no-untyped-def]
def result(x: int) -> Frame: ...  # type: ignore[empty-body]


def key_error(cls: Any, source: Any, handler: Any) -> Any:
    raise KeyError("size")


odd = type("Odd", (), {"__get_pydantic_core_schema__": classmethod(key_error)})


def oddly(x): ...  # type: ignore[no-untyped-def]


oddly.__annotations__ = {"x": odd}


@pytest.mark.parametrize(
    ("function", "sentence"),
    [
        (unpacked, "the annotation of argument options cannot be used: "),
        (missing, "the annotation of argument frame cannot be used: name 'Later' is not defined. Import the name"),
        (opaque, r"the annotation of argument frame cannot be used: <class .*Frame'> has no form in JSON\. Use "),
        (
            result,
            "the annotation of the result cannot be used: <class .* Without it, a result is stored by its own type",
        ),
        (oddly, "the annotation of argument x cannot be used: KeyError: 'size'"),
    ],
)
def test_fault_of_an_annotation_names_its_argument(function: Callable[..., Any], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence) as caught:
        TaskSpec("it", function)
    assert "\n" not in str(caught.value)
    assert "errors.pydantic.dev" not in str(caught.value)


def scan(sample: str, *, scale: float = 1.0) -> None: ...
def rest(first: int, *more: int) -> None: ...


@pytest.mark.parametrize(
    ("function", "check", "reason"),
    [
        (scan, lambda: None, "got an unexpected keyword argument 'sample'"),
        (scan, lambda sample: None, "unexpected keyword argument 'scale'"),
        (scan, lambda sample, scale: None, "missing a required argument: 'scale'"),
        (scan, lambda name, scale=1.0: None, "missing a required argument: 'name'"),
        (rest, lambda first: None, "too many positional arguments"),
    ],
)
def test_check_of_another_signature_is_refused_at_start(
    function: Callable[..., Any], check: Callable[..., object], reason: str
) -> None:
    with pytest.raises(ValueError, match=f"its check function must take the same arguments as the task: .*{reason}"):
        TaskSpec("it", function, check=check)


@pytest.mark.parametrize("check", [lambda sample, scale=2.0: None, lambda *args, **kwargs: None, dict])
def test_check_that_takes_every_call_is_accepted(check: Callable[..., object]) -> None:
    TaskSpec("it", scan, check=check)


def test_place_is_the_line_of_the_undecorated_function() -> None:
    place, line = place_of(opaque).rsplit(":", 1)
    assert (place, int(line)) == (__file__, opaque.__code__.co_firstlineno)
    assert place_of(len) == ""
