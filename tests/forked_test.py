"""A forked process is as if ``python -m`` had started it."""

import json
import os
import shutil
import signal
import subprocess
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from .eventually import eventually
from .forked import FORKS, MEASURING, Forked, can_fork
from .processes import Running

PROGRAM = Path(__file__).parent / "programs" / "describe_process.py"
pytestmark = [pytest.mark.slow, pytest.mark.skipif(not FORKS, reason="processes are forked on Linux only")]


def fork(folder: Path, *arguments: str) -> Forked:
    """Fork a process that describes itself in ``log``."""
    shutil.copy(PROGRAM, folder)
    with (folder / "log").open("wb") as output:
        return Forked(["-m", PROGRAM.stem, *arguments], folder, {"A": "1"}, output)


def description(folder: Path) -> dict[str, Any]:
    """Return what the process has printed."""
    text = eventually((folder / "log").read_text)
    found: dict[str, Any] = json.loads(text)
    return found


def test_forked_process_has_only_what_it_was_given(tmp_path: Path) -> None:
    assert fork(tmp_path).wait(20) == 3
    assert description(tmp_path) == {
        "argv": [],
        "cwd": str(tmp_path),
        "environment": {"A": "1"},
        "leads": True,
        "main": str(tmp_path / PROGRAM.name),
        # Celery's command line, which the fork server imports, imports the plugins of all packages.
        "product": ["pacifica", "pacifica.dispatcher", "pacifica.dispatcher.celery_plugin"],
    }


def test_forked_process_obeys_signals_and_shows_its_end(tmp_path: Path) -> None:
    process = fork(tmp_path, "wait")
    assert description(tmp_path)["argv"] == ["wait"]
    assert process.poll() is None
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(0)
    process.send_signal(signal.SIGKILL)
    assert (process.wait(20), process.poll(), process.returncode) == (-9, -9, -9)
    process.send_signal(signal.SIGTERM)  # It is ignored, like that of subprocess.


def test_process_that_has_the_id_of_an_ended_one_is_not_killed(tmp_path: Path) -> None:
    other = subprocess.Popen(["sleep", "60"], start_new_session=True)
    try:
        ended: Any = SimpleNamespace(pid=other.pid, poll=lambda: 0, wait=lambda: 0)
        Running("web", ended, tmp_path / "log", "").kill()
        assert other.poll() is None
        Running("web", other, tmp_path / "log", "").kill()
        assert other.returncode == -signal.SIGKILL
    finally:
        other.kill()


@pytest.mark.parametrize(
    ("arguments", "own", "expected"),
    [
        (["-m", "celery", "worker"], {}, True),
        (["-m", "celery", "worker"], {"PYTHONPATH": "folder", "BROKER_URL": "database://"}, True),
        (["-m", "celery", "worker"], {"LD_PRELOAD": "libfaketime.so"}, False),
        (["-m", "celery", "worker"], {MEASURING: "config"}, False),
        (["-m", "celery", "worker"], {"PYTHONHASHSEED": "0"}, False),
        (["-m", "pip"], {}, False),
        (["-c", "pass"], {}, False),
    ],
)
def test_only_processes_that_the_libraries_do_not_change_are_forked(
    arguments: list[str], own: dict[str, str], expected: bool
) -> None:
    outside = {name: value for name, value in os.environ.items() if name != MEASURING}
    assert can_fork(arguments, {**outside, **own}) is expected
