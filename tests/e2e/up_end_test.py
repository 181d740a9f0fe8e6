"""The ends of ``up`` that leave neither a running job without an account nor a process behind."""

import os
import signal
from contextlib import closing, suppress
from pathlib import Path

import pytest

from pacifica.dispatcher.store.database import Database
from pacifica.dispatcher.store.jobs import JobStore

from ..eventually import eventually
from ..processes import Processes, Running, free_port
from .circle_test import curl
from .commands_test import start_up


def descendants(pid: int) -> set[int]:
    """The processes that this one has started, and those that they have started."""
    with suppress(OSError):
        path = Path(f"/proc/{pid}/task/{pid}/children")
        own = {int(child) for child in path.read_text().split()}
        return own.union(*(descendants(child) for child in own))
    return set()


def living(pids: set[int]) -> set[int]:
    """Those of the processes that have not ended."""
    found = set()
    for pid in pids:
        with suppress(OSError):
            if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z":
                found.add(pid)
    return found


def running_job(up: Running, processes: Processes) -> str:
    """Dispatch a job that runs for longer than the test, and wait until it runs."""
    uuid = curl(f"{up.url}/dispatch/sleep/300")
    with closing(Database(f"sqliteext:///{processes.cwd}/db.sqlite3")) as database:
        jobs = JobStore(database)
        eventually(lambda: jobs.get(uuid).state.value == "STARTED", 20)  # type: ignore[union-attr]
    return uuid


def test_second_ctrl_c_puts_running_jobs_back_and_says_so(processes: Processes) -> None:
    up = start_up(processes, free_port())
    up.wait_until_it_says("Ctrl-C stops", 60)
    uuid = running_job(up, processes)
    started = descendants(up.popen.pid)
    up.send(signal.SIGINT)
    up.wait_until_it_says("Ctrl-C again puts them back")
    up.send(signal.SIGINT)
    assert up.wait(30) == 0
    assert "1 running job was put back" in up.output()
    assert "Traceback" not in up.output()
    assert living(started) == set()
    with closing(Database(f"sqliteext:///{processes.cwd}/db.sqlite3")) as database:
        job = JobStore(database).get(uuid)
        assert job is not None
        assert (job.state.value, [event.kind for event in JobStore(database).events(uuid)][-1]) == ("PENDING", "LOST")


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="it finds processes in /proc")
def test_killed_up_leaves_no_process(processes: Processes) -> None:
    up = start_up(processes, free_port())
    up.wait_until_it_says("Ctrl-C stops", 60)
    started = descendants(up.popen.pid)
    assert len(started) >= 4
    os.kill(up.popen.pid, signal.SIGKILL)
    eventually(lambda: living(started) == set(), 30, "processes were left behind")
