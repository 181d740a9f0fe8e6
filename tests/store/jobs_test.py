"""Storing and reading job rows on each database."""

import threading
from collections.abc import Callable
from functools import partial
from typing import Any

import peewee
import pytest

from pacifica.dispatcher import orm
from pacifica.dispatcher.core.errors import DatabaseUnavailable
from pacifica.dispatcher.core.job import Job, State, new_uuid
from pacifica.dispatcher.store.database import Database
from pacifica.dispatcher.store.jobs import JobStore

from ..eventually import eventually
from .conftest import a_job, all_at_once
from .job_steps import ERROR, add, claim, get, kinds, succeed

NASTY = ["\0", "\ud800", "😀 é", "'; DROP TABLE job; --", "\\", "%s ? {}", "x" * 200_000, ""]
VALUES: list[Any] = [None, 0, 1.5, "", "text", True, [], {}, {"a": [None, {"b": 10**4000}]}, *NASTY]


def test_every_field_of_a_job_is_stored(jobs: JobStore) -> None:
    full = a_job(
        args=NASTY,
        kwargs={f"key{number}": text for number, text in enumerate(NASTY)} | {"\0": 1, "😀": None},
        state=State.RETRY,
        attempt=3,
        retries=2,
        max_attempts=1000,
        queue="q" * 191,
        priority=9,
        eta=253_402_300_799_999_999,
        expires=-1,
        due=1,
        published=2,
        started=3,
        finished=4,
        worker="w" * 191,
        holder=new_uuid(),
        cancel=True,
        replay_of=new_uuid(),
        result={"nested": [NASTY]},
        error=ERROR,
        headers={"link": [{"task": "add", "args": [1]}]},
        version=7,
    )
    jobs.add([full])
    assert jobs.get(full.uuid) == full


@pytest.mark.parametrize("cancel", [True, False])
def test_the_cancel_flag_is_read_as_a_bool(jobs: JobStore, cancel: bool) -> None:
    assert get(jobs, add(jobs, cancel=cancel)).cancel is cancel


def test_a_new_job_has_its_first_event(jobs: JobStore) -> None:
    job = add(jobs)
    assert jobs.get(job.uuid) == job
    assert [(event.kind, event.at, event.data) for event in jobs.events(job.uuid)] == [("PENDING", job.created, {})]


def test_an_unknown_job_is_none(jobs: JobStore) -> None:
    assert jobs.get(new_uuid()) is None
    assert jobs.get("nope") is None
    assert jobs.events(new_uuid()) == []


@pytest.mark.parametrize("result", VALUES, ids=range(len(VALUES)))
def test_every_result_is_stored(jobs: JobStore, result: Any) -> None:
    job = add(jobs)
    claim(jobs, job)
    assert succeed(jobs, job, result=result)
    found = get(jobs, job)
    assert (found.state, found.result, found.error) == (State.SUCCESS, result, None)
    assert type(found.result) is type(result)


def test_jobs_are_stored_together_or_not_at_all(jobs: JobStore) -> None:
    first = a_job()
    with pytest.raises(peewee.IntegrityError):
        jobs.add([first, a_job(), first])
    assert jobs.get(first.uuid) is None
    assert jobs.events(first.uuid) == []


def test_the_table_refuses_an_unknown_state(database: Database, jobs: JobStore) -> None:
    job = add(jobs)
    with pytest.raises((peewee.IntegrityError, DatabaseUnavailable)):  # MariaDB reports an OperationalError
        database.write(lambda db: orm.Job.update(state="DONE").where(orm.Job.uuid == job.uuid).execute(db))
    assert get(jobs, job).state is State.PENDING


def test_concurrent_dispatches_share_a_commit_but_no_failure(
    database: Database, jobs: JobStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    known, go = add(jobs), threading.Event()
    write, writes = database.write, []

    def slowly(change: Callable[[peewee.Database], Any], **options: Any) -> Any:
        writes.append(1)
        if len(writes) == 1:
            assert go.wait(20)
        return write(change, **options)

    monkeypatch.setattr(database, "write", slowly)
    fresh = [a_job() for _ in range(5)]

    def first() -> str | None:
        return jobs.add(fresh[:1])

    def other(job: Job) -> str | None:
        eventually(lambda: bool(writes))
        return jobs.add([job])

    def begin() -> None:
        eventually(lambda: jobs.additions.waiting == len(fresh))
        go.set()

    others = [partial(other, job) for job in (*fresh[1:], known)]
    answers = all_at_once(database, [first, *others, begin])
    assert [answer for answer in answers if answer is not None] == [known.uuid]
    assert len(writes) == 1 + 1 + len(others)  # The first; all others together, which fails because of one; each alone.
    assert all(kinds(jobs, job) == ["PENDING"] for job in (*fresh, known))
