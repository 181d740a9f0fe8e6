"""Plain Celery tasks that are adopted: their signatures, their classes, and the differences from Celery."""

import inspect
from collections.abc import Iterator
from contextlib import suppress

import pytest
from celery import Celery
from kombu.utils.json import dumps, loads

from pacifica.dispatcher.core.dispatch_options import DEFAULT_OPTIONS
from pacifica.dispatcher.core.errors import BadArguments
from pacifica.dispatcher.core.job import State
from pacifica.dispatcher.service.new_job import DispatchContext

from .adopting_worker import adopting_worker
from .local_worker import LocalWorker
from .task_shapes import SHAPES, Shape


@pytest.fixture
def worker(sqlite_url: str) -> Iterator[LocalWorker]:
    """A worker whose application adopts plain tasks, and has asked for nothing."""
    with adopting_worker(sqlite_url) as started:
        yield started


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_task_of_any_shape_is_listed_typed_dispatched_and_run(worker: LocalWorker, shape: Shape) -> None:
    name = shape.declare(worker.app).name
    spec = worker.app.registry[name]
    assert set(spec.untyped) == set(shape.untyped)
    call = spec.bind(shape.args, shape.kwargs)
    job = worker.container.python_service.dispatch(call, DEFAULT_OPTIONS, DispatchContext())
    worker.run_all()
    assert worker.outcome(job.uuid) == (State.SUCCESS, shape.result), worker.job(job.uuid).error
    if "args" not in spec.untyped:
        with pytest.raises(BadArguments):
            spec.bind([*shape.args, *[1] * 3], {**shape.kwargs, "no": 1})


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_delay_gives_the_result_that_celery_alone_gives(worker: LocalWorker, shape: Shape) -> None:
    alone = shape.declare(Celery("alone", set_as_current=False)).apply(shape.args, shape.kwargs)
    job = shape.declare(worker.app).delay(*shape.args, **shape.kwargs)
    worker.run_all()
    if alone.successful():
        assert worker.outcome(job.id)[0] == State.SUCCESS, worker.job(job.id).error
    if inspect.iscoroutine(alone.result):
        alone.result.close()
    with suppress(TypeError):  # Celery alone cannot send a generator or a coroutine.
        expected = loads(dumps(alone.result)) if alone.successful() else type(alone.result).__name__
        assert worker.outcome(job.id)[1] == expected
