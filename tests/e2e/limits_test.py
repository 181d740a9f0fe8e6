"""Limits on a job's arguments at every door: a URL, a POST, a batch, Python; and no row for what is refused."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ..processes import Processes
from .conftest import start_stack
from .http_test import count_jobs, problem
from .stack import Stack

MANY = "there are 3; arguments_limit allows 2"
LARGE = "they have 105 bytes of JSON; arguments_bytes allows 104"


@pytest.fixture(scope="module")
def narrow(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A service that takes two arguments and 104 bytes of them, without a worker."""
    with Processes(Path(tmp_path_factory.mktemp("narrow")), {"BROKER_URL": "database://"}) as processes:
        processes.write_config("[dispatcher]\ntasks = lab\narguments_limit = 2\narguments_bytes = 104\n")
        yield start_stack(processes, worker=False)


@pytest.mark.parametrize(
    ("method", "path", "body", "told"),
    [
        ("GET", "/dispatch/echo/1/2/3", None, MANY),
        ("HEAD", "/dispatch/echo/1/2/3", None, MANY),
        ("GET", f"/dispatch/echo/{'x' * 99}", None, LARGE),
        ("POST", "/dispatch/echo", {"args": [1, 2], "kwargs": {"value": 3}}, MANY),
        ("POST", "/dispatch/echo", {"args": ["x" * 99]}, LARGE),
        ("POST", "/dispatch/echo", {"kwargs": {"value": "x" * 91}}, LARGE),
    ],
)
def test_too_much_is_refused_before_there_is_a_job(narrow: Stack, method: str, path: str, body: Any, told: str) -> None:
    before = count_jobs(narrow)
    answer = narrow.request(method, path, json=body)
    if method == "HEAD":
        assert answer.status_code == 422
    else:
        assert problem(answer, 422, "bad-arguments")["errors"] == [{"where": "arguments", "message": told}]
    assert count_jobs(narrow) == before


def test_what_just_fits_is_taken(narrow: Stack) -> None:
    assert narrow.status(narrow.dispatch("echo", "x" * 98))["args"] == ["x" * 98]
    assert narrow.get("/dispatch/add/1/2").status_code == 200


def test_an_item_of_a_batch_that_is_too_much_is_that_items_problem(narrow: Stack) -> None:
    items = [{"task": "echo", "args": args} for args in ([1], [1, 2, 3], ["x" * 99])]
    good, *bad = narrow.request("POST", "/dispatch", json=items).json()["jobs"]
    assert narrow.status(good["uuid"])["args"] == [1]
    assert [entry["problem"]["errors"][0]["message"] for entry in bad] == [MANY, LARGE]


@pytest.mark.parametrize(("arguments", "told"), [("1, 2, 3", MANY), ("'x' * 99", LARGE)])
def test_python_is_refused_alike(narrow: Stack, arguments: str, told: str) -> None:
    before = count_jobs(narrow)
    code = f"from pacifica.dispatcher.tasks import CELERY_APP as a; a.registry; a.tasks['echo'].delay({arguments})"
    ran = narrow.processes.run("-c", code)
    assert ran.returncode == 1
    assert f"BadArguments: The arguments do not fit task echo: arguments: {told}." in ran.stderr
    assert count_jobs(narrow) == before
