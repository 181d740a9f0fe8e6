"""``config``: the settings that it shows, and the faults that it finds."""

import json

from pacifica.dispatcher.config.settings import SETTINGS, example_ini

from ...processes import Processes
from ..conftest import Run


def test_every_setting_is_shown_with_its_source_but_no_password(processes: Processes, run: Run) -> None:
    processes.write_config(
        "[database]\npeewee_url = postgresql://lab:hidden@db.example.org/jobs\n"
        '[celery]\nworker_concurrency = 3\nbroker_transport_options = {"password": "hidden"}\n'
    )
    ran = run("config", "show", env={"BROKER_URL": "redis://:hidden@broker.example.org/0"})
    assert ran.returncode == 0
    assert ran.stderr == f"The configuration file is {processes.cwd}/config.ini.\n"
    lines = [line.split() for line in ran.stdout.splitlines()]
    assert {line[0] for line in lines[1:]} >= {f"{setting.section}.{setting.key}" for setting in SETTINGS}
    assert ["database.peewee_url", "postgresql://lab:***@db.example.org/jobs", "file"] in lines
    assert ["celery.broker_url", "redis://:***@broker.example.org/0", "environment", "BROKER_URL"] in lines
    assert ["celery.worker_concurrency", "3", "file"] in lines
    assert ["dispatcher.max_attempts", "3", "default"] in lines
    assert "hidden" not in ran.stdout

    shown = json.loads(run("config", "show", "--json").stdout)
    assert shown["file"] == f"{processes.cwd}/config.ini"
    assert {
        "section": "celery",
        "key": "worker_concurrency",
        "value": "3",
        "from": "file",
        "default": None,
    } in shown["settings"]


def test_defaults_are_printed_as_a_configuration_file(run: Run) -> None:
    assert run("config", "show", "--defaults").stdout == example_ini()


def test_check_lists_all_faults_at_once(processes: Processes, run: Run) -> None:
    (processes.cwd / "broken.py").write_text("1 / 0\n", encoding="utf-8")
    path = processes.write_config(
        "[database]\npeewee_url = sqliteext:////no/such/folder/db.sqlite3\n"
        "[celery]\nbroker_url = amqp://;carrier-pigeon://lab:hidden@loft/\n"
        "[dispatcher]\ntasks = broken, missing\nmax_attempts = many\n"
    )
    ran = run("config", "check")
    assert (ran.returncode, ran.stdout) == (2, "")
    first, *faults = ran.stderr.splitlines()
    assert first == f"Error: {path} has 5 faults:"
    for line, begin, end in zip(
        faults,
        (
            "[dispatcher] max_attempts = many: ",
            "[database] peewee_url = sqliteext:////no/such/folder/db.sqlite3: ",
            "[celery] broker_url = amqp://;carrier-pigeon:***@loft/: ",
            "[dispatcher] tasks = broken, missing: ",
            "[dispatcher] tasks = broken, missing: ",
        ),
        (
            "must be a whole number from 1 to 1000000",
            "there is no directory /no/such/folder",
            "its transport cannot be used: No such transport: carrier-pigeon",
            "broken.py:1: ZeroDivisionError: division by zero. Correct the module and start again.",
            (
                f"there is no module missing in {processes.cwd} or among the installed packages. Put missing.py into "
                "that folder, or start in the folder that has it; write the name of a module in a package with dots "
                "(package.module)."
            ),
        ),
        strict=True,
    ):
        assert line == f"  {begin}{end} (from {path})"

    assert run("config", "show").returncode == 2


def test_valid_file_has_no_fault(processes: Processes, run: Run) -> None:
    path = processes.write_config("[celery]\nbroker_url = database://\n", "other.ini")
    ran = run("config", "check", "other.ini")
    assert (ran.returncode, ran.stdout) == (0, f"{path} has no fault.\n")


def test_check_names_tasks_that_cannot_be_dispatched(processes: Processes, run: Run) -> None:
    source = "from pacifica.dispatcher import task\n\n@task\ndef scan(frame: 'Nope') -> int: ...\n"
    source += "@task(name='a\\nb')\ndef two() -> int: ...\n"
    (processes.cwd / "lab.py").write_text(source, encoding="utf-8")
    (processes.cwd / "plain.py").write_text("def mean(): ...\n", encoding="utf-8")
    processes.write_config("[dispatcher]\ntasks = lab, plain\n")
    ran = run("config", "check")
    assert (ran.returncode, ran.stdout) == (2, "")
    assert "  lab.py:3: task lab.scan cannot be dispatched: the annotation of argument frame " in ran.stderr
    assert "  lab.py:5: task a\\nb cannot be dispatched: its name 'a\\nb' may only have letters" in ran.stderr
    assert "Warning: plain.py has 1 function (mean) and no @task" in ran.stderr
