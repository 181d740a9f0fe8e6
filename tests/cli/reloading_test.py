"""Changed task modules: ``up`` notices them, and restarts or says that this is needed."""

import io
import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from rich.console import Console

from pacifica.dispatcher.cli import reloading
from pacifica.dispatcher.cli.exit_codes import CommandFailed
from pacifica.dispatcher.cli.module_watch import ModuleWatch
from pacifica.dispatcher.cli.reloading import Reloading


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory, with a module, a package and a configuration."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(reloading, "LOOK", 0.0)
    (tmp_path / "f_pack" / "parts").mkdir(parents=True)
    for name in ("f_lab.py", "f_beside.py", "f_pack/__init__.py", "f_pack/parts/one.py", "config.ini", "notes.txt"):
        (tmp_path / name).touch()
    return tmp_path


def edit(path: Path) -> None:
    """Change a file, at a later time than all its changes so far."""
    later = time.time_ns() + 10_000_000_000
    path.write_text(path.read_text(encoding="utf-8") + "\n", encoding="utf-8")
    os.utime(path, ns=(later, later))


@pytest.mark.parametrize("name", ["f_lab.py", "f_beside.py", "f_pack/__init__.py", "f_pack/parts/one.py", "config.ini"])
def test_change_of_a_watched_file_is_noticed_once(folder: Path, name: str) -> None:
    watch = ModuleWatch(["f_lab", "f_pack.parts", "f_missing"], [folder / "config.ini"])
    edit(folder / "notes.txt")
    assert watch.changed() == []
    edit(folder / name)
    assert watch.changed() == [folder / name]
    assert watch.changed() == []


def test_file_that_an_editor_replaces_counts_when_it_is_back(folder: Path) -> None:
    watch = ModuleWatch(["f_lab"])
    (folder / "f_lab.py").rename(folder / "f_lab.py~")
    assert watch.changed() == []
    (folder / "f_lab.py").write_text("x = 1\n", encoding="utf-8")
    assert watch.changed() == [folder / "f_lab.py"]


def reload(folder: Path, restart: Callable[[], None] | None) -> tuple[Reloading, io.StringIO]:
    """The reaction to changes of ``f_lab``, and what it prints."""
    shown = io.StringIO()
    return Reloading(ModuleWatch(["f_lab"]), Console(file=shown, width=500), {}, restart), shown


def test_change_without_reload_is_named_once(folder: Path) -> None:
    own, shown = reload(folder, None)
    for _ in range(2):
        edit(folder / "f_lab.py")
        own.look()
        own.look()
    assert shown.getvalue() == "f_lab.py has changed. Restart to use it, or start with --reload.\n"
    with pytest.raises(CommandFailed, match="The web process ended unexpectedly"):
        own.lost("web")


@pytest.mark.slow
def test_faulty_module_is_named_and_not_used(folder: Path) -> None:
    restarts: list[int] = []
    own, shown = reload(folder, lambda: restarts.append(1))
    (folder / "config.ini").write_text("[dispatcher]\ntasks = f_lab\n", encoding="utf-8")
    (folder / "f_lab.py").write_text("x = (\n", encoding="utf-8")
    own.look()
    assert not restarts
    assert "f_lab.py has changed and cannot be used; the code before the change stays in use." in shown.getvalue()
    assert "f_lab.py:1: SyntaxError" in shown.getvalue()
    (folder / "f_lab.py").write_text("xyz = 1\n", encoding="utf-8")
    own.look()
    assert restarts == [1]
    own.lost("web")
    assert "The web process ended. It starts again when" in shown.getvalue()
