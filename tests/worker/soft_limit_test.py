"""A soft time limit that is over at any moment leaves an outcome, no open transaction and no lock that is held."""

import os
import signal
import sqlite3
import sys
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from types import FrameType
from typing import Any

import pytest
from billiard import pool
from celery.exceptions import SoftTimeLimitExceeded

from pacifica.dispatcher.core.job import Job, State
from pacifica.dispatcher.worker import claim, soft_limit

from .attempts import Attempts

PACKAGES = ("pacifica/dispatcher", "celery", "peewee", "contextlib", "threading", "tests/worker")
"""Only steps in the code of these can be interrupted by the test."""
MOMENTS = 60
"""How many moments of an attempt the test tries."""


@pytest.fixture(autouse=True)
def handler() -> Iterator[None]:
    """The signal of the soft time limit has the handler that it has in a pool process."""
    before = signal.signal(signal.SIGUSR1, soft_limit.on_soft_limit)
    yield
    signal.signal(signal.SIGUSR1, before)


@contextmanager
def signal_at(step: int) -> Iterator[list[int]]:
    """Send the signal at this step of the program; yields a list that counts the steps."""
    steps = [0]

    def trace(frame: FrameType, event: str, _: Any) -> Any:
        if not any(part in frame.f_code.co_filename for part in PACKAGES):
            return None
        steps[0] += 1
        if steps[0] == step:
            signal.raise_signal(signal.SIGUSR1)
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        yield steps
    finally:
        sys.settrace(before)


def assert_nothing_is_held(attempts: Attempts) -> None:
    """Another connection can write, another thread can use this process's database, and the process can fork."""
    path = attempts.container.database.peewee.database
    with closing(sqlite3.connect(path, timeout=0, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        other.execute("ROLLBACK")
    thread = threading.Thread(target=lambda: (attempts.container.jobs.get("x"), attempts.container.database.close()))
    thread.start()
    thread.join(5)
    assert not thread.is_alive()


def fork() -> None:
    """Fork a process, which waits for the end of all statements."""
    if (child := os.fork()) == 0:
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0


def interrupted(attempts: Attempts, task: str, step: int) -> tuple[Job, int]:
    """Carry out a new job, interrupted at this step; return the job and the number of steps."""
    uuid = attempts.add(task)
    with signal_at(step) as steps:
        attempts.carry_out(uuid, task)
    job = attempts.container.jobs.get(uuid)
    assert job is not None
    return job, steps[0]


@pytest.mark.slow
def test_soft_limit_at_any_moment_leaves_an_outcome(attempts: Attempts) -> None:
    def body() -> Any:
        attempts.container.jobs.events("x")
        attempts.container.app.tasks[task].progress(1)
        return (number for number in range(2))

    task = attempts.task(body)
    _, number = interrupted(attempts, task, -1)
    states = set()
    for step in range(1, number, max(1, number // MOMENTS)):
        job, _ = interrupted(attempts, task, step)
        error = job.error and job.error.type
        assert (job.state, error) in {(State.SUCCESS, None), (State.FAILURE, "SoftTimeLimitExceeded")}, step
        states.add(job.state)
        assert_nothing_is_held(attempts)
    assert states == {State.SUCCESS, State.FAILURE}
    fork()


def test_soft_limit_over_before_the_function_interrupts_it_at_once(
    attempts: Attempts, monkeypatch: pytest.MonkeyPatch
) -> None:
    take_over = claim.claim_job

    def slow_claim(request: Any) -> Any:
        signal.raise_signal(signal.SIGUSR1)
        return take_over(request)

    def body() -> None:
        raise AssertionError("it ran")

    monkeypatch.setattr(claim, "claim_job", slow_claim)
    job, _ = attempts.run(body)
    assert job.error is not None
    assert job.error.type == "SoftTimeLimitExceeded"


def test_soft_limit_between_two_jobs_interrupts_neither(attempts: Attempts) -> None:
    def body() -> int:
        return 4

    first, _ = attempts.run(body)
    signal.raise_signal(signal.SIGUSR1)
    second, _ = attempts.run(body)
    assert [first.result, second.result] == [4, 4]


def test_soft_limit_interrupts_the_function_after_its_own_transaction(attempts: Attempts) -> None:
    def dispatch() -> None:
        def change(_: Any) -> None:
            signal.raise_signal(signal.SIGUSR1)
            done.append("committed")

        attempts.container.database.write(change)
        done.append("returned")

    done: list[str] = []
    job, _ = attempts.run(dispatch)
    assert job.error is not None
    assert (job.error.type, done) == ("SoftTimeLimitExceeded", ["committed"])


def test_function_may_catch_its_soft_limit_and_finish(attempts: Attempts) -> None:
    def tidy() -> str:
        try:
            signal.raise_signal(signal.SIGUSR1)
        except SoftTimeLimitExceeded:
            return "tidy"
        return "late"

    job, _ = attempts.run(tidy)
    assert (job.state, job.result) == (State.SUCCESS, "tidy")


def test_soft_limit_in_a_plain_celery_task_is_raised(attempts: Attempts) -> None:
    def plain() -> None:
        signal.raise_signal(signal.SIGUSR1)

    app = attempts.container.app
    made = app.task(name="plain", shared=False)(plain)
    with pytest.raises(SoftTimeLimitExceeded):
        made.apply(throw=True).get()


def test_pool_processes_get_this_handler(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool, "soft_timeout_sighandler", None)
    soft_limit.install()
    assert pool.soft_timeout_sighandler is soft_limit.on_soft_limit
