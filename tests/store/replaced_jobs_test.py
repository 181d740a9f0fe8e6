"""A row that its task has vacated for a replacement, and columns that a retry changes, on each database."""

from dataclasses import replace
from typing import Any

import pytest

from pacifica.dispatcher.core.job import Job, State, now
from pacifica.dispatcher.store.jobs import JobStore
from pacifica.dispatcher.store.outbox import Outbox

from .job_steps import add, claim, fail, get, kinds, retry

BEFORE = {"task": "add", "args": [2, 2], "kwargs": {}}


def vacated(jobs: JobStore) -> Job:
    """A job that waits for its replacement."""
    job = add(jobs)
    assert claim(jobs, job)
    assert jobs.vacate(job.uuid, token="token", until=now() + 20_000_000, at=now(), before=BEFORE)
    return job


def test_replacement_takes_over_a_vacated_row_once(jobs: JobStore, outbox: Outbox) -> None:
    job = vacated(jobs)
    new = replace(job, task="mul", args=[3], queue="q", priority=4, headers={"retries_before": 1}, due=now())
    assert jobs.take_over(new)
    assert not jobs.take_over(replace(new, task="late"))
    row = get(jobs, job)
    assert (row.task, row.args, row.queue, row.priority, row.retries, row.holder) == ("mul", [3], "q", 4, 1, None)
    assert [entry.task for entry in outbox.take(at=now(), lease=1, limit=9)] == ["mul"]
    assert claim(jobs, job) is None
    assert claim(jobs, job, token="next", retries=1)
    assert kinds(jobs, job) == ["PENDING", "STARTED", "REPLACED", "DROPPED", "STARTED"]


def test_vacated_row_waits_while_its_replacement_is_on_the_way(jobs: JobStore, outbox: Outbox) -> None:
    job = vacated(jobs)
    assert [entry.uuid for entry in outbox.take(at=now() + 21_000_000, lease=0, limit=9)] == [job.uuid]
    assert jobs.keep_vacant(job.uuid, token="token")
    assert outbox.take(at=1 << 60, lease=0, limit=9) == []
    assert not jobs.keep_vacant(job.uuid, token="other")


def test_attempt_gets_its_row_back_if_there_is_no_replacement(jobs: JobStore) -> None:
    job = vacated(jobs)
    assert not jobs.reoccupy(job.uuid, token="other", holder="holder")
    assert jobs.reoccupy(job.uuid, token="token", holder="holder")
    assert fail(jobs, job)
    assert get(jobs, job).retries == 0


@pytest.mark.parametrize("how", ["other claim", "cancelled"])
def test_row_of_another_attempt_or_a_cancelled_job_is_not_vacated(jobs: JobStore, how: str) -> None:
    job = add(jobs)
    assert claim(jobs, job)
    if how == "cancelled":
        assert jobs.ask_to_cancel(job.uuid, at=now())
    token = "token" if how == "cancelled" else "other"
    assert not jobs.vacate(job.uuid, token=token, until=now(), at=now(), before=BEFORE)
    assert get(jobs, job).state is (State.REVOKED if how == "cancelled" else State.STARTED)


def test_waiting_row_of_a_replaced_job_can_be_cancelled(jobs: JobStore) -> None:
    job = vacated(jobs)
    assert jobs.revoke(job.uuid, reason="cancelled", at=now())
    assert not jobs.take_over(job)


def test_retry_changes_the_columns_that_it_names_only(jobs: JobStore) -> None:
    job = add(jobs, queue="first", priority=1, headers={"shadow": "s"})
    changes: list[dict[str, Any]] = [{"queue": "second", "expires": now() * 2}, {"headers": {"shadow": "t"}}]
    for number, columns in enumerate(changes):
        assert claim(jobs, job, token=f"t{number}", retries=number)
        assert retry(jobs, job, f"t{number}", retries=number + 1, columns=columns)
    row = get(jobs, job)
    assert (row.queue, row.priority, row.headers, bool(row.expires)) == ("second", 1, {"shadow": "t"}, True)
