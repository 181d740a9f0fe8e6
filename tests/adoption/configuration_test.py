"""``celery -A shop worker`` with a configuration that has a fault, or with the file of another program."""

import json
import sqlite3
import sys
from pathlib import Path

import pytest
from celery import Celery
from click.testing import CliRunner

from pacifica.dispatcher.celery_plugin import adopt_named
from pacifica.dispatcher.cli import main

from ..processes import Processes

SHOP = 'from celery import Celery\n\napp = Celery("test_plain_shop", broker="memory://")\n'
ADOPT = "[dispatcher]\nadopt = test_plain_shop:app\n"
CASES = {
    "there is no such file": None,
    "max_attempts = none: must be a whole number": f"{ADOPT}max_attempts = none\n",
    "its file cannot be opened": f"{ADOPT}[database]\npeewee_url = sqliteext:////no/such/folder/db.sqlite3\n",
    "The database's schema is too old": f"{ADOPT}[database]\npeewee_url = sqliteext:///old.sqlite3\n",
}


@pytest.mark.slow
def test_worker_that_cannot_start_prints_one_sentence(processes: Processes) -> None:
    processes.write_config(SHOP, "test_plain_shop.py")
    with sqlite3.connect(processes.cwd / "old.sqlite3") as connection:
        connection.execute("CREATE TABLE job (uuid TEXT)")
    connection.close()
    workers = {}
    for number, (expected, text) in enumerate(CASES.items()):
        if text is not None:
            processes.write_config(text, f"{number}.ini")
        command = ("-m", "celery", "-A", "test_plain_shop", "worker", "-P", "solo")
        workers[expected] = processes.start("worker", command, env={"DISPATCHER_CONFIG": f"{number}.ini"})
    for expected, worker in workers.items():
        assert worker.wait() == 1, expected
        assert expected in worker.output()
        assert [line for line in worker.output().splitlines() if line.startswith("Error: ")]
        assert "Traceback" not in worker.output()


def test_doctor_goes_on_without_an_application_and_its_broker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "config.ini").write_text("[dispatcher]\nadopt = test_no_such_shop:app\n", encoding="utf-8")
    environ = {"DISPATCHER_CONFIG": None, "BROKER_URL": None, "NO_PROXY": "127.0.0.1"}
    ran = CliRunner().invoke(main, ["doctor", "--json", "--url", "http://127.0.0.1:1"], env=environ)
    stages = {stage["stage"]: stage for stage in json.loads(ran.stdout)["stages"]}
    assert "there is no module test_no_such_shop" in stages["tasks"]["message"]
    assert (stages["database"]["verdict"], stages["server"]["verdict"]) == ("not checked", "failed")


@pytest.mark.parametrize(
    "text", [b"\xff\xfe", b"hello\n[dispatcher\n", b"[dispatcher]\nmax_attempts = many\nadopt =\n"]
)
def test_file_of_another_program_changes_nothing(text: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DISPATCHER_CONFIG", raising=False)
    (tmp_path / "config.ini").write_bytes(text)
    app = Celery(set_as_current=False)
    adopt_named(app)
    assert type(app) is Celery


def test_faults_are_those_of_applications_that_are_adopted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DISPATCHER_CONFIG", raising=False)
    app, other = Celery(set_as_current=False), Celery(set_as_current=False)
    monkeypatch.setitem(sys.modules, "test_faulty_shop", type("Module", (), {"app": app}))
    (tmp_path / "config.ini").write_text("[dispatcher]\nadopt = test_faulty_shop:app\nmax_attempts = many\n")
    adopt_named(other)
    assert type(other) is Celery
    assert "runs without the dispatcher" in caplog.text
    assert "(test_faulty_shop:app)" in caplog.text
    with pytest.raises(SystemExit, match=r"Error: .*max_attempts = many: must be a whole number"):
        adopt_named(app)
