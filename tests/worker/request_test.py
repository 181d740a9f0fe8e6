"""``self.request`` in a job, its callbacks and errbacks, and calls of a task that are no jobs."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from celery import chain, group

from pacifica.dispatcher.core.job import State, iso, micros

from .local_worker import LocalWorker

SUCCESS, FAILURE = State.SUCCESS, State.FAILURE
FIELDS = (
    *("id", "args", "kwargs", "retries", "root_id", "parent_id", "group", "group_index", "eta", "expires"),
    *("is_eager", "called_directly", "timelimit", "ignore_result"),
)


def _shown(self: Any, x: int, *, y: int = 0) -> dict[str, Any]:
    return {name: getattr(self.request, name) for name in FIELDS}


def test_request_has_the_fields_that_celery_gives_it(worker: LocalWorker) -> None:
    eta = datetime.now(UTC) + timedelta(hours=1)
    end = eta + timedelta(hours=1)
    shown = worker.task(_shown, bind=True, time_limit=60, ignore_result=True)
    job = shown.apply_async((1,), {"y": 2}, eta=eta, expires=end)
    worker.run_all()
    expected = {"id": job.id, "args": [1], "kwargs": {"y": 2}, "retries": 0, "root_id": job.id, "parent_id": None}
    expected |= {"group": None, "group_index": None, "eta": iso(micros(eta)), "is_eager": False}
    expected["expires"] = iso(micros(end))
    assert job.get() == expected | {"called_directly": False, "timelimit": [None, None], "ignore_result": False}


def test_request_of_a_workflow_names_its_parents_and_its_group(worker: LocalWorker) -> None:
    shown = worker.task(_shown, bind=True)
    last = chain(shown.si(1), shown.si(2)).delay()
    both = group(shown.s(3), shown.s(4)).delay()
    worker.run_all()
    step = last.get()
    assert (step["parent_id"], step["root_id"], step["args"]) == (last.parent.id, last.parent.id, [2])
    assert [(member["group"], member["group_index"]) for member in both.get()] == [(both.id, 0), (both.id, 1)]


def test_errbacks_of_both_kinds_are_called(worker: LocalWorker) -> None:
    seen: list[Any] = []

    def fail(x: int) -> None:
        raise ArithmeticError(x)

    def old(uuid: str) -> str:
        return uuid

    def new(request: Any, error: Any, traceback: Any) -> None:
        seen.append((request.args, request.id, str(error), "ArithmeticError" in traceback))

    errbacks = [worker.task(old).s(), worker.task(new).s()]
    job = worker.task(fail).apply_async((7,), link_error=errbacks)
    worker.run_all()
    assert worker.outcome(job.id) == (FAILURE, "ArithmeticError")
    assert seen == [([7], job.id, "7", True)]
    assert worker.ran[-1].endswith(".old")


@pytest.mark.parametrize("call", ["call", "run", "apply"])
def test_task_that_a_job_calls_itself_is_no_job(worker: LocalWorker, call: str) -> None:
    def inner(self: Any, x: int) -> int:
        self.progress(1, 2)
        self.update_state(state="WORKING", meta={"x": x})
        return x + 1

    called = worker.task(inner, bind=True)

    def outer(x: int) -> int:
        found = {
            "call": called,
            "run": called.run,
            "apply": lambda y: called.apply((y,)).get(disable_sync_subtasks=False),
        }
        return int(found[call](x))

    job = worker.task(outer).delay(1)
    worker.run_all()
    assert worker.outcome(job.id) == (SUCCESS, 2)
    assert (len(worker.ran), worker.job(job.id).progress) == (1, None)
