"""Whatever a task's code does, its job has an outcome and the worker goes on."""

import os
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from celery import signals
from celery.utils.dispatch import Signal

from pacifica.dispatcher.core.job import State
from pacifica.dispatcher.core.work import Ended
from pacifica.dispatcher.worker import containment

from .attempts import Attempts

ERRORS = (MemoryError, SystemExit, KeyboardInterrupt, RecursionError, ValueError)


class Mute(Exception):
    """An exception without a text, which cannot be pickled either."""

    def __init__(self, error: type[BaseException]) -> None:
        super().__init__()
        self.error = error

    def __str__(self) -> str:
        raise self.error

    def __reduce__(self) -> Any:
        raise self.error


def four() -> int:
    return 4


@contextmanager
def receiver(sent: Signal, error: type[BaseException]) -> Iterator[None]:
    """A receiver of Celery's signal raises the error."""

    def receive(**_: Any) -> None:
        raise error

    sent.connect(receive)
    try:
        yield
    finally:
        sent.disconnect(receive)


def assert_harmless(done: Any) -> None:
    """The value that Celery returns to the main process does not end that process."""
    assert isinstance(done.retval.exception, Exception)
    assert not isinstance(done.retval.exception, MemoryError)


@pytest.mark.parametrize("error", ERRORS)
def test_error_in_a_result_is_a_failure_under_its_own_name(attempts: Attempts, error: type[BaseException]) -> None:
    def produce() -> Any:
        yield 1
        raise error

    job, done = attempts.run(produce)
    assert job.error is not None
    assert (job.state, job.error.type) == (State.FAILURE, error.__name__)
    assert "in produce" in (job.error.traceback or "")
    assert_harmless(done)


@pytest.mark.parametrize("error", ERRORS)
def test_exception_whose_own_methods_raise_is_a_failure(attempts: Attempts, error: type[BaseException]) -> None:
    def speechless() -> None:
        raise Mute(error)

    job, done = attempts.run(speechless)
    assert job.error is not None
    assert (job.state, job.error.message) == (State.FAILURE, "<Mute whose text cannot be made>")
    assert_harmless(done)


@pytest.mark.filterwarnings("ignore:Exception raised outside body:RuntimeWarning")
@pytest.mark.parametrize("error", ERRORS)
def test_error_while_the_outcome_is_stored_is_a_failure(
    attempts: Attempts, error: type[BaseException], monkeypatch: pytest.MonkeyPatch
) -> None:
    queue = attempts.container.work_queue
    report = queue.report

    def refuse(reports: Sequence[Ended]) -> Sequence[str | None]:
        if reports[0].state == State.SUCCESS:
            raise error
        return report(reports)

    monkeypatch.setattr(queue, "report", refuse)
    job, done = attempts.run(four)
    assert job.error is not None
    assert (job.state, job.error.type) == (State.FAILURE, error.__name__)
    assert_harmless(done)


@pytest.mark.parametrize("error", [SystemExit, KeyboardInterrupt])
def test_exit_in_a_receiver_before_the_claim_is_a_failure(attempts: Attempts, error: type[BaseException]) -> None:
    with receiver(signals.task_prerun, error):
        job, done = attempts.run(four)
    assert job.error is not None
    assert (job.state, job.error.type, job.attempt) == (State.FAILURE, error.__name__, 1)
    assert_harmless(done)


@pytest.mark.parametrize("sent", [signals.task_success, signals.task_postrun])
@pytest.mark.parametrize("error", [SystemExit, KeyboardInterrupt])
def test_exit_in_a_receiver_after_the_report_changes_nothing(
    attempts: Attempts, error: type[BaseException], sent: Signal
) -> None:
    with receiver(sent, error):
        job, done = attempts.run(four)
    assert (job.state, job.result) == (State.SUCCESS, 4)
    assert [event.kind for event in attempts.container.jobs.events(job.uuid)][-1] == "SUCCESS"
    assert_harmless(done)


def test_failure_that_cannot_be_reported_leaves_the_job_to_the_heartbeat(
    attempts: Attempts, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_: Any) -> None:
        raise MemoryError

    monkeypatch.setattr(attempts.container.work_queue, "report", refuse)
    job, done = attempts.run(four)
    assert job.state is State.STARTED
    assert_harmless(done)


ENDS: dict[str, tuple[Callable[[], Any], int]] = {
    "return": (lambda: None, 0),
    "sys.exit(0)": (lambda: sys.exit(0), 0),
    "sys.exit(7)": (lambda: sys.exit(7), 7),
    "sys.exit(text)": (lambda: sys.exit("text"), 1),
    "raise": (lambda: int("x"), 1),
}


@pytest.mark.slow
@pytest.mark.parametrize("end", ENDS)
def test_forked_process_ends_with_its_status_and_reports_nothing(attempts: Attempts, end: str) -> None:
    def fork() -> int:
        child = os.fork()
        if child == 0:
            ENDS[end][0]()
            return -1
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])

    job, _ = attempts.run(fork)
    assert (job.state, job.result) == (State.SUCCESS, ENDS[end][1])
    kinds = [event.kind for event in attempts.container.jobs.events(job.uuid)]
    assert kinds == ["PENDING", "STARTED", "SUCCESS"]


@pytest.mark.slow
@pytest.mark.parametrize("sent", [signals.task_prerun, signals.task_success, signals.task_postrun])
def test_process_forked_by_a_receiver_ends_and_reports_nothing(attempts: Attempts, sent: Signal) -> None:
    ends: list[int] = []

    def receive(**_: Any) -> None:
        if child := os.fork():
            ends.append(os.waitpid(child, 0)[1])

    sent.connect(receive)
    try:
        job, _ = attempts.run(four)
    finally:
        sent.disconnect(receive)
    assert (job.state, job.result, len(ends)) == (State.SUCCESS, 4, 1)
    assert [event.kind for event in attempts.container.jobs.events(job.uuid)] == ["PENDING", "STARTED", "SUCCESS"]


@pytest.mark.slow
def test_process_forked_in_a_generator_reports_nothing(attempts: Attempts) -> None:
    def fork() -> Any:
        child = os.fork()
        yield os.waitpid(child, 0)[1] if child else -1

    job, _ = attempts.run(fork)
    assert (job.state, job.result) == (State.SUCCESS, [0])


@pytest.mark.parametrize("fails", [False, True])
def test_working_directory_is_restored_for_the_next_job(
    attempts: Attempts, tmp_path: Path, *, fails: bool, caplog: pytest.LogCaptureFixture
) -> None:
    def move() -> None:
        os.chdir(tmp_path)
        if fails:
            raise ValueError

    before = Path.cwd()
    try:
        attempts.run(move)
        assert Path.cwd() == before
    finally:
        os.chdir(before)
    assert "changed the working directory" in caplog.text


def test_signal_handlers_are_restored_for_the_next_job(attempts: Attempts, monkeypatch: pytest.MonkeyPatch) -> None:
    def ignore() -> None:
        for number in (signal.SIGTERM, signal.SIGUSR1):
            signal.signal(number, signal.SIG_IGN)

    monkeypatch.setattr(containment, "current_process", lambda: SimpleNamespace(daemon=True))  # as in a pool process
    before = [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGUSR1)]
    attempts.run(ignore)
    assert [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGUSR1)] == before


def test_handler_in_a_process_that_is_being_ended_is_left_alone(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(containment, "current_process", lambda: SimpleNamespace(daemon=True))
    monkeypatch.setattr(containment, "terminate_handler_fired", lambda: True)
    before = signal.signal(signal.SIGTERM, signal.SIG_IGN)
    try:
        with containment.own_code():
            signal.signal(signal.SIGTERM, signal.SIG_DFL)  # As billiard does before it raises SystemExit.
        assert not caplog.records
    finally:
        signal.signal(signal.SIGTERM, before)
