"""The WSGI application of a service that cannot start."""

import json
from pathlib import Path
from typing import Any

import pytest

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
