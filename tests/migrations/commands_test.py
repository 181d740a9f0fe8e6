"""``dbsync`` and ``dbchk`` as processes, and the processes that refuse a schema of another version."""

import json
import subprocess
from collections.abc import Iterator
from contextlib import closing

import pytest
import requests
from click.testing import CliRunner, Result

from pacifica.dispatcher.cli import main
from pacifica.dispatcher.store.database import Database

from ..e2e.stack import Stack
from ..eventually import eventually
from ..processes import Processes, free_port
from .layouts import DATED, make_historical, old_ids
from .walk_test import NEWEST, run

COMMANDS = "from pacifica.dispatcher.cli import main; main(prog_name='pacifica-dispatcher-cmd')"
LAST = f"{NEWEST:04}_"


def command(processes: Processes, *arguments: str, **env: str) -> "subprocess.CompletedProcess[str]":
    """Run ``pacifica-dispatcher-cmd`` with these arguments as a process."""
    ran = processes.run("-c", COMMANDS, *arguments, env=env)
    assert "Traceback" not in ran.stderr
    return ran


def invoke(*arguments: str) -> Result:
    """Run the same command in this process, which is faster."""
    return CliRunner().invoke(main, arguments)


@pytest.fixture
def database(processes: Processes, monkeypatch: pytest.MonkeyPatch) -> Iterator[Database]:
    """The empty SQLite file that commands find in their working directory."""
    monkeypatch.chdir(processes.cwd)
    with closing(Database(f"sqliteext:///{processes.cwd}/db.sqlite3")) as opened:
        yield opened


def forget_history(database: Database) -> None:
    """Leave the database as a version without migrations would."""
    database.wait_until_up(1, 0.0)
    run(database, "DROP TABLE schema_migration")


def come_from_the_future(database: Database) -> None:
    """Leave the database as a newer version would."""
    database.wait_until_up(1, 0.0)
    run(database, "INSERT INTO schema_migration (name, applied) VALUES ('0099_future', '2030-01-01')")


def test_dbsync_creates_the_schema_and_dbchk_confirms_it(processes: Processes, database: Database) -> None:
    (processes.cwd / "db.sqlite3").touch()
    before = command(processes, "dbchk", "--json")
    assert (before.returncode, json.loads(before.stdout)["found"]) == (1, 0)
    planned = invoke("dbsync", "--dry-run")
    assert planned.stdout.splitlines() == [f"up    {name}" for name in json.loads(before.stdout)["pending"]]
    assert not database.schema().current
    synced = command(processes, "dbsync")
    assert synced.returncode == 0
    assert synced.stdout.splitlines()[-1] == f"The schema is at version {NEWEST}."
    assert f"up    {LAST}" in synced.stdout
    assert " s\n" in synced.stdout
    assert "there is nothing to do" in invoke("dbsync").stdout
    checked = command(processes, "dbchk", "--equal")
    assert (checked.returncode, checked.stdout.splitlines()[-1]) == (0, "It is exactly the schema of this release.")


def test_dbsync_goes_down_only_with_a_confirmation(processes: Processes, database: Database) -> None:
    database.wait_until_up(1, 0.0)
    refused = invoke("dbsync", "--to", "0")
    assert (refused.exit_code, database.schema().found) == (1, NEWEST)
    assert "is dropped, with all its data" in refused.stderr
    confirmed = command(processes, "dbsync", "--to", "0", "--yes")
    assert (confirmed.returncode, database.schema().found) == (0, 0)
    assert confirmed.stdout.splitlines()[-1] == "The schema is at version 0."


def test_dbchk_distinguishes_usable_from_equal(database: Database) -> None:
    database.wait_until_up(1, 0.0)
    run(database, "DROP INDEX job_due")
    usable, equal = invoke("dbchk", "--json"), invoke("dbchk", "--equal")
    assert (usable.exit_code, equal.exit_code) == (0, 1)
    report = json.loads(usable.stdout)
    assert report["differences"] == [{"table": "job", "message": "index job_due is missing", "breaks": False}]
    assert (report["found"], report["expected"], report["usable"], report["equal"]) == (NEWEST, NEWEST, True, False)
    assert "difference      job: index job_due is missing" in equal.stdout
    run(database, "DROP TABLE label")
    assert invoke("dbchk").exit_code == 1


def test_dbchk_reports_a_newer_schema_as_unusable(database: Database) -> None:
    come_from_the_future(database)
    checked = invoke("dbchk")
    assert (checked.exit_code, "newer than this release" in checked.stdout) == (1, True)
    report = json.loads(invoke("dbchk", "--json").stdout)
    assert (report["found"], report["usable"], report["equal"]) == (99, False, False)


def test_dbchk_reports_a_schema_of_a_development_version(database: Database) -> None:
    database.wait_until_up(1, 0.0)
    run(database, "UPDATE schema_migration SET name = '0001_first_layout'")
    checked = invoke("dbchk")
    assert (checked.exit_code, "development version" in checked.stdout) == (1, True)
    synced = invoke("dbsync")
    assert (synced.exit_code, "0001_first_layout" in synced.stderr) == (1, True)


def test_the_exit_code_shows_why_a_command_failed(processes: Processes, database: Database) -> None:
    away = f"postgresql://me:secret@127.0.0.1:{free_port()}/db"
    for name in ("dbsync", "dbchk"):
        ran = command(processes, name, PEEWEE_URL=away)
        assert (ran.returncode, ran.stdout) == (3, "")
        assert "it cannot be reached" in ran.stderr
        assert "secret" not in ran.stderr
    wrong = invoke("dbsync", "--to", "99")
    assert wrong.exit_code == 2
    assert f"no version above {NEWEST}" in wrong.stderr


def test_server_and_worker_refuse_a_schema_that_is_too_old(processes: Processes, database: Database) -> None:
    forget_history(database)
    sentence = "is version 0, and this version of Pacifica Dispatcher needs"
    server = processes.run("-m", "pacifica.dispatcher", "-p", str(free_port()), env={"BROKER_URL": "database://"})
    worker = processes.run("-m", "celery", "-A", "pacifica.dispatcher.tasks", "worker", "-c", "1")
    for ran in (server, worker):
        assert ran.returncode == 1
        assert sentence in ran.stderr
        assert "pacifica-dispatcher-cmd dbsync" in ran.stderr
        assert "Traceback" not in ran.stderr
    assert "pacifica-dispatcher-cmd dbsync" in invoke("token", "list").stderr
    assert invoke("dbsync").exit_code == 0
    assert invoke("token", "list").exit_code == 0


def test_server_worker_and_gunicorn_refuse_a_schema_that_is_too_new(processes: Processes, database: Database) -> None:
    come_from_the_future(database)
    sentence = "is version 99, and this version of Pacifica Dispatcher knows"
    server = processes.run("-m", "pacifica.dispatcher", "-p", str(free_port()), env={"BROKER_URL": "database://"})
    worker = processes.run("-m", "celery", "-A", "pacifica.dispatcher.tasks", "worker", "-c", "1")
    for ran in (server, worker):
        assert (ran.returncode, sentence in ran.stderr) == (1, True), ran.stderr
        assert "Install the newer version" in ran.stderr
    synced = invoke("dbsync")
    assert (synced.exit_code, sentence in synced.stderr) == (1, True)

    port = free_port()
    own = ("-c", "python:pacifica.dispatcher.gunicorn_conf", "-w", "1", "-b", f"127.0.0.1:{port}")
    gunicorn = processes.start("gunicorn", ["-m", "gunicorn", *own, "pacifica.dispatcher.wsgi:application"])

    def answers() -> bool:
        try:
            return requests.get(f"http://127.0.0.1:{port}/tasks", timeout=5).status_code == 503
        except requests.ConnectionError:
            return False

    eventually(answers, 30)
    assert sentence in gunicorn.output()
    run(database, "DELETE FROM schema_migration WHERE name = '0099_future'")
    eventually(lambda: requests.get(f"http://127.0.0.1:{port}/tasks", timeout=5).ok)

    come_from_the_future(database)
    eventually(lambda: requests.get(f"http://127.0.0.1:{port}/health/ready", timeout=5).status_code == 503)
    ready = requests.get(f"http://127.0.0.1:{port}/health/ready", timeout=5).json()
    assert sentence in ready["checks"]["schema"]["message"]


def test_the_results_of_the_historical_table_are_served(processes: Processes, database: Database) -> None:
    plain, invalid = old_ids(2)
    make_historical(database, {plain: '{"sum": 4}', invalid: "no JSON"}, {old_ids(1)[0]: "5"})
    synced = command(processes, "dbsync")
    assert synced.returncode == 0, synced.stderr
    assert "2 of 3 rows of dispatchermodel became jobs" in synced.stderr
    stack = Stack(processes, processes.start_web(env={"BROKER_URL": "database://"}))
    status = stack.get(f"/status/{plain}").json()
    assert (status["state"], status["task"], status["result"]) == ("SUCCESS", "unknown", {"sum": 4})
    assert (status["created"], status["finished"]) == DATED
    assert stack.get(f"/result/{plain}").json() == {"sum": 4}
    assert stack.get(f"/result/{invalid}").json() == "no JSON"
    assert len(stack.get("/status?task=unknown&state=SUCCESS").json()["jobs"]) == 2
    assert [event["kind"] for event in stack.get(f"/status/{plain}/events").json()["events"]] == ["SUCCESS"]
    retried = stack.request("POST", f"/status/{plain}/retry")
    assert (retried.status_code, retried.json()["type"].rpartition(":")[2]) == (404, "unknown-task")
