"""From a call in Python to the stored row: values that JSON lacks, and values that would be lost."""

import math
from typing import Any

import pytest
from celery import chain, group

from pacifica.dispatcher.core.errors import BadArguments
from pacifica.dispatcher.core.job import State

from .local_worker import LocalWorker


class Array:
    """Like a number of NumPy."""

    def __init__(self, value: float) -> None:
        self._value = value

    def tolist(self) -> float:
        return self._value


DOUBLED = {1: "a", "1": "b"}


def test_bytes_go_in_and_out_unchanged(worker: LocalWorker) -> None:
    seen: list[Any] = []

    def turn(data: bytes, more: dict[str, bytes]) -> bytes:
        seen.append((data, more))
        return data[::-1]

    job = worker.task(turn).delay(b"\xff\x00a", more={"k": b"\xfe"})
    worker.run_all()
    assert seen == [(b"\xff\x00a", {"k": b"\xfe"})]
    assert worker.outcome(job.id) == (State.SUCCESS, "YQD_")
    assert worker.job(job.id).args == ["_wBh"]


def test_bytes_pass_through_a_chain(worker: LocalWorker) -> None:
    def turn(data: bytes) -> bytes:
        return data[::-1]

    turned = worker.task(turn)
    last = chain(turned.s(b"\xff\x00"), turned.s()).apply_async()
    worker.run_all()
    assert worker.outcome(last.id) == (State.SUCCESS, "_wA=")


def test_numbers_that_json_lacks_are_stored_as_texts(worker: LocalWorker) -> None:
    def mean() -> dict[str, float]:
        return {"mean": math.nan, "max": math.inf}

    job = worker.task(mean).delay()
    worker.run_all()
    assert worker.outcome(job.id) == (State.SUCCESS, {"mean": "NaN", "max": "Infinity"})
    assert job.get(timeout=1) == {"mean": "NaN", "max": "Infinity"}


def test_numbers_that_json_lacks_pass_through_a_chain(worker: LocalWorker) -> None:
    seen: list[float] = []

    def mean(x: float) -> float:
        seen.append(x)
        return -x

    task = worker.task(mean)
    last = chain(task.s(math.inf), task.s(), task.si(Array(math.inf)), task.si(Array(1))).apply_async()
    worker.run_all()
    assert seen == [math.inf, -math.inf, math.inf, 1]
    assert worker.outcome(last.id) == (State.SUCCESS, -1)
    with pytest.raises(ValueError, match=r"a later step of the workflow are not JSON: a value is of type .*object"):
        chain(task.s(1), task.si(object())).apply_async()


def test_keys_of_one_text_are_refused_before_a_job_exists(worker: LocalWorker) -> None:
    def show(value: dict[str, Any]) -> None: ...

    shown = worker.task(show)
    with pytest.raises(BadArguments, match=r'args\[0\]\["x"\] has two keys with the text "1"'):
        shown.delay({"x": DOUBLED})
    with pytest.raises(ValueError, match='two keys of one object have the text "1"'):
        chain(shown.si({}), shown.si(DOUBLED)).apply_async()
    with pytest.raises(BadArguments, match='has two keys with the text "1"'):
        group(shown.si(DOUBLED)).apply_async()
    worker.run_all()
    assert worker.ran == []


def test_failure_names_the_line_and_is_shown_for_a_result_that_cannot_be_stored(worker: LocalWorker) -> None:
    def broken() -> None:
        raise ValueError("no")

    def odd() -> Any:
        return {"mean": [0, object()]}

    jobs = [worker.task(function).delay() for function in (broken, odd)]
    worker.run_all()
    line = broken.__code__.co_firstlineno
    errors = [worker.job(job.id).error for job in jobs]
    assert [error and error.at for error in errors] == [
        f"tests/worker/stored_results_test.py:{number}" for number in (line + 1, line + 3)
    ]
    assert errors[1] is not None
    assert 'result["mean"][1] is of type builtins.object' in errors[1].message
