"""A worker serves no metrics: web processes read its work from the record."""

from pathlib import Path
from types import SimpleNamespace

import pytest

from pacifica.dispatcher.config.load import load_settings
from pacifica.dispatcher.container import Container
from pacifica.dispatcher.monitoring.metrics.multiprocess import FOLDER
from pacifica.dispatcher.worker.record_step import RecordStep


def test_a_worker_makes_no_files_for_metrics(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(FOLDER, str(tmp_path / "metrics"))
    environ = {"PEEWEE_URL": f"sqliteext:///{tmp_path}/db.sqlite3", "HOME": "/nonexistent"}
    container = Container(lambda: load_settings(environ=environ))
    RecordStep(SimpleNamespace(app=container.app, hostname="celery@lab"))
    assert "python_service" in vars(container)
    assert not (tmp_path / "metrics").exists()
