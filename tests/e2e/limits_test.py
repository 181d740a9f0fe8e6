"""Limits on the arguments of a job in a URL, a POST, a batch and Python; refused jobs leave no row."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ..processes import Processes
from .conftest import start_stack
from .contract import count_jobs, problem
from .stack import Stack

MANY = "there are 3; arguments_limit allows 2"
LARGE = "they have 105 bytes of JSON; arguments_bytes allows 104"


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A service that accepts two arguments with 104 bytes, without a worker."""
    with Processes(Path(tmp_path_factory.mktemp("limits")), {"BROKER_URL": "database://"}) as processes:
        processes.write_config(
            "[dispatcher]\ntasks = lab\narguments_limit = 2\narguments_bytes = 104\nqueues = lab.*\n"
        )
        yield start_stack(processes, worker=False)


@pytest.mark.parametrize(
    ("method", "path", "body", "message"),
    [
        ("GET", "/dispatch/echo/1/2/3", None, MANY),
        ("HEAD", "/dispatch/echo/1/2/3", None, MANY),
        ("GET", f"/dispatch/echo/{'x' * 99}", None, LARGE),
        ("POST", "/dispatch/echo", {"args": [1, 2], "kwargs": {"value": 3}}, MANY),
        ("POST", "/dispatch/echo", {"args": ["x" * 99]}, LARGE),
        ("POST", "/dispatch/echo", {"kwargs": {"value": "x" * 91}}, LARGE),
    ],
)
def test_excessive_arguments_are_refused_before_a_job_exists(
    stack: Stack, method: str, path: str, body: Any, message: str
) -> None:
    before = count_jobs(stack)
    answer = stack.request(method, path, json=body)
    if method == "HEAD":
        assert answer.status_code == 422
    else:
        assert problem(answer, 422, "bad-arguments")["errors"] == [{"where": "arguments", "message": message}]
    assert count_jobs(stack) == before


def test_arguments_at_the_limit_are_accepted(stack: Stack) -> None:
    assert stack.status(stack.dispatch("echo", "x" * 98))["args"] == ["x" * 98]
    assert stack.get("/dispatch/add/1/2").status_code == 200


def test_excessive_arguments_are_the_problem_of_their_item(stack: Stack) -> None:
    items = [{"task": "echo", "args": args} for args in ([1], [1, 2, 3], ["x" * 99])]
    good, *bad = stack.request("POST", "/dispatch", json=items).json()["jobs"]
    assert stack.status(good["uuid"])["args"] == [1]
    assert [entry["problem"]["errors"][0]["message"] for entry in bad] == [MANY, LARGE]


def test_queue_that_is_not_declared_is_refused(stack: Stack) -> None:
    before = count_jobs(stack)
    options = {"queue": "invented"}
    found = problem(stack.request("POST", "/dispatch/echo", json={"args": [1], "options": options}), 422, "bad-options")
    assert "this service, which has dispatcher" in found["errors"][0]["message"]
    items = [{"task": "echo", "args": [1], "options": {"queue": name}} for name in ("lab.a", "invented")]
    good, bad = stack.request("POST", "/dispatch", json=items).json()["jobs"]
    assert stack.status(good["uuid"])["queue"] == "lab.a"
    assert bad["problem"]["errors"] == found["errors"]
    assert count_jobs(stack) == before + 1


@pytest.mark.parametrize(("arguments", "message"), [("1, 2, 3", MANY), ("'x' * 99", LARGE)])
def test_excessive_arguments_are_refused_in_python(stack: Stack, arguments: str, message: str) -> None:
    before = count_jobs(stack)
    code = f"from pacifica.dispatcher.tasks import CELERY_APP as a; a.registry; a.tasks['echo'].delay({arguments})"
    ran = stack.processes.run("-c", code)
    assert ran.returncode == 1
    assert f"BadArguments: The arguments do not fit task echo: arguments: {message}." in ran.stderr
    assert count_jobs(stack) == before
