"""``self.retry`` and ``autoretry_for`` in a job: what they keep, what they change, and what they refuse."""

from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from celery import chain
from celery.exceptions import Ignore, Retry

from pacifica.dispatcher.core.job import State, micros

from .local_worker import FAR, LocalWorker

SUCCESS, FAILURE, RETRY = State.SUCCESS, State.FAILURE, State.RETRY


def _returns(self: Any) -> None:
    self.retry(throw=False, countdown=0)


def _raises(self: Any) -> None:
    self.retry(throw=False, countdown=0)
    raise OSError("broken")


def _catches(self: Any) -> None:
    with suppress(Exception):
        self.retry(countdown=0)


def _ignores(self: Any) -> None:
    self.retry(throw=False, countdown=0)
    raise Ignore


@pytest.mark.parametrize("leave", [_returns, _raises, _catches, _ignores])
def test_retry_that_was_asked_for_happens_however_the_body_ends(
    worker: LocalWorker, leave: Callable[[Any], None]
) -> None:
    def body(self: Any) -> int:
        if self.request.retries == 0:
            leave(self)
        return int(self.request.retries)

    job = worker.task(body, bind=True).delay()
    worker.run_all()
    assert worker.outcome(job.id) == (SUCCESS, 1)
    assert [event.kind for event in worker.events(job.id) if event.kind in State.__members__] == [
        *("PENDING", "STARTED", "RETRY", "STARTED", "SUCCESS")
    ]


def test_retry_without_an_exception_says_when(worker: LocalWorker) -> None:
    def body(self: Any) -> None:
        self.retry(countdown=60)

    job = worker.task(body, bind=True).delay()
    worker.deliver(worker.container.outbox.take(at=FAR, lease=0, limit=1)[0])
    error = worker.job(job.id).error
    assert error is not None
    assert (error.type, error.message) == ("Retry", "Retry in 60s")
    assert (worker.app.AsyncResult(job.id).state, str(worker.app.AsyncResult(job.id).info)) == (RETRY, "Retry in 60s")


def test_options_of_a_retry_change_the_job_for_its_next_attempts(worker: LocalWorker) -> None:
    def body(self: Any) -> Any:
        if self.request.retries == 0:
            raise self.retry(queue="slow", priority=7, expires=60, time_limit=30, soft_time_limit=20, countdown=0)
        return self.request.timelimit

    job = worker.task(body, bind=True).apply_async(shadow="named")
    first = worker.container.outbox.take(at=FAR, lease=0, limit=1)[0]
    worker.deliver(first)
    row = worker.job(job.id)
    assert (row.state, row.queue, row.priority) == (RETRY, "slow", 7)
    assert abs((row.expires or 0) - micros(datetime.now(UTC) + timedelta(seconds=60))) < 10_000_000
    worker.run_all()
    assert worker.outcome(job.id) == (SUCCESS, [30, 20])
    assert worker.job(job.id).headers == {"shadow": "named", "time_limit": 30, "soft_time_limit": 20}


def test_link_of_a_retry_replaces_that_of_the_dispatch(worker: LocalWorker) -> None:
    linked = worker.task(_note, name="test-note")

    def body(self: Any) -> str:
        if self.request.retries == 0:
            raise self.retry(link=linked.si("new"), countdown=0)
        return "done"

    worker.task(body, bind=True).apply_async(link=linked.si("old"))
    worker.run_all()
    assert worker.ran.count("test-note") == 1


def _note(name: str) -> str:
    return name


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"headers": {"a": 1}}, "retry() cannot change headers"),
        ({"serializer": "pickle", "routing_key": "x"}, "retry() cannot change routing_key, serializer"),
        ({"time_limit": "soon"}, "time_limit must be a number of seconds"),
        ({"time_limit": 1, "soft_time_limit": 2}, "must not be above time_limit"),
        ({"priority": 99}, "priority"),
        ({"args": ["x"]}, "valid integer"),
        ({"kwargs": {"y": 1}}, "y: is not an argument"),
        ({"eta": "later"}, "eta"),
    ],
)
def test_retry_that_is_not_possible_fails_the_job_with_a_sentence(
    worker: LocalWorker, options: dict[str, Any], named: str
) -> None:
    def body(self: Any, x: int) -> None:
        raise self.retry(**options)

    job = worker.task(body, bind=True).delay(1)
    worker.run_all()
    error = worker.job(job.id).error
    assert error is not None
    assert named in error.message
    assert worker.job(job.id).state is FAILURE


def test_dispatch_with_a_time_limit_that_no_worker_can_keep_is_refused(worker: LocalWorker) -> None:
    declared = worker.task(_note, name="test-note")
    with pytest.raises(ValueError, match="time_limit must be a number"):
        declared.apply_async(("a",), time_limit="soon")
    assert worker.container.outbox.take(at=FAR, lease=0, limit=1) == []


def test_arguments_exception_and_eta_of_a_retry_are_kept(worker: LocalWorker) -> None:
    eta = datetime.now(UTC) + timedelta(hours=1)

    def body(self: Any, x: int, *, y: int = 0) -> int:
        if self.request.retries == 0:
            raise self.retry(args=(5,), kwargs={"y": 6}, eta=eta, exc=OSError("busy"))
        return x * y

    job = worker.task(body, bind=True).delay(1)
    worker.deliver(worker.container.outbox.take(at=FAR, lease=0, limit=1)[0])
    row = worker.job(job.id)
    assert (row.state, row.eta, row.error and row.error.type) == (RETRY, micros(eta), "OSError")
    worker.run_all()
    assert worker.outcome(job.id) == (SUCCESS, 30)


@pytest.mark.parametrize(
    ("options", "attempts", "error"),
    [
        ({"retry_kwargs": {"max_retries": 2, "countdown": 0}}, 3, "OSError"),
        ({"retry_backoff": True, "max_retries": 1}, 2, "OSError"),
        ({"max_retries": None}, 10, None),
    ],
)
def test_autoretry_repeats_as_often_as_its_options_say(
    worker: LocalWorker, options: dict[str, Any], attempts: int, error: str | None
) -> None:
    def body(self: Any) -> None:
        if self.request.retries < 9:
            raise OSError("again")

    job = worker.task(body, bind=True, autoretry_for=(OSError,), **options).delay()
    worker.run_all()
    assert worker.job(job.id).attempt == attempts
    assert worker.outcome(job.id)[1] == error


def test_steps_of_a_chain_retry_and_go_on(worker: LocalWorker) -> None:
    def step(self: Any, x: int) -> int:
        if self.request.retries == 0:
            self.retry(throw=False, countdown=0)
        return x + 1

    up = worker.task(step, bind=True)
    last = chain(up.s(1), up.s()).delay()
    worker.run_all()
    assert worker.outcome(last.id) == (SUCCESS, 3)


def test_retry_raised_by_hand_fails_with_a_sentence(worker: LocalWorker) -> None:
    def body() -> None:
        raise Retry("later")

    job = worker.task(body).delay()
    worker.run_all()
    assert worker.outcome(job.id) == (FAILURE, "RetryWithoutRequest")


def test_retry_outside_a_worker_raises_the_exception(worker: LocalWorker) -> None:
    def body(self: Any) -> None:
        raise self.retry(exc=OSError("no"), max_retries=1, countdown=0)

    declared = worker.task(body, bind=True)
    with pytest.raises(OSError, match="no"):
        declared()
    assert declared.apply().state == "FAILURE"
