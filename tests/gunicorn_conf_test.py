"""The settings for gunicorn: the folder for metrics, shared memory, and no control socket."""

import gc
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import Mock

import pytest

from pacifica.dispatcher import gunicorn_conf
from pacifica.dispatcher.monitoring.metrics.shared_folder import METRICS, OURS

from .processes import Processes


@pytest.fixture(autouse=True)
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder for temporary files; the environment names no folder for metrics."""
    monkeypatch.setenv(METRICS, "")
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def master(user: int | None = None, group: int | None = None) -> Any:
    """The attributes of gunicorn's master that are used."""
    cfg = SimpleNamespace(uid=os.geteuid() if user is None else user, gid=os.getegid() if group is None else group)
    return SimpleNamespace(cfg=cfg, log=Mock())


def test_the_folder_belongs_to_the_user_of_the_workers(monkeypatch: pytest.MonkeyPatch) -> None:
    given = []
    monkeypatch.setattr(os, "chown", lambda _, user, group: given.append((user, group)))
    gunicorn_conf.on_starting(master(65534, 65533))
    assert given == [(65534, 65533)]
    assert Path(os.environ[METRICS]).is_dir()


def test_a_folder_that_cannot_be_made_is_logged(temporary: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(temporary / "gone"))
    server = master()
    gunicorn_conf.on_starting(server)
    assert METRICS not in os.environ
    server.log.warning.assert_called_once()


def test_only_folders_of_killed_masters_are_removed(temporary: Path) -> None:
    for name in (f"{OURS}left", "other", "linked"):
        (temporary / name).mkdir()
        (temporary / name / "counter_0.db").touch()
    (temporary / f"{OURS}link").symlink_to(temporary / "linked")
    gunicorn_conf.on_starting(master())
    living = os.environ[METRICS]
    gunicorn_conf.on_starting(master())  # Like a new master after SIGUSR2.
    assert not (temporary / f"{OURS}left").exists()
    assert (temporary / "other/counter_0.db").exists()
    assert (temporary / "linked/counter_0.db").exists()
    assert Path(living).is_dir()
    assert os.environ[METRICS] != living


def test_a_folder_of_another_user_is_left_alone(temporary: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (temporary / f"{OURS}left").mkdir()
    own = os.geteuid()
    monkeypatch.setattr(os, "geteuid", lambda: own + 1)
    monkeypatch.setattr(os, "chown", lambda *_: None)
    gunicorn_conf.on_starting(master(own + 1))
    assert (temporary / f"{OURS}left").exists()


@pytest.fixture
def thawed() -> Iterator[None]:
    """A garbage collector without frozen objects, before and after the test."""
    gc.unfreeze()
    yield
    gc.unfreeze()


@pytest.mark.usefixtures("thawed")
def test_only_the_first_fork_excludes_objects_from_garbage_collection() -> None:
    gunicorn_conf.pre_fork(master(), Mock())
    kept = gc.get_freeze_count()
    assert kept
    later = [[number] for number in range(1000)]
    gunicorn_conf.pre_fork(master(), Mock())
    assert gc.get_freeze_count() <= kept
    assert len(later) == 1000


def test_a_folder_named_in_the_environment_is_used(temporary: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(METRICS, str(temporary / "named"))
    gunicorn_conf.on_starting(master())
    assert os.environ[METRICS] == str(temporary / "named")
    assert not list(temporary.iterdir())


def test_gunicorn_makes_no_control_socket(processes: Processes) -> None:
    processes.env["BROKER_URL"] = "database://"
    processes.start_gunicorn(workers=1, env={"XDG_RUNTIME_DIR": ""})
    assert not list(processes.cwd.rglob("gunicorn.ctl"))
