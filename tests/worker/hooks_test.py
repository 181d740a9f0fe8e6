"""The arguments of a job in Celery's hooks and signals: the real ones."""

from collections.abc import Iterator
from typing import Any

import pytest
from celery import Task, signals
from celery.exceptions import Ignore, Reject, Retry

from pacifica.dispatcher.core.errors import BadArguments
from pacifica.dispatcher.core.faults import Fault
from pacifica.dispatcher.core.job import State
from pacifica.dispatcher.worker.claim import REFUSAL

from .local_worker import LocalWorker

Seen = list[tuple[str, list[Any], dict[str, Any]]]


class Hooks(Task):  # type: ignore[misc]
    """A base class that notes what each hook gets."""

    seen: Seen

    def note(self, hook: str, args: Any, kwargs: Any) -> None:
        """Note the arguments of a call."""
        type(self).seen.append((hook, list(args), dict(kwargs)))

    def before_start(self, _id: str, args: Any, kwargs: Any) -> None:
        """Before the body."""
        self.note("before_start", args, kwargs)

    def on_success(self, _result: Any, _id: str, args: Any, kwargs: Any) -> None:
        """After a success."""
        self.note("on_success", args, kwargs)

    def on_failure(self, _error: Any, _id: str, args: Any, kwargs: Any, _info: Any) -> None:
        """After a failure."""
        self.note("on_failure", args, kwargs)

    def on_retry(self, _error: Any, _id: str, args: Any, kwargs: Any, _info: Any) -> None:
        """After a retry."""
        self.note("on_retry", args, kwargs)

    def after_return(self, _state: str, _result: Any, _id: str, args: Any, kwargs: Any, _info: Any) -> None:
        """At the end."""
        self.note("after_return", args, kwargs)


@pytest.fixture
def seen() -> Iterator[Seen]:
    """The calls of hooks and signals."""
    Hooks.seen = []

    def prerun(args: Any, kwargs: Any, **_: Any) -> None:
        Hooks.seen.append(("prerun", list(args), dict(kwargs)))

    def postrun(args: Any, kwargs: Any, **_: Any) -> None:
        Hooks.seen.append(("postrun", list(args), dict(kwargs)))

    def failure(args: Any, kwargs: Any, **_: Any) -> None:
        Hooks.seen.append(("failure", list(args), dict(kwargs)))

    signals.task_failure.connect(failure)
    signals.task_prerun.connect(prerun)
    signals.task_postrun.connect(postrun)
    yield Hooks.seen
    signals.task_prerun.disconnect(prerun)
    signals.task_postrun.disconnect(postrun)
    signals.task_failure.disconnect(failure)


HOOKS = {
    "succeed": "prerun before_start on_success after_return postrun",
    "fail": "prerun before_start on_failure failure after_return postrun",
    "retry": "prerun before_start on_retry postrun prerun before_start on_success after_return postrun",
}


@pytest.mark.parametrize("how", HOOKS)
def test_every_hook_and_signal_sees_the_arguments_of_the_row(worker: LocalWorker, seen: Seen, how: str) -> None:
    def measure(self: Any, what: str, *, times: int) -> int:
        if what == "fail":
            raise ValueError(what)
        if what == "retry" and self.request.retries == 0:
            raise self.retry(countdown=0)
        return times

    worker.task(measure, base=Hooks, bind=True).delay(how, times=3)
    worker.run_all()
    assert seen == [(name, [how], {"times": 3}) for name in HOOKS[how].split()]


def test_arguments_that_before_start_changes_reach_the_body_and_a_retry(worker: LocalWorker) -> None:
    def before_start(self: Any, task_id: str, args: list[Any], kwargs: dict[str, Any]) -> None:
        args[0] += 1

    def count(self: Any, x: int) -> int:
        if self.request.retries == 0:
            raise self.retry(countdown=0)
        return x

    job = worker.task(count, bind=True, before_start=before_start).delay(1)
    worker.run_all()
    assert worker.outcome(job.id) == (State.SUCCESS, 3)


def test_before_start_is_not_called_for_a_plain_message_whose_arguments_do_not_fit(
    worker: LocalWorker, seen: Seen
) -> None:
    def measure(x: int) -> int:
        return x

    task = worker.task(measure, base=Hooks)
    job = task.delay(1)
    refusal = BadArguments("measure", [Fault("x", "it does not fit")])
    worker.run_message({"id": job.id, "task": task.name, REFUSAL: refusal})
    assert "before_start" not in [name for name, _, _ in seen]
    assert worker.outcome(job.id) == (State.FAILURE, "BadArguments")


@pytest.mark.parametrize(
    ("raised", "kind"),
    [(Ignore(), "Ignore"), (Reject("no"), "Reject"), (OSError(), "OSError"), (Retry(), "RetryWithoutRequest")],
)
def test_before_start_that_raises_fails_the_job(worker: LocalWorker, raised: Exception, kind: str) -> None:
    def before_start(self: Any, task_id: str, args: Any, kwargs: Any) -> None:
        raise raised

    def body() -> None: ...

    job = worker.task(body, before_start=before_start).delay()
    worker.run_all()
    assert worker.outcome(job.id) == (State.FAILURE, kind)
