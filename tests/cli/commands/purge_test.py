"""``purge`` as a process: the jobs that it deletes, its output and its exit codes."""

import os
import pty
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, suppress

import pytest

from pacifica.dispatcher import orm
from pacifica.dispatcher.core import strict_json
from pacifica.dispatcher.core.job import State, now
from pacifica.dispatcher.store.database import Database
from pacifica.dispatcher.store.jobs import JobStore

from ...processes import Processes
from ...store.conftest import a_job
from ..conftest import CODE

COMMAND = ("-c", CODE, "purge")
DAY = 86_400_000_000


@pytest.fixture
def database(processes: Processes) -> Iterator[Database]:
    """The database of ``config.ini``, where jobs of two tasks ended 10, 20 … 90 days ago, three in each state."""
    processes.write_config("[retention]\npurge_pause = 0\n")
    with closing(Database(f"sqliteext:///{processes.cwd}/db.sqlite3")) as opened:
        opened.wait_until_up(1, 0.0)
        jobs = JobStore(opened)
        jobs.add([a_job(), a_job(state=State.STARTED, created=1)])
        for number, state in enumerate([State.SUCCESS, State.FAILURE, State.REVOKED] * 3, 1):
            at = now() - number * 10 * DAY
            task = "lab.scan" if number > 6 else "add"
            jobs.add([a_job(task=task, state=state, created=at, finished=at + DAY, due=None)])
        yield opened


def count(database: Database) -> int:
    """The number of jobs in the database."""
    return int(database.read(orm.Job.select().count))


def test_dry_run_counts_the_jobs_that_are_then_purged(processes: Processes, database: Database) -> None:
    planned = processes.run(*COMMAND, "--older-than", "45d", "--dry-run", "--json")
    assert (planned.returncode, planned.stderr) == (0, "")
    jobs = {"SUCCESS": 1, "FAILURE": 2, "REVOKED": 2}
    assert strict_json.loads(planned.stdout) == {"dry_run": True, "jobs": jobs, "total": 5}
    assert count(database) == 11
    done = processes.run(*COMMAND, "--older-than", "45d")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "5 jobs purged:\n  SUCCESS            1\n  FAILURE            2\n  REVOKED            2\n"
    assert count(database) == 6
    some = processes.run(*COMMAND, "--older-than", "1d", "--state", "success", "--task", "lab.scan", "--task", "add")
    assert some.stdout == "2 jobs purged:\n  SUCCESS            2\n"
    assert processes.run(*COMMAND, "--older-than", "1d", "--task", "unknown").stdout == "0 jobs purged.\n"
    assert count(database) == 4


def test_without_an_age_the_settings_decide_and_a_missing_one_is_refused(
    processes: Processes, database: Database
) -> None:
    asked = processes.run(*COMMAND)
    assert (asked.returncode, asked.stdout, count(database)) == (2, "", 11)
    assert "Give --older-than, such as 30d, or set [retention] success_seconds" in asked.stderr
    processes.write_config(f"[retention]\nsuccess_seconds = {65 * 86_400}\n")
    done = processes.run(*COMMAND, "--json")
    assert strict_json.loads(done.stdout) == {"dry_run": False, "jobs": {"SUCCESS": 1}, "total": 1}
    assert "No age is set for jobs that ended as FAILURE. Give" in processes.run(*COMMAND, "--state", "FAILURE").stderr


def test_unreachable_database_ends_purge_with_3(processes: Processes) -> None:
    processes.write_config("[database]\npeewee_url = postgresql://postgres@127.0.0.1:1/none\n")
    done = processes.run(*COMMAND, "--older-than", "1d")
    assert (done.returncode, done.stdout) == (3, "")
    assert "cannot be reached" in done.stderr


def test_terminal_shows_the_progress(processes: Processes, database: Database) -> None:
    shown, inside = pty.openpty()
    command = [sys.executable, *COMMAND, "--older-than", "1d"]
    environment = {"PATH": os.environ["PATH"], "HOME": str(processes.cwd), "TERM": "xterm", "COLUMNS": "80"}
    done = subprocess.run(
        command, cwd=processes.cwd, stderr=inside, stdout=subprocess.PIPE, env=environment, check=True, timeout=60
    )
    os.close(inside)
    seen = b""
    with suppress(OSError), os.fdopen(shown, "rb", buffering=0) as terminal:
        while piece := terminal.read(4096):
            seen += piece
    assert b"Purging" in seen
    assert b"9/9" in seen
    assert done.stdout.startswith(b"9 jobs purged:\n")
