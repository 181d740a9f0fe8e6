"""``doctor --adopt`` and ``celery -A … dispatcher``: each task and each part of an application, in words."""

import json
import os
import pty
import subprocess
import sys
import termios
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest

from ..cli.conftest import CODE
from ..processes import Processes
from .a_shop import make_shop

pytestmark = pytest.mark.slow

DOCTOR = ("-c", CODE, "doctor", "--adopt")
CELERY = ("-m", "celery", "-A", "shop", "dispatcher")


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Processes]:
    """Processes in the folder of an application whose servers do not exist."""
    folder = tmp_path_factory.mktemp("shop")
    make_shop(folder)
    with Processes(folder) as processes:
        yield processes


@pytest.fixture(scope="module")
def report(shop: Processes) -> Any:
    """The report as JSON, with the exit code as ``code``."""
    ran = shop.run(*DOCTOR, "--json")
    assert ran.stderr == ""
    assert not [*shop.cwd.glob("*.sqlite3*")], "the command has made a database"
    return {**json.loads(ran.stdout), "code": ran.returncode}


def task(report: Any, name: str) -> Any:
    return next(one for one in report["tasks"] if one["name"] == name)


def parts(report: Any, name: str) -> str:
    return "\n".join(f"{one['text']} {one['advice']}" for one in report["parts"] if one["part"] == name)


def test_each_task_has_its_signature_and_its_differences(report: Any) -> None:
    assert [one["name"] for one in report["tasks"]] == [
        "not a name",
        *(f"shop.tasks.{name}" for name in ("add", "pickled", "scan", "slow")),
    ]
    add, scan = task(report, "shop.tasks.add"), task(report, "shop.tasks.scan")
    assert (add["untyped"], add["notes"], add["result"]) == ({}, {"at most once": ""}, {"type": "integer"})
    assert add["place"].startswith("shop/tasks.py:")
    assert {*scan["arguments"]["properties"]} == {"names", "thing", "third", "rest"}
    assert {*scan["untyped"]} == {"thing", "third"}
    assert "name 'Thing' is not defined" in scan["untyped"]["thing"]
    untyped = scan["notes"]["any JSON"]
    assert untyped.endswith("; third (no annotation)")
    expected = {"starts again": "", "no result": "", "rate limit": "10/m", "priority": "7", "bypassed": "update_state"}
    assert scan["notes"] == {"any JSON": untyped, **expected}
    assert task(report, "shop.tasks.pickled")["notes"]["serializer"] == "pickle"
    assert "shop/tasks.py" in task(report, "not a name")["notes"]["cannot be dispatched"]


def test_each_part_of_the_application_is_named(report: Any) -> None:
    assert parts(report, "broker").strip() == "pyamqp://me:***@127.0.0.1:1//, of the application"
    assert "celery: 3 tasks (shop.tasks.add, " in parts(report, "queue")
    assert "slow: 1 task (shop.tasks.slow) Start a worker for it: -Q slow" in parts(report, "queue")
    assert "redis://:***@127.0.0.1:1/9 gets no results" in parts(report, "results")
    assert "accept_content has pickle" in parts(report, "messages")
    assert "enable_utc = False has no effect: all times are UTC." in parts(report, "setting")
    assert "nightly: shop.tasks.add, crontab: 0 3 * * *" in parts(report, "beat")
    assert "often: other.task (no adopted task: it stays a plain message), every 30 s" in parts(report, "beat")
    assert "hush" not in json.dumps(report)


def test_faults_decide_the_exit_code(report: Any) -> None:
    assert (report["code"], report["ok"]) == (1, False)
    assert report["to_do"] == ["missing", "not a name", "shop.tasks.pickled"]
    assert "module shop.broken: shop/broken.py:3: ModuleNotFoundError" in parts(report, "missing")


def test_celery_shows_the_same_and_how_to_adopt_without_a_configuration(shop: Processes, report: Any) -> None:
    same = json.loads(shop.run(*CELERY, "--json").stdout)
    assert {**same, "code": 1} == report
    elsewhere = {"DISPATCHER_CONFIG": os.devnull}
    ran = shop.run(*CELERY, "--json", env=elsewhere)
    other = json.loads(ran.stdout)
    assert (ran.returncode, other["tasks"]) == (1, report["tasks"])
    assert other["parts"][0]["advice"] == "[dispatcher] adopt = shop.celery:app"
    without = shop.run(*DOCTOR, env=elsewhere)
    assert (without.returncode, without.stdout) == (1, "")
    assert "adopt = shop.celery:app" in without.stderr


def test_report_fits_the_terminal_and_explains_each_word_once(shop: Processes) -> None:
    for columns in (80, 120):
        text = in_terminal(shop.cwd, columns)
        assert max(map(len, text.splitlines())) <= columns
        assert "shop.tasks.add(x: integer, y: integer) -> integer\n" in text
        assert text.count("at most once (") == 1
        assert text.rstrip().endswith("Something must be done: missing, not a name, shop.tasks.pickled.")
    lines = shop.run(*DOCTOR).stdout.splitlines()
    assert "    serializer: pickle; any JSON: x (no annotation); at most once" in lines


def in_terminal(folder: Path, columns: int) -> str:
    """The output of the command in a terminal of this width, without colours."""
    own, theirs = pty.openpty()
    termios.tcsetwinsize(theirs, (24, columns))
    environ = {name: value for name, value in os.environ.items() if name not in ("COLUMNS", "DISPATCHER_CONFIG")}
    with subprocess.Popen([sys.executable, *DOCTOR], cwd=folder, stdout=theirs, env=environ):
        os.close(theirs)
        return click.unstyle("".join(_read(own))).replace("\r\n", "\n")


def _read(descriptor: int) -> Iterator[str]:
    with os.fdopen(descriptor, encoding="utf-8", newline="") as terminal:
        try:
            yield from terminal
        except OSError:  # EIO: the process has ended.
            return
