"""Tasks of an installed distribution, by the entry-point group ``pacifica.dispatcher.tasks``."""

import shutil
from pathlib import Path

import pytest

from ..processes import Processes
from .conftest import start_stack
from .stack import PROGRAMS


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """A folder of Python packages with one distribution, as pip installs it."""
    site = tmp_path / "site"
    about = site / "lab_kit-1.0.dist-info"
    about.mkdir(parents=True)
    shutil.copy(PROGRAMS / "lab_kit.py", site)
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: lab-kit\nVersion: 1.0\n", encoding="utf-8")
    (about / "entry_points.txt").write_text("[pacifica.dispatcher.tasks]\nkit = lab_kit\n", encoding="utf-8")
    return site


def processes_with(site: Path, tmp_path: Path) -> Processes:
    """Return processes that can import the packages of ``site``."""
    (tmp_path / "run").mkdir()
    return Processes(tmp_path / "run", {"BROKER_URL": "database://", "PYTHONPATH": str(site)})


def test_tasks_of_an_installed_distribution_need_no_setting(site: Path, tmp_path: Path) -> None:
    with processes_with(site, tmp_path) as processes:
        stack = start_stack(processes)
        assert stack.get("/tasks/weigh").json()["doc"] == "Return the weight as text."
        assert stack.ended(stack.dispatch("weigh", "S-17", 2.5))["result"] == "S-17: 2.5 g"


def test_distribution_whose_tasks_cannot_be_loaded_is_named(site: Path, tmp_path: Path) -> None:
    (site / "lab_kit.py").write_text("import not_there\n", encoding="utf-8")
    with processes_with(site, tmp_path) as processes:
        web = processes.run("-m", "pacifica.dispatcher")
        assert web.returncode == 1
        assert "entry point lab_kit" in web.stderr
        assert "No module named 'not_there'" in web.stderr
        assert "Traceback" not in web.stderr
