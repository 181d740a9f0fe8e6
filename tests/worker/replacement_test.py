"""``self.replace`` in a job: the job goes on as another task or workflow, and has its outcome."""

from collections.abc import Callable
from typing import Any

import pytest
from celery import chain, chord, signature

from pacifica.dispatcher.core.job import State, now

from .local_worker import FAR, LocalWorker

SUCCESS, FAILURE = State.SUCCESS, State.FAILURE


class Lab:
    """A few tasks, and a job that replaces itself by a signature of them."""

    def __init__(self, worker: LocalWorker) -> None:
        self.worker = worker
        self.add = worker.task(_add)
        self.total = worker.task(_total)
        self.fail = worker.task(_fail)

    def replacing(self, make: Callable[["Lab", Any], Any]) -> Any:
        """A task that replaces itself."""

        def body(self: Any, x: int) -> Any:
            return self.replace(make(lab, x))

        lab = self
        return self.worker.task(body, bind=True, name="test-replacing")

    def run(self, job: Any) -> tuple[State, Any]:
        """Run all jobs; returns the outcome of this one."""
        self.worker.run_all()
        return self.worker.outcome(job.id)


def _add(x: int, y: int) -> int:
    return x + y


def _total(values: list[int]) -> int:
    return sum(values)


def _fail(x: int = 0) -> None:
    raise ArithmeticError(x)


@pytest.fixture
def lab(worker: LocalWorker) -> Lab:
    """The tasks of a laboratory."""
    return Lab(worker)


WORKFLOWS: dict[str, tuple[Callable[[Lab, Any], Any], Any]] = {
    "signature": (lambda lab, x: lab.add.s(x, 1), 6),
    "chain": (lambda lab, x: chain(lab.add.s(x, 1), lab.add.s(10), lab.add.s(100)), 116),
    "chain of chains": (lambda lab, x: lab.add.s(x, 1) | (lab.add.s(1) | lab.add.s(2)), 9),
    "other queue": (lambda lab, x: lab.add.s(x, 1).set(queue="other", priority=3), 6),
    "chain of one": (lambda lab, x: chain(lab.add.s(x, 1)), 6),
}


@pytest.mark.parametrize("kind", WORKFLOWS)
def test_job_takes_the_outcome_of_its_replacement(lab: Lab, kind: str) -> None:
    make, expected = WORKFLOWS[kind]
    job = lab.replacing(make).delay(5)
    assert lab.run(job) == (SUCCESS, expected)
    row = lab.worker.job(job.id)
    assert (job.get(), row.task, row.queue) == (expected, lab.add.name, "other" if kind == "other queue" else None)
    kinds = [event.kind for event in lab.worker.events(job.id)]
    assert kinds == ["PENDING", "STARTED", "REPLACED", "STARTED", "SUCCESS"]
    assert lab.worker.events(job.id)[2].data == {"task": "test-replacing", "args": [5], "kwargs": {}}


def test_replaced_step_of_a_chain_is_followed_by_the_rest(lab: Lab) -> None:
    step = lab.replacing(lambda lab, x: lab.add.s(x, 1) | lab.add.s(1))
    last = chain(lab.add.s(1, 1), step.s(), lab.add.s(100)).delay()
    assert lab.run(last) == (SUCCESS, 104)
    assert lab.worker.outcome(last.parent.id) == (SUCCESS, 4)


def test_callbacks_of_a_replaced_job_follow_its_replacement(lab: Lab) -> None:
    job = lab.replacing(lambda lab, x: lab.add.s(x, 1)).apply_async((5,), link=lab.add.s(50))
    assert lab.run(job) == (SUCCESS, 6)
    assert [child.get() for child in job.children] == [56]


def test_failed_replacement_fails_the_job(lab: Lab) -> None:
    job = lab.replacing(lambda lab, x: lab.fail.s(x)).delay(5)
    assert lab.run(job) == (FAILURE, "ArithmeticError")


def test_replacement_counts_its_own_retries(lab: Lab) -> None:
    def body(self: Any) -> int:
        if self.request.retries < 2:
            raise self.retry(countdown=0, max_retries=2)
        return int(self.request.retries)

    flaky = lab.worker.task(body, bind=True, name="test-flaky")
    job = lab.replacing(lambda _lab, _x: flaky.s()).delay(5)
    assert lab.run(job) == (SUCCESS, 2)


def test_job_may_replace_itself_by_its_own_task(lab: Lab) -> None:
    def count(self: Any, x: int) -> int:
        return x if x == 3 else self.replace(self.s(x + 1))

    job = lab.worker.task(count, bind=True).delay(0)
    assert lab.run(job) == (SUCCESS, 3)
    assert lab.worker.job(job.id).attempt == 4


REFUSED: dict[str, tuple[Callable[[Lab, Any], Any], str]] = {
    "unknown task": (lambda lab, x: lab.add.s(x, 1) | signature("nowhere"), "no task of that name"),
    "wrong arguments": (lambda lab, x: lab.add.s("x", x), "valid integer"),
    "wrong member": (lambda lab, _x: chord([lab.add.s(1, 1), lab.add.s(1)], lab.total.s()), "y: is missing"),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_replacement_that_cannot_be_dispatched_fails_the_job_alone(lab: Lab, kind: str) -> None:
    make, named = REFUSED[kind]
    job = lab.replacing(make).delay(5)
    lab.worker.run_all()
    error = lab.worker.job(job.id).error
    assert error is not None
    assert named in error.message
    assert lab.worker.ran == ["test-replacing"]


def test_dispatch_that_fails_gives_the_row_back(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise OSError("no")

    job = lab.replacing(lambda lab, x: lab.add.s(x, 1)).delay(5)
    entry = lab.worker.container.outbox.take(at=FAR, lease=0, limit=1)[0]
    monkeypatch.setattr("pacifica.dispatcher.worker.python_dispatch.dispatch", refuse)
    lab.worker.deliver(entry)
    assert lab.worker.outcome(job.id) == (FAILURE, "OSError")
    assert lab.worker.job(job.id).retries == 0


def test_redelivered_message_of_the_replaced_attempt_claims_nothing(lab: Lab) -> None:
    job = lab.replacing(lambda lab, x: lab.add.s(x, 1)).delay(5)
    message = lab.worker.deliver(lab.worker.container.outbox.take(at=FAR, lease=0, limit=1)[0])
    lab.worker.run_message(message)
    assert lab.worker.job(job.id).state is State.PENDING
    assert lab.run(job) == (SUCCESS, 6)
    assert lab.worker.ran.count(lab.add.name) == 1


def test_cancelled_job_is_not_replaced_and_a_waiting_one_is_cancelled(lab: Lab) -> None:
    jobs = lab.worker.container.jobs

    def cancel(lab: Lab, x: int) -> Any:
        jobs.ask_to_cancel(first.id, at=now())
        return lab.add.s(x, 1)

    first = lab.replacing(cancel).delay(5)
    assert lab.run(first)[0] is State.REVOKED
    assert lab.worker.ran == ["test-replacing"]
    lab.worker.ran.clear()
    second = lab.worker.task(_chain_body, bind=True, name="test-chain-body").delay(lab.add.name)
    lab.worker.deliver(lab.worker.container.outbox.take(at=FAR, lease=0, limit=1)[0])
    assert jobs.revoke(second.id, reason="cancelled", at=now())
    assert lab.run(second)[0] is State.REVOKED
    assert lab.worker.ran == ["test-chain-body", lab.add.name]


def _chain_body(self: Any, name: str) -> Any:
    add = self.app.tasks[name]
    return self.replace(add.s(1, 1) | add.s(1))


def test_job_whose_process_died_while_replacing_runs_again(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    job = lab.replacing(lambda lab, x: lab.add.s(x, 1)).delay(5)
    entry = lab.worker.container.outbox.take(at=FAR, lease=0, limit=1)[0]
    with monkeypatch.context() as dying:
        dying.setattr(lab.add, "apply_async", lambda *_, **__: None)
        dying.setattr(lab.worker.container.jobs, "keep_vacant", lambda *_, **__: True)
        lab.worker.deliver(entry)
    row = lab.worker.job(job.id)
    assert (row.state, row.task, bool(row.due and row.due > now())) == (State.PENDING, "test-replacing", True)
    assert lab.run(job) == (SUCCESS, 6)


def test_eager_replacement_is_celerys_own(lab: Lab) -> None:
    assert lab.replacing(lambda lab, x: lab.add.s(x, 1)).apply((5,)).get() == 6
