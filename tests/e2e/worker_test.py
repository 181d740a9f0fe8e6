"""What a worker makes of a task: success, failure, retry, time limits, and what would end the worker."""

from typing import Any

import pytest

from .stack import Stack


def test_a_task_that_retries_shows_each_attempt(stack: Stack) -> None:
    job = stack.ended(stack.dispatch("flaky", 2))
    assert (job["state"], job["result"], job["attempt"], job["retries"]) == ("SUCCESS", 2, 3, 2)


def test_a_task_that_retries_too_often_fails_with_its_own_error(stack: Stack) -> None:
    job = stack.ended(stack.dispatch("flaky", 9))
    assert (job["state"], job["error"]) == ("FAILURE", {"type": "OSError", "message": "not yet: 2"})


def test_a_retry_may_change_the_arguments(stack: Stack) -> None:
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
def test_whatever_leaves_the_body_is_a_failure_and_the_worker_lives(stack: Stack, task: str, kind: str) -> None:
    job = stack.ended(stack.dispatch(task))
    assert (job["state"], job["error"]["type"]) == ("FAILURE", kind)
    assert stack.ended(stack.dispatch("add", 2, 2))["result"] == 4


@pytest.mark.parametrize(
    ("kind", "told"),
    [
        ("nan", "not JSON"),
        ("object", "Unable to serialize"),
        ("digits", "4300 digits"),
        ("large", "1048576 are allowed"),
    ],
)
def test_a_result_that_cannot_be_stored_is_a_failure(stack: Stack, kind: str, told: str) -> None:
    job = stack.ended(stack.dispatch("unstorable", kind))
    assert (job["state"], job["error"]["type"]) == ("FAILURE", "BadResult")
    assert told in job["error"]["message"]


PYTHON = """
import json
from celery import chain, chord, group
from pacifica.dispatcher.tasks import CELERY_APP as app

app.registry
add, mul, fail = (app.tasks[name] for name in ("add", "mul", "fail"))
one = add.delay(2, 2)
many = group(add.s(i, i) for i in range(3))()
try:
    fail.delay("seen").get(timeout=30)
except RuntimeError as error:
    seen = str(error)
print(json.dumps({
    "uuid": one.id,
    "one": one.get(timeout=30),
    "chain": chain(add.s(1, 2), mul.s(10))().get(timeout=30),
    "group": many.get(timeout=30),
    "chord": chord([add.s(1, 1), add.s(2, 2)], app.tasks["echo"].s())().get(timeout=30),
    "later": add.apply_async((2, 3), countdown=1).get(timeout=30),
    "seen": seen,
    "called": add(1, 2),
    "eager": add.apply((3, 4)).get(),
}))
"""


def test_celery_in_python_makes_the_same_jobs(stack: Stack) -> None:
    import json

    ran = stack.processes.run("-c", PYTHON)
    assert ran.returncode == 0, ran.stderr
    found: dict[str, Any] = json.loads(ran.stdout)
    assert stack.status(found.pop("uuid"))["result"] == 4
    assert found == {
        "one": 4,
        "chain": 30,
        "group": [0, 2, 4],
        "chord": [2, 4],
        "later": 5,
        "seen": "seen",
        "called": 3,
        "eager": 7,
    }


def test_wrong_options_from_python_are_refused_before_there_is_a_job(stack: Stack) -> None:
    code = "from pacifica.dispatcher.tasks import CELERY_APP as app; app.registry; app.tasks['add']"
    ran = stack.processes.run("-c", f"{code}.apply_async((1, 2), priority=99)")
    assert ran.returncode == 1
    assert "BadOptions: The options cannot be used: priority: " in ran.stderr


def test_wrong_arguments_from_python_are_refused_before_there_is_a_job(stack: Stack) -> None:
    code = "from pacifica.dispatcher.tasks import CELERY_APP as app; app.registry; app.tasks['add'].delay(1)"
    ran = stack.processes.run("-c", code)
    assert ran.returncode == 1
    assert "BadArguments: The arguments do not fit task add: y: is missing." in ran.stderr
