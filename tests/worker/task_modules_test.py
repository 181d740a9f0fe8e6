"""Importing modules with tasks: each fault is one sentence that names file and line."""

import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from pacifica.dispatcher.worker.task_modules import import_modules, module_fault, remark_on_module

CORRECT = "Correct the module and start again."


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory; what is imported from it is forgotten afterwards."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "modules", dict(sys.modules))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    return tmp_path


def message(folder: Path, source: str, name: str = "f_lab", **others: str) -> str:
    """The fault of a module with this source, beside other modules."""
    for own, text in {"f_lab": source, **others}.items():
        (folder / f"{own}.py").write_text(text, encoding="utf-8")
    fault = module_fault(name)
    return "" if fault is None else fault.message


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("\nx = nope\n", f"f_lab.py:2: NameError: name 'nope' is not defined. {CORRECT}"),
        ("\n\ndef f(:\n", f"f_lab.py:3: SyntaxError: invalid syntax. {CORRECT}"),
        ("{}['a']\n", f"f_lab.py:1: KeyError: 'a'. {CORRECT}"),
        ("import f_none\n", "f_lab.py:1: ModuleNotFoundError: No module named 'f_none'. Install that package here, "),
        ("import json\njson.loads('x')\n", "f_lab.py:2: JSONDecodeError: Expecting value: line 1 column 1"),
        ("import sys\nsys.exit(3)\n", "f_lab.py:2: the import ends Python by SystemExit(3). Move that call into "),
        ("import f_other\n", f"f_other.py:2: ZeroDivisionError: division by zero. {CORRECT}"),
        ("from f_circle import x\n", "f_circle.py:1: ImportError: cannot import name 'y' from partially initialized"),
        (
            "from pacifica.dispatcher import task\n@task(nmae='x')\ndef f(): ...\n",
            f"f_lab.py:2: TypeError: @task has no option 'nmae'; did you mean 'name'? {CORRECT}",
        ),
        (
            "from pacifica.dispatcher import task\n@task(time_limit='10')\ndef f(): ...\n",
            f"f_lab.py:2: TypeError: the option time_limit of @task must be a number, not '10'. {CORRECT}",
        ),
        (
            "from pacifica.dispatcher import task\n@task(check=True)\ndef f(): ...\n",
            f"f_lab.py:2: TypeError: the option check of @task must be a function, not True. {CORRECT}",
        ),
        (
            "from pacifica.dispatcher import task\n@task('scan')\ndef f(): ...\n",
            f"f_lab.py:2: TypeError: @task takes options by name only, such as @task(name='scan'). {CORRECT}",
        ),
    ],
)
def test_fault_names_file_line_and_error(folder: Path, source: str, expected: str) -> None:
    others = {"f_other": "\n1 / 0\n", "f_circle": "from f_lab import y\n"}
    assert message(folder, source, **others).startswith(expected)


def test_missing_module_says_where_it_was_searched(folder: Path) -> None:
    fault = module_fault("f_pack.missing")
    assert str(fault).startswith(f"[dispatcher] tasks = f_pack.missing: there is no module f_pack in {folder} or among")


def test_name_of_a_file_is_answered_with_the_name_of_its_module(folder: Path) -> None:
    sentence = "it is the name of a file. Write the name of the module: f_lab"
    assert (
        message(folder, "x = 1\n", "f_lab.py")
        == message(folder, "x = 1\n", "f_missing.py").replace("missing", "lab")
        == sentence
    )


def test_output_of_an_import_goes_to_standard_error(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert message(folder, "print('loading')\n") == ""
    assert capsys.readouterr() == ("", "loading\n")


def test_entry_point_of_a_package_that_fails_is_named(folder: Path) -> None:
    about = folder / "f_kit-1.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: f_kit\nVersion: 1.0\n", encoding="utf-8")
    (about / "entry_points.txt").write_text("[pacifica.dispatcher.tasks]\nkit = f_kit\n", encoding="utf-8")
    (folder / "f_kit.py").write_text("\n1 / 0\n", encoding="utf-8")
    sys.path.insert(0, str(folder))
    try:
        faults = [str(fault) for fault in import_modules(())]
    finally:
        sys.path.remove(str(folder))
    assert faults == [f"entry point f_kit of f_kit: f_kit.py:2: ZeroDivisionError: division by zero. {CORRECT}"]


@pytest.mark.parametrize(
    ("source", "begin"),
    [
        ("def a(): ...\ndef b(): ...\n", "f_lab.py has 2 functions (a, b) and no @task, so it adds nothing"),
        ("from json import loads\n", "f_lab.py has no function and no @task"),
        ("".join(f"def f{i}(): ...\n" for i in range(9)), "f_lab.py has 9 functions (f0, f1, f2, f3, f4, …) and no"),
    ],
)
def test_module_without_tasks_is_remarked_on(folder: Path, source: str, begin: str) -> None:
    assert message(folder, source) == ""
    assert remark_on_module("f_lab", []).startswith(begin)


def test_module_whose_parts_have_tasks_needs_no_remark(folder: Path) -> None:
    assert message(folder, "") == ""
    parts: Any = [SimpleNamespace(__module__="f_lab.parts")]
    assert remark_on_module("f_lab", parts) == ""
