"""The present jobs, and the history, as a caller may see them."""

from collections import Counter

import pytest

from pacifica.dispatcher.core.job import JobError, now
from pacifica.dispatcher.core.permissions import EVERY_JOB, Visibility
from pacifica.dispatcher.store import present_jobs
from pacifica.dispatcher.store.database import Database
from pacifica.dispatcher.store.job_minutes import HOUR_SPAN, MINUTE
from pacifica.dispatcher.store.jobs import JobStore
from pacifica.dispatcher.store.present_jobs import PresentJobs, QueuedJobs
from pacifica.dispatcher.store.workers import Serving, WorkerStore

from .job_minutes_test import count
from .job_steps import add, claim, fail, retry, succeed

SECOND = 1_000_000
LAB, ANN, OTHER = Visibility(("lab.*",)), Visibility(("*",), "ann"), Visibility(("other",))


@pytest.fixture
def present(database: Database) -> PresentJobs:
    """The present jobs of an empty database."""
    return PresentJobs(database)


def test_queues_have_depth_and_age_of_visible_jobs(jobs: JobStore, present: PresentJobs) -> None:
    add(jobs, task="lab.a", target_queue="fast", created=30)
    add(jobs, task="lab.a", target_queue="fast", created=20, caller="ann")
    add(jobs, task="add", target_queue="fast", created=10)
    add(jobs, task="add", target_queue="slow", created=10, eta=1000, due=1000)
    add(jobs, task="add", created=40, eta=50, due=None, published=41)
    again = add(jobs, task="add", target_queue="slow", created=1)
    claim(jobs, again, "t", at=2)
    retry(jobs, again, "t", eta=60)
    done = add(jobs, task="lab.a", target_queue="fast", created=5)
    claim(jobs, done, "t")
    succeed(jobs, done, "t")
    assert present.queues(EVERY_JOB, at=900) == (
        [QueuedJobs("", 1, 0, 50), QueuedJobs("fast", 3, 0, 10), QueuedJobs("slow", 1, 1, 60)],
        True,
    )
    assert present.queues(LAB, at=900)[0] == [QueuedJobs("fast", 2, 0, 20)]
    assert present.queues(ANN, at=900)[0] == [QueuedJobs("fast", 1, 0, 20)]
    assert present.queues(OTHER, at=900) == ([], True)
    found, whole = present.queues(EVERY_JOB, at=900, limit=2)
    assert (sum(queue.jobs + queue.later for queue in found), whole) == (3, False)


def test_running_jobs_are_those_that_the_caller_may_see(jobs: JobStore, present: PresentJobs) -> None:
    started = [add(jobs, task=task, caller=who) for task, who in (("lab.a", ""), ("add", "ann"), ("add", ""))]
    for number, job in enumerate(started):
        claim(jobs, job, job.uuid, holder=f"h{number}", worker="celery@lab", at=100 - number)
    add(jobs)
    assert [job.uuid for job in present.running(EVERY_JOB)] == [job.uuid for job in reversed(started)]
    (mine,) = present.running(ANN)
    assert (mine.uuid, mine.task, mine.holder, mine.worker, mine.started) == (
        started[1].uuid,
        "add",
        "h1",
        "celery@lab",
        99,
    )
    assert [job.task for job in present.running(LAB)] == ["lab.a"]


def test_newest_failures_come_first_with_their_errors(
    jobs: JobStore, present: PresentJobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    failed = [add(jobs, task=task, caller=who) for task, who in (("lab.a", ""), ("add", "ann"), ("add", ""))]
    for job, at in zip(failed, (3, 2, 1), strict=True):
        claim(jobs, job, job.uuid)
        fail(jobs, job, job.uuid, error=JobError("ValueError", "no <peak>", "a traceback"), at=at)
    assert [(job.uuid, job.finished) for job in present.failures(EVERY_JOB)] == [
        (job.uuid, at) for job, at in zip(failed, (3, 2, 1), strict=True)
    ]
    assert [job.uuid for job in present.failures(ANN)] == [failed[1].uuid]
    assert [job.task for job in present.failures(LAB)] == ["lab.a"]
    assert present.errors([failed[0].uuid]) == {failed[0].uuid: ("ValueError", "no <peak>")}
    assert present.errors([]) == {}
    monkeypatch.setattr(present_jobs, "NEWEST_FAILURES", 1)
    assert [job.uuid for job in present.failures(EVERY_JOB)] == [failed[2].uuid]


def test_workers_are_those_with_a_heartbeat(database: Database, present: PresentJobs) -> None:
    workers = WorkerStore(database)
    for holder, name in (("h2", "celery@b"), ("h1", "celery@a")):
        workers.beat(holder, name, at=7, serving=Serving(2, ["b", "a"]))
    workers.beat("h1", "celery@a", at=8, serving=Serving(4))
    assert present.workers() == [("h1", "celery@a", 7, 4, ()), ("h2", "celery@b", 7, 2, ["a", "b"])]


def test_tasks_that_no_worker_has_are_shown_to_those_who_may_see_all_their_jobs(
    jobs: JobStore, present: PresentJobs
) -> None:
    job = add(jobs, task="lab.a", caller="ann")
    assert jobs.lacks_task(job.uuid, task="lab.a", worker="w", retries=0, at=now())
    assert present.without_worker(EVERY_JOB) == present.without_worker(LAB) == [("lab.a", 1)]
    assert present.without_worker(OTHER) == present.without_worker(ANN) == []


def test_history_is_that_of_visible_tasks(jobs: JobStore, database: Database, present: PresentJobs) -> None:
    for task, fails in (("lab.a", False), ("add", True), ("add", False)):
        job = add(jobs, task=task, caller="ann")
        claim(jobs, job, job.uuid)
        assert fail(jobs, job, job.uuid) if fails else succeed(jobs, job, job.uuid)
    count(database)

    def seen(visibility: Visibility) -> dict[str, int]:
        rows = present.history(visibility, HOUR_SPAN, 0)
        numbers: Counter[str] = Counter()
        for key, ended in rows:
            numbers[key.task] += ended.jobs
        return numbers

    assert seen(EVERY_JOB) == {"": 3}
    assert seen(LAB) == {"lab.a": 1}
    assert seen(Visibility(("add",))) == {"add": 2}
    assert seen(OTHER) == seen(ANN) == {}
    ((key, ended),) = present.failed_tasks(EVERY_JOB, 0)
    assert (key.span, key.task, ended.jobs) == (MINUTE, "add", 1)
    assert present.failed_tasks(LAB, 0) == present.failed_tasks(ANN, 0) == []


def test_few_jobs_are_counted_that_the_caller_may_see(jobs: JobStore, present: PresentJobs) -> None:
    assert present.count_up_to(2, EVERY_JOB) == 0
    for task in ("lab.a", "add", "add"):
        add(jobs, task=task)
    assert [present.count_up_to(2, those) for those in (EVERY_JOB, LAB, ANN, OTHER)] == [2, 1, 0, 0]
