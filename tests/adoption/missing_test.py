"""A service that lacks a module of its application: it starts with the rest, and each place says what is missing."""

import json
import re
from collections.abc import Iterator

import pytest

from ..cli.conftest import CODE
from ..e2e.stack import Stack
from ..processes import Processes
from .a_shop import ADOPT, make_shop

pytestmark = pytest.mark.slow

FAULT = "module shop.broken: shop/broken.py:3: ModuleNotFoundError: No module named 'no_such_library'."


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A web server of the shop, whose module ``shop.broken`` cannot be imported."""
    folder = tmp_path_factory.mktemp("shop")
    make_shop(folder, f"{ADOPT}[celery]\nbroker_url = database://\n")
    with Processes(folder) as processes:
        yield Stack(processes, processes.start_web())


def test_service_is_degraded_and_takes_jobs(service: Stack) -> None:
    answer = service.get("/health/ready")
    check = answer.json()["checks"]["tasks"]
    assert (answer.status_code, answer.json()["status"], check["verdict"]) == (200, "degraded", "degraded")
    assert check["message"].startswith(f"Some tasks are missing. M{FAULT[1:]}")
    assert "without a part of its tasks. module shop.broken: shop/broken.py:3" in service.web.output()
    assert 'dispatcher_up{part="tasks"} 0.0' in service.get("/metrics").text
    service.dispatch("shop.tasks.add", 1, 2)
    page = service.get("/", headers={"Accept": "text/html"}).text
    assert "No module named &#39;no_such_library&#39;" in page
    assert "pacifica-dispatcher-cmd doctor --adopt" in page


def test_doctor_and_config_check_name_the_module(service: Stack) -> None:
    environ = {"DISPATCHER_URL": service.url}
    options = ("doctor", "--json", "--timeout", "0.1")
    stages = json.loads(service.processes.run("-c", CODE, *options, env=environ).stdout)["stages"]
    (tasks,) = (stage for stage in stages if stage["stage"] == "tasks")
    assert (tasks["verdict"], FAULT in tasks["message"]) == ("failed", True)
    checked = service.processes.run("-c", CODE, "config", "check")
    assert (checked.returncode, FAULT in checked.stderr) == (2, True)


def test_short_name_of_a_task_is_answered_with_its_full_one(service: Stack) -> None:
    meant = "Did you mean shop.tasks.scan?"
    assert meant in service.get("/dispatch/scan").json()["detail"]
    assert meant in service.get("/tasks/tasks.scan").json()["detail"]
    batch = service.request("POST", "/dispatch", json=[{"task": "scan"}])
    assert meant in batch.text
    ran = service.processes.run("-c", CODE, "dispatch", "scan", env={"DISPATCHER_URL": service.url})
    assert (ran.returncode, meant in ran.stderr) == (2, True)
    assert not re.search(r'"task": "scan"', service.get("/status").text)
