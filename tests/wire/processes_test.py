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


def test_killed_process_is_replaced_and_the_others_serve(web: Running) -> None:

    before = pids(web)
    os.kill(min(before), signal.SIGKILL)
    eventually(lambda: len(pids(web) - before) == 1 and len(pids(web)) == 2, 30)
    web.wait_until_it_says("ended with status -9; another one takes its place")
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
