"""The place of a failure: the innermost line of the task's own code, without a folder of the machine."""

import functools
import json
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from pacifica.dispatcher.worker.builtin_tasks import fail
from pacifica.dispatcher.worker.failure_place import failure_place

LINE = "def body(): raise ValueError('x')\n"


def module(name: str, source: str, file: str) -> ModuleType:
    """A module with this source, as if it were in this file."""
    made = ModuleType(name)
    exec(compile(source, file, "exec"), vars(made))
    return made


def place_of(called: Callable[[], Any], function: Any) -> str:
    """The place of the error that the call raises."""
    try:
        called()
    except BaseException as error:  # noqa: BLE001 - any error has a place
        return failure_place(error, function)
    raise AssertionError("nothing was raised")


@pytest.mark.parametrize(
    ("name", "file", "place"),
    [
        ("lab", "/home/ada/secret/lab.py", "lab.py:1"),
        ("lab.steps.convert", "/home/ada/lab/steps/convert.py", "lab/steps/convert.py:1"),
        ("lab", "/home/ada/lab/__init__.py", "lab/__init__.py:1"),
        ("__main__", "/home/ada/run.py", "run.py:1"),
        ("lab", "<string>", "<string>:1"),
    ],
)
def test_place_names_the_file_within_its_package(name: str, file: str, place: str) -> None:
    body = module(name, LINE, file).body
    assert place_of(body, body) == place


def test_place_is_in_the_tasks_own_package_and_not_in_a_library() -> None:
    lab = module("lab", "import json\ndef body():\n    return json.loads('{')\n", "/x/lab.py")
    assert place_of(lab.body, lab.body) == "lab.py:3"
    helper = module("lab.helper", "def check(): raise ValueError\n", "/x/lab/helper.py")
    caller = module("lab", "def body(check):\n    check()\n", "/x/lab/__init__.py")
    assert place_of(lambda: caller.body(helper.check), caller.body) == "lab/helper.py:1"


def test_place_is_in_the_function_and_not_in_its_decorator() -> None:
    body = module("lab", LINE, "/x/lab.py").body

    @functools.wraps(body)
    def decorated() -> Any:
        return body()

    assert place_of(decorated, decorated) == "lab.py:1"


def test_place_of_an_error_in_a_decorator_is_the_decorators() -> None:
    kit = module("kit", "def wrapper():\n    raise ValueError\n", "/x/kit.py")
    kit.wrapper.__module__ = "lab"
    assert place_of(kit.wrapper, kit.wrapper) == "kit.py:2"


def test_error_outside_of_the_body_has_the_place_where_the_function_begins() -> None:
    body = module("lab", f"\n\n{LINE}", "/x/lab.py").body
    assert failure_place(ValueError("never raised"), body) == "lab.py:3"
    assert failure_place(ValueError("never raised"), None) == ""
    assert failure_place("no exception", len) == ""


def test_place_of_a_built_in_task_is_its_own_line() -> None:
    place = place_of(lambda: fail.run("x"), fail.run)
    assert place.startswith("pacifica/dispatcher/worker/builtin_tasks.py:")
    line = int(place.rpartition(":")[2])
    assert "raise" in Path(fail.run.__code__.co_filename).read_text(encoding="utf-8").splitlines()[line - 1]


def test_error_of_the_standard_library_alone_has_the_place_where_the_function_begins() -> None:
    """As when a time limit is met in an event loop."""
    body = module("lab", LINE, "/x/lab.py").body
    with pytest.raises(ValueError, match="Expecting") as caught:
        json.loads("{")
    error = caught.value
    assert error.__traceback__ is not None
    assert failure_place(error.with_traceback(error.__traceback__.tb_next), body) == "lab.py:1"
