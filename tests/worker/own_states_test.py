"""``self.update_state`` in a job, and ``AsyncResult`` of a job that runs or has ended."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from celery import chain, group
from celery.exceptions import Ignore

from pacifica.dispatcher.core.job import State

from .local_worker import LocalWorker

SUCCESS, FAILURE = State.SUCCESS, State.FAILURE


def test_own_state_and_meta_are_progress_while_the_job_runs(worker: LocalWorker) -> None:
    seen: list[Any] = []

    def body(self: Any) -> int:
        self.update_state(state="COPYING", meta={"current": 3, "total": 9, "status": "third file", "file": "c"})
        own = self.AsyncResult(self.request.id)
        seen.extend([own.state, own.info, worker.job(self.request.id).progress])
        return 9

    job = worker.task(body, bind=True).delay()
    worker.run_all()
    meta = {"current": 3, "total": 9, "status": "third file", "file": "c"}
    shown = {"current": 3, "total": 9, "message": "third file", "state": "COPYING", "meta": meta}
    assert seen == ["COPYING", meta, shown]
    assert (job.state, job.result, worker.job(job.id).state) == ("SUCCESS", 9, SUCCESS)


@pytest.mark.parametrize("meta", [None, [1, 2], {"current": "many"}, {"percent": 10.5}])
def test_meta_of_any_shape_is_shown_under_its_state(worker: LocalWorker, meta: Any) -> None:
    def body(self: Any) -> None:
        self.update_state(state="PROGRESS", meta=meta)

    job = worker.task(body, bind=True).delay()
    worker.run_all()
    assert worker.job(job.id).progress == {"message": "PROGRESS", "state": "PROGRESS", "meta": meta}


ENDINGS: dict[str, tuple[Any, tuple[State, Any]]] = {
    "SUCCESS": ({"rows": 3}, (SUCCESS, {"rows": 3})),
    "FAILURE": ({"exc_type": "LabError", "exc_message": ["no", "beam"]}, (FAILURE, "LabError")),
}


@pytest.mark.parametrize("state", ENDINGS)
def test_final_state_of_ones_own_counts_with_ignore_only(worker: LocalWorker, state: str) -> None:
    meta, expected = ENDINGS[state]

    def body(self: Any, ignore: bool) -> str:
        self.update_state(state=state, meta=meta)
        if ignore:
            raise Ignore
        return "returned"

    declared = worker.task(body, bind=True)
    ignored, returned = declared.delay(ignore=True), declared.delay(ignore=False)
    worker.run_all()
    assert worker.outcome(ignored.id) == expected
    assert worker.outcome(returned.id) == (SUCCESS, "returned")
    if state == "FAILURE":
        assert worker.job(ignored.id).error.message == "no\nbeam"  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ({"state": "REVOKED"}, "DELETE /status/<id>"),
        ({"state": "RETRY"}, "self.retry()"),
        ({"state": "PENDING"}, "cannot set the state PENDING"),
        ({"state": None}, "state must be a text"),
        ({"state": "X" * 65}, "1 to 64 characters"),
        ({"state": "A", "meta": {"x": object()}}, "meta"),
        ({"state": "A", "meta": "x" * 70_000}, "65536 are allowed"),
        ({"state": "A", "task_id": "other"}, "its own state only"),
    ],
)
def test_state_that_a_job_cannot_have_fails_it_with_a_sentence(
    worker: LocalWorker, given: dict[str, Any], named: str
) -> None:
    def body(self: Any) -> None:
        self.update_state(**given)

    job = worker.task(body, bind=True).delay()
    worker.run_all()
    row = worker.job(job.id)
    assert row.error is not None
    assert (row.state, row.error.type) == (FAILURE, "ValueError")
    assert named in row.error.message
    assert worker.task(body, bind=True).apply().get() is None


def test_result_knows_the_children_and_the_time_of_its_end(worker: LocalWorker) -> None:
    def leaf(x: int) -> int:
        return x

    small = worker.task(leaf)

    def body(fail: bool) -> int:
        small.delay(1)
        group(small.s(2), small.s(3)).delay()
        if fail:
            raise ValueError
        return 0

    parent = worker.task(body)
    done, failed = parent.delay(fail=False), parent.delay(fail=True)
    first = chain(small.s(4), small.s()).delay().parent
    worker.run_all()
    assert [child.get() for child in done.children[0:1]] == [1]
    assert done.children[1].get() == [2, 3]
    assert [len(failed.children), len(first.children), small.delay(1).children] == [2, 1, []]
    assert abs(done.date_done - datetime.now(UTC)) < timedelta(minutes=1)


def test_forget_says_what_to_do_instead(worker: LocalWorker) -> None:
    with pytest.raises(NotImplementedError, match=r"\[retention\]"):
        worker.app.send_task("add", (1, 2)).forget()
