"""A user's settings for gunicorn work beside ours."""

from pathlib import Path

import pytest
import requests

from ..eventually import eventually
from ..processes import Processes
from .stack import PROGRAMS


def lines(path: Path) -> list[str]:
    return path.read_text().splitlines() if path.exists() else []


@pytest.fixture
def configured(processes: Processes) -> Processes:
    processes.env["BROKER_URL"] = "database://"
    processes.write_config("")
    return processes


def test_access_log_of_gunicorn_has_each_request(configured: Processes, tmp_path: Path) -> None:
    web = configured.start_gunicorn("--access-logfile", str(tmp_path / "access.log"), workers=1)
    uuid = requests.get(f"{web.url}/dispatch/add/2/2", timeout=20).text.strip()
    assert requests.get(f"{web.url}/status/{uuid}", timeout=20).json()["uuid"] == uuid
    eventually(lambda: any(f"GET /status/{uuid} HTTP/1.1" in line for line in lines(tmp_path / "access.log")))
    assert any('"GET /dispatch/add/2/2 HTTP/1.1" 200 36' in line for line in lines(tmp_path / "access.log"))


def test_request_hooks_of_gunicorn_are_called(configured: Processes, tmp_path: Path) -> None:
    web = configured.start_gunicorn("-c", str(PROGRAMS / "gunicorn_hooks.py"), workers=1)
    assert requests.get(f"{web.url}/health/live", timeout=20).status_code == 200
    web.wait_until_it_says(r"asked GET /health/live\s")
    web.wait_until_it_says(r"answered /health/live 200 OK\s")
