"""The WSGI application of a service that cannot start."""

import importlib
import json
import sys
import warnings
from pathlib import Path
from typing import Any
from weakref import WeakSet

import pytest
from celery import _state

from pacifica.dispatcher.config.load import load_settings
from pacifica.dispatcher.container import Container
from pacifica.dispatcher.core.errors import ConfigError
from pacifica.dispatcher.worker import declaration
from pacifica.dispatcher.wsgi import LazyApplication, build

from .wsgi import respond


def test_broken_task_module_is_answered_as_cannot_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "config.ini").write_text(
        "[dispatcher]\ntasks = f_broken\n[celery]\nbroker_url = database://\n", "utf-8"
    )
    (tmp_path / "f_broken.py").write_text("{}['a']\n", encoding="utf-8")
    application = LazyApplication(build)
    for _ in range(2):
        status, _, body = respond(application, "GET", "/tasks")
        assert (status[:3], json.loads(body)["type"]) == ("503", "urn:pacifica-dispatcher:problem:cannot-start")
    assert caplog.text.count("[dispatcher] tasks = f_broken: f_broken.py:1: KeyError: 'a'. Correct the module") == 2


def test_unexpected_failure_of_the_start_is_answered_without_details(caplog: pytest.LogCaptureFixture) -> None:
    def fail() -> Any:
        raise OSError("/srv/secret")

    status, headers, body = respond(LazyApplication(fail), "GET", "/tasks")
    assert (status[:3], headers["Content-Type"]) == ("503", "application/problem+json")
    assert b"secret" not in body
    assert "/srv/secret" in caplog.text


def test_repaired_task_module_is_used_as_it_is_now(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(_state, "_on_app_finalizers", set(_state._on_app_finalizers))  # noqa: SLF001 - restored
    monkeypatch.setattr(_state, "_apps", WeakSet())  # Those of other tests would get the task, too.
    monkeypatch.setattr(declaration, "DECLARED", dict(declaration.DECLARED))
    monkeypatch.setattr(sys, "modules", dict(sys.modules))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    (tmp_path / "config.ini").write_text(
        "[dispatcher]\ntasks = f_repaired\n[celery]\nbroker_url = database://\n", "utf-8"
    )
    source = "from pacifica.dispatcher import task\n@task\ndef one({}): ...\n"
    (tmp_path / "f_repaired.py").write_text(source.format("old: int") + "nope\n", encoding="utf-8")
    container = Container(load_settings)
    for _ in range(2):
        with pytest.raises(ConfigError, match="name 'nope' is not defined"):
            container.app.registry  # noqa: B018 - the property raises
    (tmp_path / "f_repaired.py").write_text(source.format("new: int"), encoding="utf-8")
    importlib.invalidate_caches()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        schema = container.registry["f_repaired.one"].arguments_schema()
    assert list(schema["properties"]) == ["new"]
