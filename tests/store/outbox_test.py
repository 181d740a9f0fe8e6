"""The outbox on each database: which relay gets which job, and when it becomes due again."""

from functools import partial

import pytest

from pacifica.dispatcher.core.job import Job, OutboxEntry, now
from pacifica.dispatcher.service.new_job import outbox_entry
from pacifica.dispatcher.store.database import Database
from pacifica.dispatcher.store.jobs import JobStore
from pacifica.dispatcher.store.outbox import Kind, Outbox

from .conftest import a_job, all_at_once
from .job_steps import add, claim, lose, retry

LEASE = 1_000_000
HOUR = 3_600_000_000


def take(outbox: Outbox, at: int | None = None, limit: int = 1000) -> list[str]:
    """The jobs that a relay gets."""
    return [job.uuid for job in outbox.take(at=now() if at is None else at, lease=LEASE, limit=limit)]


def due(jobs: JobStore, job: Job) -> int | None:
    """The time at which the job becomes due."""
    found = jobs.get(job.uuid)
    assert found is not None
    return found.due


def test_an_outbox_entry_has_all_values_of_a_message(jobs: JobStore, outbox: Outbox) -> None:
    job = add(jobs, queue="q", priority=5, expires=now() + HOUR, headers={"link": [1]}, retries=2, version=3)
    assert outbox.take(at=now(), lease=LEASE, limit=10) == [outbox_entry(job)]


def test_due_jobs_are_taken_oldest_first(jobs: JobStore, outbox: Outbox) -> None:
    at = now()
    made = [add(jobs, due=at - age) for age in (1, 3, 2)]
    assert take(outbox, at, limit=2) == [made[1].uuid, made[2].uuid]
    assert take(outbox, at) == [made[0].uuid]
    assert take(outbox, at) == []


def test_a_taken_job_belongs_to_one_relay_until_its_lease_expires(jobs: JobStore, outbox: Outbox) -> None:
    at = now()
    job = add(jobs, due=at)
    assert take(outbox, at) == [job.uuid]
    assert take(outbox, at + LEASE - 1) == []
    assert take(outbox, at + LEASE) == [job.uuid]


def test_a_scheduled_job_is_not_taken_before_its_time(jobs: JobStore, outbox: Outbox) -> None:
    eta = now() + HOUR
    job = add(jobs, eta=eta, due=eta)
    assert take(outbox, eta - 1) == []
    assert take(outbox, eta) == [job.uuid]


def test_competing_relays_share_the_jobs(database: Database, jobs: JobStore, outbox: Outbox) -> None:
    made = [a_job() for _ in range(300)]
    jobs.add(made)
    at = now()

    def relay() -> list[str]:
        mine: list[str] = []
        while taken := take(outbox, at, limit=7):
            mine += taken
        return mine

    shares = all_at_once(database, [relay] * 2)
    assert sorted(uuid for share in shares for uuid in share) == sorted(job.uuid for job in made)


def test_a_published_job_has_left_the_outbox(jobs: JobStore, outbox: Outbox) -> None:
    job, other = add(jobs), add(jobs)
    at = now()
    outbox.mark_published([outbox_entry(job)], at=at)
    found = jobs.get(job.uuid)
    assert found is not None
    assert (found.published, found.due) == (at, None)
    assert take(outbox) == [other.uuid]


def test_a_claimed_job_keeps_its_time_of_publication(jobs: JobStore, outbox: Outbox) -> None:
    job = add(jobs)
    assert claim(jobs, job)
    outbox.mark_published([outbox_entry(job)], at=5)
    found = jobs.get(job.uuid)
    assert found is not None
    assert found.published is not None
    assert found.due is None


def test_marking_claimed_jobs_as_published_writes_nothing(
    database: Database, jobs: JobStore, outbox: Outbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = [add(jobs) for _ in range(12)]
    assert all(claim(jobs, job) for job in made)
    monkeypatch.setattr(database, "write", None)
    outbox.mark_published([outbox_entry(job) for job in made], at=now())


@pytest.mark.parametrize("number", [1, 2, 10, 11, 100, 101])
def test_any_number_of_jobs_is_marked_as_published(jobs: JobStore, outbox: Outbox, number: int) -> None:
    made = [a_job(version=place % 2) for place in range(number)]
    jobs.add(made)
    outbox.mark_published([outbox_entry(job) for job in made[: number - 1]], at=now())
    assert take(outbox) == [made[-1].uuid]
    outbox.mark_published([outbox_entry(job) for job in made], at=now())
    assert {due(jobs, job) for job in made} == {None}


def test_an_empty_list_can_be_marked_as_published(jobs: JobStore, outbox: Outbox) -> None:
    job = add(jobs)
    outbox.mark_published([], at=now())
    outbox.release([], at=now())
    assert due(jobs, job) == job.due


def retried(jobs: JobStore) -> tuple[Job, int]:
    """A job whose task asked for a retry in an hour."""
    job, eta = add(jobs), now() + HOUR
    assert claim(jobs, job)
    retry(jobs, job, eta=eta)
    return job, eta


def test_a_late_confirmation_leaves_a_retry_in_the_outbox(jobs: JobStore, outbox: Outbox) -> None:
    job, eta = retried(jobs)
    outbox.mark_published([outbox_entry(job)], at=now())
    assert due(jobs, job) == eta


def test_a_late_release_does_not_hasten_a_retry(jobs: JobStore, outbox: Outbox) -> None:
    job, eta = retried(jobs)
    outbox.release([outbox_entry(job)], at=now())
    assert due(jobs, job) == eta


def test_a_late_confirmation_leaves_a_lost_job_in_the_outbox(jobs: JobStore, outbox: Outbox) -> None:
    job = add(jobs)
    assert claim(jobs, job)
    assert lose(jobs, job, reason="its worker was stopped")
    outbox.mark_published([outbox_entry(job)], at=now())
    (again,) = outbox.take(at=now(), lease=LEASE, limit=10)
    assert again.uuid == job.uuid
    outbox.mark_published([again], at=now())
    assert due(jobs, job) is None


def test_a_released_job_is_due_at_once(jobs: JobStore, outbox: Outbox) -> None:
    job = add(jobs)
    at = now()
    (taken,) = outbox.take(at=job.created, lease=HOUR, limit=10)
    assert take(outbox, at) == []
    outbox.release([taken], at=at)
    assert take(outbox, at) == [job.uuid]


@pytest.mark.parametrize("end", ["published", "claimed", "revoked"])
def test_releasing_a_published_job_does_not_put_it_back(jobs: JobStore, outbox: Outbox, end: str) -> None:
    job = add(jobs)
    if end == "published":
        outbox.mark_published([outbox_entry(job)], at=now())
    elif end == "claimed":
        claim(jobs, job)
    else:
        jobs.revoke(job.uuid, reason="cancelled", at=now())
    outbox.release([outbox_entry(job)], at=now())
    assert take(outbox) == []


def test_the_backlog_counts_up_to_its_limit(jobs: JobStore, outbox: Outbox) -> None:
    assert outbox.backlog(at=now(), limit=10) == (0, None, True)
    jobs.add([a_job(created=number + 1, due=number) for number in range(5)])
    add(jobs, eta=now() + HOUR, due=now() + HOUR)
    assert outbox.backlog(at=now(), limit=10) == (5, 1, True)
    assert outbox.backlog(at=now(), limit=3) == (3, 1, False)


def test_the_age_of_the_backlog_counts_from_eta_or_loss(jobs: JobStore, outbox: Outbox) -> None:
    add(jobs, created=1, eta=50, due=50)
    assert outbox.backlog(at=100, limit=10) == (1, 50, True)
    lost = add(jobs, created=1, due=1)
    assert claim(jobs, lost, "t", at=40)
    assert lose(jobs, lost, "t", at=60)
    assert outbox.backlog(at=100, limit=10) == (2, 40, True)


def test_sent_jobs_that_wait_are_counted_by_kind(jobs: JobStore, outbox: Outbox) -> None:
    old, newer, started, unsent = (add(jobs) for _ in range(4))
    other = add(jobs, queue="q")
    for age, job in enumerate((old, newer, started, other)):
        outbox.mark_published([outbox_entry(job)], at=10 + age)
    claim(jobs, started)
    kind = Kind("add", None)
    assert set(outbox.waiting()) == {kind, Kind("add", "q")}
    assert [outbox.count_sent(kind, since=since, until=100, limit=10) for since in (0, 10, 11, 12)] == [2, 2, 1, 0]
    assert outbox.count_sent(kind, since=0, until=11, limit=10) == 1
    assert outbox.count_sent(kind, since=0, until=100, limit=1) == 1
    assert outbox.count_sent(Kind("add", "q"), since=0, until=100, limit=10) == 1
    assert outbox.sent_first(kind, until=100, limit=10) == [(10, old.uuid), (11, newer.uuid)]
    assert outbox.sent_first(kind, until=100, limit=1) == outbox.sent_first(kind, until=11, limit=10)
    outbox.mark_published([outbox_entry(unsent)], at=now())
    outbox.send_again([old.uuid, started.uuid], at=5)
    assert take(outbox) == [old.uuid]


def test_a_thousand_jobs_are_marked_and_sent_again_at_once(jobs: JobStore, outbox: Outbox) -> None:
    made = [a_job() for _ in range(1000)]
    jobs.add(made)
    sent: list[OutboxEntry] = [outbox_entry(job) for job in made]
    outbox.mark_published(sent, at=now())
    assert take(outbox) == []
    outbox.send_again([job.uuid for job in made], at=now())
    assert sorted(take(outbox)) == sorted(job.uuid for job in made)


def test_concurrent_marking_and_taking_publish_no_job_twice(database: Database, jobs: JobStore, outbox: Outbox) -> None:
    jobs.add([a_job() for _ in range(100)])

    def relay() -> int:
        sent = 0
        while taken := outbox.take(at=now(), lease=HOUR, limit=9):
            outbox.mark_published(taken, at=now())
            sent += len(taken)
        return sent

    assert sum(all_at_once(database, [partial(relay) for _ in range(3)])) == 100


def test_jobs_left_in_the_future_by_a_clock_set_back_become_due(jobs: JobStore, outbox: Outbox) -> None:
    at = now()
    left, sent = add(jobs, due=at + HOUR), add(jobs)
    taken = add(jobs, eta=at - 1, due=at + HOUR)
    scheduled, in_hand = add(jobs, eta=at + HOUR, due=at + HOUR), add(jobs, due=at + LEASE)
    outbox.mark_published([outbox_entry(sent)], at=at + HOUR)
    outbox.recall(at=at, lease=LEASE)
    assert [due(jobs, job) for job in (left, taken, scheduled, in_hand)] == [at, at, at + HOUR, at + LEASE]
    assert outbox.sent_first(Kind("add", None), until=at + 1, limit=10) == [(at, sent.uuid)]


def test_a_delayed_recall_leaves_a_job_to_the_relay_that_has_taken_it(jobs: JobStore, outbox: Outbox) -> None:
    """A process that starts on a busy machine may execute the statement a second after it has read the time."""
    began = now()
    job = add(jobs, due=began)
    taken_at = began + LEASE
    assert take(outbox, taken_at) == [job.uuid]
    outbox.recall(at=began, lease=LEASE)
    assert take(outbox, taken_at) == []
