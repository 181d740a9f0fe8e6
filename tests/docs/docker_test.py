"""Dockerfile and docker-compose.yml keep data in a volume, take a user's tasks, and stop workers in time."""

import re
import subprocess
import sys
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import pytest
import yaml

from pacifica.dispatcher.config.celery_settings import CelerySettings
from pacifica.dispatcher.config.parser import parse
from pacifica.dispatcher.config.settings import DispatcherSettings

from ..client.stub import Answer, stubbed

ROOT = Path(__file__).parent.parent.parent
DOCKERFILE = (ROOT / "Dockerfile").read_text(encoding="utf-8")
COMPOSE: Any = yaml.safe_load((ROOT / "docker-compose.yml").read_text(encoding="utf-8"))
OURS = [pytest.param(COMPOSE["services"][name], id=name) for name in ("web", "worker")]


def last(instruction: str) -> str:
    """The last value of an instruction in the Dockerfile."""
    return str(re.findall(rf"^{instruction} (.*)$", DOCKERFILE, re.MULTILINE)[-1])


def seconds(text: str) -> int:
    return int(text.removesuffix("s"))


def mounts(service: Any) -> dict[str, str]:
    """The source of each mount, by its place in the container."""
    found = (re.fullmatch(r"(.+?):(/[^:]+)(:ro)?", each) for each in service["volumes"])
    return {match[2]: match[1] for match in found if match}


def test_image_runs_as_a_user_in_a_volume() -> None:
    assert last("USER") not in {"root", "0"}
    assert last("WORKDIR") == last("VOLUME") == "/srv/dispatcher"
    assert f"--home-dir {last('WORKDIR')} --create-home {last('USER')}" in DOCKERFILE


@pytest.mark.parametrize("service", OURS)
def test_data_are_in_a_named_volume(service: Any) -> None:
    assert mounts(service)[last("WORKDIR")] in COMPOSE["volumes"]


@pytest.mark.parametrize("service", OURS)
def test_tasks_and_configuration_come_from_a_folder_of_the_user(service: Any) -> None:
    config = Path(service["environment"]["DISPATCHER_CONFIG"])
    assert f"PYTHONPATH={config.parent} " in last("ENV")
    source = mounts(service)[str(config.parent)]
    variable = re.fullmatch(r"\$\{DISPATCHER_FOLDER:-(.+)\}", source)
    assert variable is not None
    example = ROOT / variable[1]
    settings = parse((example / config.name).read_text(encoding="utf-8"), {}, celery=CelerySettings)
    assert settings.dispatcher.tasks == ("lab",)
    assert (example / "lab.py").exists()


def test_worker_gets_the_time_of_its_jobs_to_stop() -> None:
    grace = seconds(COMPOSE["services"]["worker"]["stop_grace_period"])
    assert grace >= DispatcherSettings().stop_seconds + 30


@pytest.mark.parametrize("service", COMPOSE["services"].values(), ids=COMPOSE["services"])
def test_each_service_has_a_health_check(service: Any) -> None:
    check = service["healthcheck"]
    assert seconds(check["timeout"]) <= seconds(check["interval"]) * 2
    assert check["test"][0] in {"CMD", "CMD-SHELL"}


@pytest.mark.slow
@pytest.mark.parametrize(("status", "healthy"), [(200, True), (503, False)])
def test_health_check_of_the_server_follows_its_readiness(status: int, healthy: bool) -> None:
    _, program, option, code = COMPOSE["services"]["web"]["healthcheck"]["test"]
    assert (program, option) == ("python", "-c")
    with stubbed([Answer(status, {})]) as stub:
        command = [sys.executable, "-c", code.replace("http://127.0.0.1:8050", stub.url)]
        ran = subprocess.run(command, capture_output=True, check=False, timeout=30)
        assert (ran.returncode == 0) is healthy
        assert [request.path for request in stub.requests] == ["/health/ready"]


def test_every_copied_file_is_part_of_the_build_context() -> None:
    allowed = [
        line[1:] for line in (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines() if line[:1] == "!"
    ]
    for words in re.findall(r"^COPY (.*) \S+$", DOCKERFILE, re.MULTILINE):
        for name in words.split():
            assert (ROOT / name).exists(), name
            assert any(fnmatch(name, pattern) for pattern in allowed), name
