"""The probe of ``up``: whether the service works, also while its worker is busy with earlier jobs."""

import pytest
import requests

from pacifica.dispatcher.cli.commands import up
from pacifica.dispatcher.cli.welcome import _probe_result

from ..eventually import eventually
from ..processes import Processes

pytestmark = pytest.mark.slow


def test_busy_worker_is_ready_and_no_worker_is_not(processes: Processes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(up, "READY", 0.3)
    processes.env["BROKER_URL"] = "database://"
    web = processes.start_web()
    probe = lambda: up._probe(web.url, up.ANONYMOUS, [], lambda: False)  # noqa: E731, SLF001 - a function of the command
    with pytest.raises(up.NotReadyError, match=r"was not sent within 0\.3 seconds"):
        probe()
    uuid = requests.post(f"{web.url}/dispatch/sleep", json={"args": [60]}, timeout=20).json()["uuid"]
    processes.start_worker(concurrency=1)
    ready = lambda: requests.get(f"{web.url}/health/ready", timeout=20).json()  # noqa: E731
    eventually(lambda: ready()["workers"]["living"] == 1)
    eventually(lambda: requests.get(f"{web.url}/status/{uuid}", timeout=20).json()["state"] == "STARTED")
    seconds, tasks = probe()
    assert (seconds, "add" in tasks) == (None, True)
    assert "alive and busy" in _probe_result(seconds)
    processes.kill()
