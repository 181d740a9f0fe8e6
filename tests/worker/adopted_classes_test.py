"""The classes of adopted tasks: ours come before their own, and nothing of theirs is lost."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from celery import Celery, Task, current_task
from celery.exceptions import Retry

from pacifica.dispatcher.core.job import State
from pacifica.dispatcher.worker.adopted_task import AdoptedTask, adopt_class, adopted_base
from pacifica.dispatcher.worker.job_request import JobRequest
from pacifica.dispatcher.worker.task import DispatcherTask, progress

from .adopting_worker import adopting_worker
from .local_worker import LocalWorker


@pytest.fixture
def worker(sqlite_url: str) -> Iterator[LocalWorker]:
    """A worker whose application adopts plain tasks."""
    with adopting_worker(sqlite_url) as started:
        yield started


def run(worker: LocalWorker, task: Any, *args: Any) -> Any:
    """The outcome of a job."""
    job = task.delay(*args)
    worker.run_all()
    return worker.outcome(job.id)


class Seen(list[Any]):
    """The calls of methods."""


def hooked(seen: Seen, *, within: type[Task] = Task) -> type[Task]:
    """A class with all hooks."""

    class Hooked(within):  # type: ignore[misc, valid-type]
        def __call__(self, *args: Any, **kwargs: Any) -> Any:
            seen.append(("__call__", args, self.request.id is not None))
            return super().__call__(*args, **kwargs)

        def before_start(self, task_id: str, args: Any, kwargs: Any) -> None:
            seen.append(("before_start", list(args)))
            super().before_start(task_id, args, kwargs)

        def on_success(self, retval: Any, task_id: str, args: Any, kwargs: Any) -> None:
            seen.append(("on_success", retval, list(args)))

        def on_failure(self, exc: Any, task_id: str, args: Any, kwargs: Any, einfo: Any) -> None:
            seen.append(("on_failure", type(exc).__name__))

        def on_retry(self, exc: Any, task_id: str, args: Any, kwargs: Any, einfo: Any) -> None:
            seen.append(("on_retry",))

        def after_return(self, status: str, retval: Any, task_id: str, args: Any, kwargs: Any, einfo: Any) -> None:
            seen.append(("after_return", status))

    return Hooked


def declared_with_base(worker: LocalWorker, base: type[Task], function: Callable[..., Any]) -> Any:
    """A function whose base class has the hooks."""
    return worker.app.task(shared=False, base=base, name="test.hooked", bind=True)(function)


def declared_as_class(worker: LocalWorker, base: type[Task], function: Callable[..., Any]) -> Any:
    """A class that has the hooks itself."""
    base.name, base.run = "test.hooked", function
    return worker.app.register_task(base())


def declared_before(worker: LocalWorker, base: type[Task], function: Callable[..., Any]) -> Any:
    """A task that an application has bound before it was adopted."""
    other = Celery("other", set_as_current=False)
    other.task(shared=False, base=base, name="test.hooked", bind=True)(function)
    task = other.tasks["test.hooked"]
    adopt_class(type(task))
    type(task).app = worker.app
    worker.app.tasks["test.hooked"] = task
    task.bind(worker.app)
    worker.container.registry["test.hooked"] = task.spec()
    return task


DECLARED = (declared_with_base, declared_as_class, declared_before)


@pytest.mark.parametrize("declare", DECLARED)
def test_hooks_and_call_of_their_classes_run_with_the_arguments_of_the_function(
    worker: LocalWorker, declare: Callable[..., Any]
) -> None:
    seen = Seen()

    def measure(self: Any, times: set[int]) -> Any:
        if self.request.retries == 0:
            raise self.retry(countdown=0)
        if 3 in times:
            raise OSError
        return sum(times)

    task = declare(worker, hooked(seen), measure)
    assert run(worker, task, [1]) == (State.SUCCESS, 1)
    attempt = [("before_start", [[1]]), ("__call__", ([1],), True)]
    assert seen == [*attempt, ("on_retry",), *attempt, ("on_success", 1, [[1]]), ("after_return", "SUCCESS")]
    assert run(worker, task, [3]) == (State.FAILURE, "OSError")
    assert seen[-2:] == [("on_failure", "OSError"), ("after_return", "FAILURE")]


def test_class_that_derives_from_an_adopted_one_is_adopted_in_any_order(worker: LocalWorker) -> None:
    for number, first in enumerate(("parent", "child")):
        seen = Seen()
        parent = hooked(seen)
        parent.name, parent.run = f"test.parent{number}", lambda _, x: x
        child = hooked(seen, within=parent)
        child.name = f"test.child{number}"
        for kind in (parent, child) if first == "parent" else (child, parent):
            worker.app.register_task(kind())
        assert run(worker, worker.app.tasks[child.name], 1) == (State.SUCCESS, 1)
        assert [each[0] for each in seen] == [
            *["before_start"] * 2, *["__call__"] * 2, "on_success", "after_return",
        ]  # fmt: skip
        assert run(worker, worker.app.tasks[parent.name], 2) == (State.SUCCESS, 2)


def test_adoption_leaves_own_tasks_and_adopted_ones_as_they_are() -> None:
    base = adopted_base(Task)
    assert adopted_base(base) is base
    assert adopted_base(DispatcherTask) is DispatcherTask
    before = DispatcherTask.__bases__, base.__bases__
    adopt_class(DispatcherTask)
    adopt_class(base)
    assert (DispatcherTask.__bases__, base.__bases__) == before == ((Task,), (AdoptedTask, Task))


def test_apply_async_of_their_base_class_runs_before_the_job_is_made(worker: LocalWorker) -> None:
    class Tenant(Task):  # type: ignore[misc]
        def apply_async(self, args: Any = None, kwargs: Any = None, **options: Any) -> Any:
            return super().apply_async(args, {**(kwargs or {}), "tenant": "t"}, **options)

    def rent(x, tenant=None):  # type: ignore[no-untyped-def]
        return [x, tenant]

    task = worker.app.task(shared=False, base=Tenant)(rent)
    assert run(worker, task, 1) == (State.SUCCESS, [1, "t"])

    class Once(Task):  # type: ignore[misc]
        name = "test.once"

        def apply_async(self, args: Any = None, kwargs: Any = None, **options: Any) -> Any:
            return super().apply_async([*(args or ()), "t"], kwargs, **options)

        def run(self, *args: Any) -> Any:
            return args

    assert run(worker, worker.app.register_task(Once()), 1) == (State.SUCCESS, [1, "t"])
    job = (task.s() | task.s()).delay(1)
    worker.run_all()
    assert worker.outcome(job.id) == (State.SUCCESS, [[1, "t"], "t"])


def test_methods_that_do_not_count_are_named_and_names_that_celery_lacks_stay_theirs(worker: LocalWorker) -> None:
    class Rich(Task):  # type: ignore[misc]
        Request = "celery.worker.request:Request"
        hidden = "theirs"

        def update_state(self, *_: Any, **__: Any) -> None:
            raise NotImplementedError

        def progress(self, percent: int) -> str:
            return f"{percent} %"

        def check(self) -> str:
            return "checked"

        def _run(self) -> str:
            return "ran"

    def measure(self: Any) -> list[str]:
        self.update_state(state="HALF")
        progress(1, 2)
        return [self.progress(50), self.check(), self.hidden, self._run()]

    task = worker.app.task(shared=False, base=Rich, bind=True)(measure)
    assert run(worker, task) == (State.SUCCESS, ["50 %", "checked", "theirs", "ran"])
    assert worker.container.registry[task.name].asked.bypassed == ("Request", "update_state")
    own = worker.app.task(shared=False, Request=Rich.Request, name="test.own")(run)
    assert own.Request == DispatcherTask.Request == f"{JobRequest.__module__}:{JobRequest.__qualname__}"


@pytest.mark.parametrize("adopted", [True, False])
def test_task_that_calls_itself_as_a_function_gets_python_values(worker: LocalWorker, adopted: bool) -> None:
    def count(number: int) -> Any:
        inner = worker.app.tasks["test.count"](number - 1) if number else frozenset({0})
        assert current_task.name == "test.count"
        return inner if number < 2 else sorted(inner)

    make = worker.app.task(shared=False, name="test.count") if adopted else None
    task = make(count) if make else worker.task(count, name="test.count")
    assert task.name == "test.count"
    assert run(worker, task, 2) == (State.SUCCESS, [0])


def test_call_outside_a_job_is_a_call_of_the_function(worker: LocalWorker) -> None:
    seen = Seen()
    base = hooked(seen)
    base.name, base.run = "test.direct", lambda _, x: {x}
    task = worker.app.register_task(base())
    assert task(1) == task.apply([1]).result == {1}
    assert [each[0] for each in seen] == ["__call__", "before_start", "__call__", "on_success", "after_return"]
    with pytest.raises(Retry):
        task.retry(exc=None)
