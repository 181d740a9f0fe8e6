"""The parts of all HTTP commands: their imports, tokens and exit codes."""

import subprocess
import sys

import pytest
from click.testing import CliRunner

from pacifica.dispatcher.cli import main

from ..client.stub import busy, stubbed
from .conftest import Run
from .outcome import assert_failed

HTTP_COMMANDS = "batch, cancel, dispatch, events, openapi, result, retry, search, status, tasks, wait, watch"


@pytest.mark.slow
def test_http_commands_import_nothing_of_the_server() -> None:
    code = f"import sys; from pacifica.dispatcher.cli.commands import {HTTP_COMMANDS}; print(*sys.modules)"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, encoding="utf-8", check=True, timeout=60)
    assert not set(ran.stdout.split()) & {"celery", "kombu", "cherrypy", "peewee", "pydantic"}


@pytest.mark.parametrize("token", ["pd_secret\nsecret", "pd_secret secret", "pd_secretß"])
@pytest.mark.parametrize("command", ["tasks", "doctor"])
def test_error_for_an_invalid_token_does_not_show_it(token: str, command: str) -> None:
    ran = CliRunner().invoke(main, [command, "--url", "http://127.0.0.1:1"], env={"DISPATCHER_TOKEN": token})
    assert (ran.exit_code, ran.stdout) == (2, "")
    assert "The token cannot be sent" in ran.stderr
    assert "pd_" not in ran.stderr


def test_refused_request_ends_a_command_with_2(run_process: Run, invoke: Run) -> None:
    no_task = "Error: No task named 'ad' is registered. Did you mean add"
    assert_failed(run_process("dispatch", "ad", "2", "2"), 2, no_task)
    assert_failed(invoke("dispatch", "add", "2"), 2, "y: is missing")
    assert_failed(
        invoke("dispatch", "add", "2", "2", "-o", "speed=9"), 2, "speed: is not an option; the options are queue"
    )
    assert_failed(invoke("dispatch", "add", "2", "2", "--wiat"), 2, "No such option '--wiat'")
    assert_failed(invoke("dispatch", "add", "2", "2", "-k", "x"), 2, "'x' is not NAME=VALUE")
    assert_failed(invoke("status", "nonsense"), 2, "'nonsense' is not a UUID")
    assert_failed(invoke("status", "0192f0c1-7c1e-7b60-9f3e-2b1a6d0c4e5f"), 2, "No job has the UUID 0192f0c1")
    assert_failed(invoke("tasks", env={"DISPATCHER_TOKEN": "pd_nonsense"}), 2, "Error: ")
    assert_failed(invoke("tasks", "--url", "nowhere"), 2, "'nowhere' is not the URL of a service")


def test_unreachable_service_ends_a_command_with_3(run_process: Run, invoke: Run) -> None:
    refused = "http://127.0.0.1:1 cannot be reached: Connection refused."
    assert_failed(run_process("tasks", "--url", "http://127.0.0.1:1"), 3, refused)
    with stubbed([busy(503, Retry_After="99")]) as stub:
        assert_failed(invoke("openapi", "--url", stub.url), 3, "is unavailable: Not just now.")
