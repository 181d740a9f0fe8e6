"""The retries of a job: a bounded part of the later jobs of its task is searched."""

from typing import Any

import pytest

from pacifica.dispatcher.core.job import Job, State
from pacifica.dispatcher.store import lineage
from pacifica.dispatcher.store.jobs import JobStore

from .conftest import a_job


def created(at: int, **columns: Any) -> Job:
    return a_job(**{"created": at, "state": State.SUCCESS, "finished": at, "due": None, **columns})


def test_retries_are_found_among_the_next_and_the_newest_jobs(jobs: JobStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lineage, "LOOKED_AT", 2)
    old = created(10)
    retries = [created(at, replay_of=old.uuid) for at in range(12, 19)]
    others = [created(at, replay_of=a_job().uuid) for at in (9, 11, 20)]
    jobs.add([old, *retries, *others, created(30, task="other", replay_of=old.uuid)])
    assert [one.uuid for one in jobs.retries(old)] == [retries[0].uuid, retries[-1].uuid]
    assert jobs.retries(others[-1]) == []
    assert [jobs.lineage_is_searched_in_part(job) for job in (old, retries[3], retries[4])] == [True, False, False]


def test_retry_is_found_once_and_has_its_state(jobs: JobStore) -> None:
    old = created(10, caller="token:me")
    new = created(11, replay_of=old.uuid, caller="token:me", state=State.REVOKED)
    jobs.add([old, new])
    assert jobs.retries(old) == [lineage.RelatedJob(new.uuid, "add", State.REVOKED, 11, "token:me")]


def test_latest_events_are_read_oldest_first(jobs: JobStore) -> None:
    job = created(10, state=State.PENDING)
    jobs.add([job])
    for number in range(5):
        jobs.lacks_task(job.uuid, task="add", worker=f"w{number}", retries=0, at=number)
    jobs.revoke(job.uuid, reason="cancelled", at=9)
    kinds = [event.kind for event in jobs.events(job.uuid)]
    assert kinds == ["PENDING", "LACKS_TASK", "REVOKED"]
    assert [event.kind for event in jobs.events(job.uuid, 2)] == kinds[-2:]


def test_children_are_found_among_the_next_jobs_after_the_start(
    jobs: JobStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lineage, "LOOKED_AT", 4)
    parent = created(10, started=20)
    own, other = {"root_id": "r", "parent_id": parent.uuid}, {"parent_id": a_job().uuid, "root_id": parent.uuid}
    children = [created(at, task=f"t{at}", headers=own) for at in (20, 22, 23, 40)]
    jobs.add([parent, *children, created(15, headers=own), created(21, headers=other), created(50)])
    assert [one.task for one in jobs.children(parent)] == ["t20", "t22", "t23"]
    assert [jobs.lineage_is_searched_in_part(one) for one in (parent, children[1])] == [True, False]
    assert jobs.children(created(10, started=None)) == []
