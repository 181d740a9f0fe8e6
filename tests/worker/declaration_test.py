"""The base classes, names and kinds of functions that ``@task`` accepts, combines and refuses."""

import asyncio
import sys
from collections.abc import AsyncIterator
from typing import Any, ClassVar

import pytest
from celery import Task, current_task

from pacifica.dispatcher.app import BUILT_IN
from pacifica.dispatcher.core.errors import ConfigError
from pacifica.dispatcher.core.job import State
from pacifica.dispatcher.worker import declaration
from pacifica.dispatcher.worker.task import DispatcherTask, progress, task

from .local_worker import LocalWorker

SUCCESS = State.SUCCESS


class Instrument(Task):  # type: ignore[misc]
    """A base class of a Celery user: a resource that is opened once, and a hook."""

    _opened = 0
    seen: ClassVar[list[Any]] = []

    @property
    def opened(self) -> int:
        """How often it was opened."""
        self._opened += 1
        return self._opened

    def on_success(self, retval: Any, task_id: str, args: Any, kwargs: Any) -> None:
        """Celery's hook."""
        self.seen.append((retval, list(args)))


class Greedy(Task):  # type: ignore[misc]
    """A base class that does itself what the dispatcher must do."""

    def __call__(self, *args: Any) -> Any:
        """Run without a claim."""
        return self.run(*args)


def nothing() -> None:
    """A task's function."""


def test_task_with_a_celery_base_class_is_dispatchable(worker: LocalWorker) -> None:
    def measure(self: Any, x: int) -> int:
        return int(x + self.opened)

    measured = worker.task(measure, base=Instrument, bind=True)
    assert isinstance(measured, DispatcherTask)
    job = measured.delay(4)
    worker.run_all()
    assert worker.outcome(job.id) == (SUCCESS, 5)
    assert Instrument.seen == [(5, [4])]


@pytest.mark.parametrize(
    ("base", "named"), [(Greedy, "Greedy has __call__"), (object, "a subclass of celery.Task"), (Task(), "subclass")]
)
def test_base_class_that_cannot_be_combined_is_refused(base: Any, named: str) -> None:
    with pytest.raises(ValueError, match=named):
        task(base=base)(nothing)


def test_two_functions_with_one_task_name_are_refused_naming_both(worker: LocalWorker) -> None:
    def first() -> None: ...

    def second() -> None: ...

    worker.task(first, name="test-one-name")
    worker.task(first, name="test-one-name")
    with pytest.raises(ValueError, match=r"declaration_test.py:\d+ and .*declaration_test.py:\d+"):
        worker.task(second, name="test-one-name")


def test_task_with_the_name_of_a_built_in_one_is_refused_in_any_order(
    worker: LocalWorker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(sys.modules, BUILT_IN, raising=False)
    monkeypatch.setitem(declaration.DECLARED, "add", nothing)
    with pytest.raises(ConfigError, match=r"Two tasks are named 'add': .*declaration_test.py:\d+ and"):
        _ = worker.app.registry


@pytest.mark.parametrize("bases", [(Task, DispatcherTask), (DispatcherTask, Task)])
def test_plain_celery_task_and_another_task_of_one_name_are_refused(
    worker: LocalWorker, bases: tuple[type[Task], type[Task]]
) -> None:
    def other() -> None: ...

    for base, function in zip(bases, (nothing, other), strict=True):
        _ = worker.app.task(shared=False, name="test-one", base=base)(function).name
    worker.app.__dict__.pop("registry", None)
    with pytest.raises(ConfigError, match=r"_test.py:\d+: the name 'test-one' belongs to .*_test.py:\d+ already"):
        _ = worker.app.registry


def test_async_generator_is_refused(worker: LocalWorker) -> None:
    async def stream() -> AsyncIterator[int]:
        yield 1

    with pytest.raises(ValueError, match="async generator, which has no result"):
        worker.task(stream)


async def _twice(x: int) -> int:
    await asyncio.sleep(0)
    return 2 * x


def test_async_task_runs_and_awaits_another(worker: LocalWorker) -> None:
    twice = worker.task(_twice)

    async def four_times(self: Any, x: int) -> int:
        progress(1, 2)
        assert current_task.request.id == self.request.id
        return int(await twice.run(await twice.run(x)))

    job = worker.task(four_times, bind=True).delay(3)
    worker.run_all()
    assert worker.outcome(job.id) == (SUCCESS, 12)
    assert worker.job(job.id).progress == {"current": 1, "total": 2, "message": ""}
    assert twice.apply((4,)).get() == 8


def test_async_task_is_retried_for_its_exceptions(worker: LocalWorker) -> None:
    async def flaky(self: Any) -> int:
        await asyncio.sleep(0)
        if self.request.retries == 0:
            raise OSError("not yet")
        return int(self.request.retries)

    job = worker.task(flaky, bind=True, autoretry_for=(OSError,), max_retries=2).delay()
    worker.run_all()
    assert worker.outcome(job.id) == (SUCCESS, 1)


def test_returned_coroutine_fails_with_a_sentence(worker: LocalWorker) -> None:
    def not_awaited() -> Any:
        return _twice(1)

    job = worker.task(not_awaited).delay()
    worker.run_all()
    assert worker.outcome(job.id) == (State.FAILURE, "LoopInUse")
