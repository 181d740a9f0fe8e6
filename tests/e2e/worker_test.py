"""Outcomes of a task in a worker: success, failure, retry, time limits, and exceptions that could end the worker."""

import json
from typing import Any

import pytest

from .stack import PROGRAMS, Stack


def test_task_that_retries_shows_each_attempt(stack: Stack) -> None:
    job = stack.ended(stack.dispatch("flaky", 2))
    assert (job["state"], job["result"], job["attempt"], job["retries"]) == ("SUCCESS", 2, 3, 2)


def test_task_that_retries_too_often_fails_with_its_own_error(stack: Stack) -> None:
    job = stack.ended(stack.dispatch("flaky", 9))
    assert (job["state"], job["error"]["type"], job["error"]["message"]) == ("FAILURE", "OSError", "not yet: 2")
    assert job["error"]["at"].startswith("lab.py:")


def test_retry_may_change_the_arguments(stack: Stack) -> None:
    job = stack.ended(stack.dispatch("shifted", 1))
    assert (job["result"], job["args"], job["attempt"]) == (3, [3], 3)


@pytest.mark.parametrize(
    ("task", "kind"),
    [
        ("leave", "SystemExit"),
        ("hungry", "MemoryError"),
        ("ignored", "Ignore"),
        ("soft", "SoftTimeLimitExceeded"),
        ("hard", "TimeLimitExceeded"),
        ("die", "WorkerLostError"),
    ],
)
def test_exception_that_leaves_the_body_fails_the_job_not_the_worker(stack: Stack, task: str, kind: str) -> None:
    job = stack.ended(stack.dispatch(task))
    assert (job["state"], job["error"]["type"]) == ("FAILURE", kind)
    assert stack.ended(stack.dispatch("add", 2, 2))["result"] == 4


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        ("object", "result is of type builtins.object, which has no JSON form"),
        ("digits", "4300 digits"),
        ("large", "result_limit allows 1048576"),
    ],
)
def test_result_that_cannot_be_stored_is_a_failure(stack: Stack, kind: str, reason: str) -> None:
    job = stack.ended(stack.dispatch("unstorable", kind))
    assert (job["state"], job["error"]["type"]) == ("FAILURE", "BadResult")
    assert reason in job["error"]["message"]


def test_numbers_that_json_does_not_have_are_results(stack: Stack) -> None:
    job = stack.ended(stack.dispatch("unstorable", "nan"))
    assert (job["state"], job["result"]) == ("SUCCESS", "NaN")


def test_celery_in_python_makes_the_same_jobs(stack: Stack) -> None:
    found: dict[str, Any] = json.loads(stack.processes.run_program(PROGRAMS / "canvas.py").stdout)
    assert stack.status(found.pop("uuid"))["result"] == 4
    steps = {name: stack.status(uuid) for name, uuid in found.pop("ids").items()}
    assert (steps["failed_chord"]["task"], steps["failed_chord"]["error"]["type"]) == ("echo", "ChordError")
    assert (steps["failed_chain"]["task"], steps["failed_chain"]["error"]["type"]) == ("mul", "RuntimeError")
    assert found == {
        "one": 4,
        "chain": 30,
        "group": [0, 2, 4],
        "chord": [2, 4],
        "later": 5,
        "seen": "seen",
        "called": 3,
        "eager": 7,
        "map": [1, "a"],
        "starmap": [3, 7],
        "chunks": [[3, 7], [11]],
        "named": 7,
        "signature": 8,
        "unknown": "No task named 'addd' is registered. Did you mean add?",
        "failed_chord": "ChordError",
        "failed_chain": "RuntimeError",
    }


def test_task_that_replaces_itself_by_a_workflow_has_its_outcome(stack: Stack) -> None:
    expected = {"group": [2, 4], "chord": 6, "chain": [3, 4], "member": 12}
    uuids = {kind: stack.dispatch("become", kind) for kind in (*expected, "failing")}
    ended = {kind: stack.ended(uuid) for kind, uuid in uuids.items()}
    assert (ended["failing"]["state"], ended["failing"]["error"]["type"]) == ("FAILURE", "RuntimeError")
    assert {kind: ended[kind]["result"] for kind in expected} == expected


@pytest.mark.parametrize("task", ["celery.map", "celery.starmap", "celery.accumulate", "celery.backend_cleanup"])
def test_built_in_tasks_of_celery_are_not_dispatched_over_http(stack: Stack, task: str) -> None:
    assert stack.request("POST", f"/dispatch/{task}", json={}).status_code == 404
    assert task not in stack.get("/tasks").text


def test_wrong_options_from_python_create_no_job(stack: Stack) -> None:
    code = "from pacifica.dispatcher.tasks import CELERY_APP as app; app.registry; app.tasks['add']"
    ran = stack.processes.run("-c", f"{code}.apply_async((1, 2), priority=99)")
    assert ran.returncode == 1
    assert "BadOptions: The options cannot be used: priority: " in ran.stderr


def test_wrong_arguments_from_python_create_no_job(stack: Stack) -> None:
    code = "from pacifica.dispatcher.tasks import CELERY_APP as app; app.registry; app.tasks['add'].delay(1)"
    ran = stack.processes.run("-c", code)
    assert ran.returncode == 1
    assert "BadArguments: The arguments do not fit task add: y: is missing." in ran.stderr
