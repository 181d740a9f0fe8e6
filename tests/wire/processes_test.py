"""Several processes that serve on one port."""

import os
import re
import signal
import socket
from pathlib import Path

import pytest
import requests

from ..eventually import eventually
from ..processes import Processes, Running

pytestmark = pytest.mark.slow


@pytest.fixture
def web(processes: Processes) -> Running:
    """A server of two processes."""
    processes.env["BROKER_URL"] = "database://"
    processes.write_config("[server]\nprocesses = 2\n")
    web = processes.start_web()
    web.wait_until_it_says(r"(?s)Bus STARTED.*Bus STARTED")
    return web


def counted(web: Running) -> float:
    text = requests.get(f"{web.url}/metrics", timeout=20).text
    found = re.search(r'dispatches_total\{outcome="accepted",task="add"\} (\S+)', text)
    return float(found[1]) if found else 0.0


def pids(web: Running) -> set[int]:
    path = Path(f"/proc/{web.popen.pid}/task/{web.popen.pid}/children")
    return set(map(int, path.read_text(encoding="ascii").split()))


def test_metrics_of_all_processes_add_up(web: Running) -> None:
    for _ in range(20):  # Each on a connection of its own.
        assert requests.get(f"{web.url}/dispatch/add/2/2", timeout=20).status_code == 200
    assert {counted(web) for _ in range(10)} == {20.0}


@pytest.mark.parametrize(("number", "status"), [(signal.SIGTERM, 0), (signal.SIGKILL, -9)])
def test_process_that_an_operator_ends_is_replaced_and_the_others_serve(
    web: Running, number: signal.Signals, status: int
) -> None:
    before = pids(web)
    os.kill(min(before), number)
    eventually(lambda: len(pids(web) - before) == 1 and len(pids(web)) == 2, 30)
    web.wait_until_it_says(f"ended with status {status}; another one takes its place")
    assert requests.get(f"{web.url}/health/live", timeout=20).status_code == 200


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signal_stops_all_processes(web: Running, number: signal.Signals) -> None:
    web.send(number)
    assert web.wait() == 0
    assert web.output().count("Bus EXITED") == 2


def test_processes_end_when_their_parent_is_killed(web: Running) -> None:
    os.kill(web.popen.pid, signal.SIGKILL)
    eventually(lambda: not is_listening(web), 30)


def is_listening(web: Running) -> bool:
    host, _, port = web.url.removeprefix("http://").partition(":")
    with socket.socket() as probe:
        return probe.connect_ex((host, int(port))) == 0


def test_fault_of_the_configuration_stops_all(processes: Processes) -> None:
    processes.write_config("[server]\nprocesses = 2\n[dispatcher]\ntasks = no_such_module\n")
    ran = processes.run("-m", "pacifica.dispatcher", "-p", "0", env={"BROKER_URL": "database://"})
    assert ran.returncode == 1
    assert "no_such_module" in ran.stderr


SUPERVISOR = """
import os, socket, sys
from pacifica.dispatcher.web.server import supervisor
supervisor.TRIAL = float(sys.argv[1])
supervisor.PAUSE = 0.01
command = [sys.executable, "-c", sys.argv[2]]
sys.exit(supervisor.Supervisor(command, 2, socket.socket(), os.environ).run())
"""
FIRST_FAIL = """
import sys, time
from pathlib import Path
with Path("starts").open("a") as starts:
    starts.write("x")
if Path("starts").stat().st_size <= 4:
    sys.exit(1)
time.sleep(60)
"""


@pytest.mark.parametrize(("child", "status"), [("import os; os.abort()", 134), ("raise SystemExit(3)", 3)])
def test_process_that_fails_or_crashes_at_the_start_of_the_service_stops_it(
    processes: Processes, child: str, status: int
) -> None:
    assert processes.run("-c", SUPERVISOR, "30", child).returncode == status


def test_process_that_cannot_start_later_stops_no_other(processes: Processes) -> None:
    """The database may be away while one process is replaced, and the others serve."""
    supervisor = processes.start("supervisor", ["-c", SUPERVISOR, "0", FIRST_FAIL])
    starts = processes.cwd / "starts"
    eventually(lambda: starts.exists() and starts.stat().st_size == 6, 20)
    assert supervisor.popen.poll() is None
    assert supervisor.stop(10) == 0
