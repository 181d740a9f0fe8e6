"""The changes of a job's state on each database, each in a transaction of its own, and reports that come too late."""

from collections.abc import Callable
from functools import partial

import peewee
import pytest

from pacifica.dispatcher import orm
from pacifica.dispatcher.core.errors import DatabaseUnavailable
from pacifica.dispatcher.core.job import Event, Job, State, now
from pacifica.dispatcher.store.committed_event import CommittedEvent
from pacifica.dispatcher.store.database import Database
from pacifica.dispatcher.store.jobs import JobStore
from pacifica.dispatcher.store.outbox import Outbox

from ..services import MYSQL, POSTGRESQL
from .conftest import a_job, all_at_once
from .job_steps import ERROR, add, claim, fail, get, kinds, lose, retry, succeed, terminate

FINALS: dict[str, Callable[[JobStore, Job], bool]] = {
    "SUCCESS": lambda jobs, job: bool(claim(jobs, job)) and succeed(jobs, job),
    "FAILURE": lambda jobs, job: bool(claim(jobs, job)) and fail(jobs, job),
    "REVOKED": lambda jobs, job: jobs.revoke(job.uuid, reason="cancelled", at=now()),
}
REPORTS: dict[str, Callable[[JobStore, Job], object]] = {
    "claim": lambda jobs, job: claim(jobs, job, "other"),
    "succeed": lambda jobs, job: succeed(jobs, job, "other", result="late"),
    "fail": lambda jobs, job: fail(jobs, job, "other"),
    "revoke": lambda jobs, job: jobs.revoke(job.uuid, reason="late", at=now()),
    "terminate": lambda jobs, job: terminate(jobs, job, "other"),
    "retry": lambda jobs, job: retry(jobs, job, "other"),
    "cancel": lambda jobs, job: jobs.ask_to_cancel(job.uuid, at=now()),
    "lose": lambda jobs, job: lose(jobs, job, "other"),
}
RECORDED = {"claim": "DROPPED", "succeed": "LATE", "fail": "LATE", "terminate": "LATE", "retry": "LATE"}
"""The events of late reports; a late cancellation is refused, and leaves no event."""


def test_a_claim_and_a_report_take_few_statements(
    database: Database, jobs: JobStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    job, ran = add(jobs), []
    execute, transact = database.peewee.execute_sql, database.peewee.atomic
    monkeypatch.setattr(database.peewee, "execute_sql", lambda *given: (ran.append("statement"), execute(*given))[1])
    monkeypatch.setattr(database.peewee, "atomic", lambda: (ran.append("transaction"), transact())[1])
    for step in (claim, succeed):
        ran.clear()
        assert step(jobs, job)
        assert ran == ["transaction", *["statement"] * 3], "the read of the row, its change, and the event"


def test_only_one_of_eight_competing_workers_claims_a_job(database: Database, jobs: JobStore) -> None:
    for _ in range(5):
        job = add(jobs)
        claims = all_at_once(database, [partial(claim, jobs, job, f"token-{number}") for number in range(8)])
        (won,) = [one for one in claims if one is not None]
        assert won.attempt == get(jobs, job).attempt == 1
        assert sorted(kinds(jobs, job)) == ["DROPPED"] * 7 + ["PENDING", "STARTED"]
        assert succeed(jobs, job, won.token)


def test_a_claim_is_repeated_only_on_request(jobs: JobStore) -> None:
    """Celery's pool hands a delivery, and so its token, to a second child if the first one dies early."""
    job = add(jobs)
    first = claim(jobs, job)
    assert claim(jobs, job) is None
    assert kinds(jobs, job) == ["PENDING", "STARTED", "DROPPED"]
    assert claim(jobs, job, again=True) == first
    assert claim(jobs, job, again=True, holder="other") is None


def test_a_claim_of_a_lost_or_finished_job_cannot_be_repeated(jobs: JobStore) -> None:
    lost, ended = add(jobs, expires=now() + 3_600_000_000), add(jobs)
    claim(jobs, lost)
    lose(jobs, lost)
    FINALS["SUCCESS"](jobs, ended)
    for job in (lost, ended):
        assert claim(jobs, job, at=now() + 7_200_000_000, again=True) is None


@pytest.mark.parametrize("retries", [0, 2])
def test_a_message_from_another_retry_claims_nothing(jobs: JobStore, retries: int) -> None:
    job = add(jobs)
    claim(jobs, job)
    assert retry(jobs, job)
    assert claim(jobs, job, "other", retries=retries) is None
    assert claim(jobs, job, "other", retries=1) is not None


def test_an_expired_job_is_not_claimed(jobs: JobStore) -> None:
    job = add(jobs, expires=now() - 1)
    assert claim(jobs, job) is None
    assert get(jobs, job).state is State.PENDING


def test_expired_jobs_are_revoked_some_at_a_time(database: Database) -> None:
    events: list[CommittedEvent] = []
    jobs, at = JobStore(database, on_event=events.append), now()
    expired, running = [add(jobs, expires=at - 1) for _ in range(3)], add(jobs, expires=at + 1)
    waiting = [add(jobs), add(jobs, expires=at + 2)]
    assert claim(jobs, running, at=at)
    events.clear()
    assert [jobs.revoke_expired(at=at + 1, limit=2) for _ in range(3)] == [2, 1, 0]
    assert {get(jobs, job).state for job in waiting} == {State.PENDING}
    assert get(jobs, running).state is State.STARTED
    for job in expired:
        found = get(jobs, job)
        assert (found.state, found.finished, found.due) == (State.REVOKED, at + 1, None)
        assert found.error is not None
        assert (found.error.type, found.error.message) == ("TaskRevokedError", "expired")
        assert jobs.events(job.uuid)[-1].data == {"reason": "expired"}
    assert {(event.kind, event.at, event.reason) for event in events} == {("REVOKED", at + 1, "expired")}
    assert sorted(event.job for event in events) == sorted(job.uuid for job in expired)


@pytest.mark.parametrize("shared_database", [POSTGRESQL, MYSQL], indirect=True)
def test_expired_job_that_is_locked_delays_no_other(database: Database, jobs: JobStore) -> None:
    locked, free = add(jobs, expires=1), add(jobs, expires=1)
    lock = orm.Job.select(orm.Job.uuid).where(orm.Job.uuid == locked.uuid).for_update()

    def change(db: peewee.Database) -> list[int]:
        assert list(lock.tuples().execute(db))
        return [all_at_once(database, [partial(jobs.revoke_expired, at=now(), limit=10)])[0] for _ in range(2)]

    assert database.write(change) == [1, 0]
    assert [get(jobs, job).state for job in (locked, free)] == [State.PENDING, State.REVOKED]


def test_an_unknown_job_is_not_claimed_and_has_no_history(jobs: JobStore) -> None:
    job = a_job()
    assert claim(jobs, job) is None
    for report in REPORTS.values():
        assert not report(jobs, job)
    assert jobs.events(job.uuid) == []


@pytest.mark.parametrize("final", FINALS)
def test_a_job_ends(jobs: JobStore, final: str) -> None:
    job = add(jobs)
    assert FINALS[final](jobs, job)
    found = get(jobs, job)
    assert (found.state, found.due) == (State(final), None)
    assert found.finished is not None
    assert kinds(jobs, job)[-1] == final


def test_a_failure_keeps_its_error(jobs: JobStore) -> None:
    job = add(jobs)
    FINALS["FAILURE"](jobs, job)
    assert get(jobs, job).error == ERROR
    assert jobs.events(job.uuid)[-1].data == {"type": "ValueError", "message": ERROR.message, "at": "lab.py:54"}


@pytest.mark.parametrize("report", REPORTS)
@pytest.mark.parametrize("final", FINALS)
def test_a_final_state_is_never_overwritten(jobs: JobStore, final: str, report: str) -> None:
    job = add(jobs)
    FINALS[final](jobs, job)
    ended, history = get(jobs, job), kinds(jobs, job)
    assert not REPORTS[report](jobs, job)
    assert get(jobs, job) == ended
    assert kinds(jobs, job) == history + ([RECORDED[report]] if report in RECORDED else [])


@pytest.mark.parametrize("report", ["succeed", "fail", "retry"])
def test_a_report_with_another_token_is_recorded_as_late(jobs: JobStore, report: str) -> None:
    job = add(jobs)
    claim(jobs, job)
    before = get(jobs, job)
    assert not REPORTS[report](jobs, job)
    assert get(jobs, job) == before
    assert jobs.events(job.uuid)[-1].kind == "LATE"
    assert jobs.events(job.uuid)[-1].data["state"] == "STARTED"


@pytest.mark.parametrize("report", ["succeed", "fail", "terminate", "retry", "lose", "cancel"])
def test_a_report_for_an_unclaimed_job_is_refused(jobs: JobStore, report: str) -> None:
    job = add(jobs)
    assert not REPORTS[report](jobs, job)
    assert jobs.get(job.uuid) == job


def test_a_retry_goes_into_the_outbox_with_its_arguments(jobs: JobStore, outbox: Outbox) -> None:
    job = add(jobs)
    claim(jobs, job)
    eta = now() + 60_000_000
    assert retry(jobs, job, eta=eta, args="[5]", kwargs='{"y":6}')
    found = get(jobs, job)
    assert (found.state, found.eta, found.due, found.retries) == (State.RETRY, eta, eta, 1)
    assert (found.args, found.kwargs, found.error) == ([5], {"y": 6}, ERROR)
    assert (found.published, found.holder, found.finished) == (None, None, None)
    assert outbox.take(at=eta - 1, lease=1, limit=10) == []
    (sent,) = outbox.take(at=eta, lease=1, limit=10)
    assert (sent.uuid, sent.retries) == (job.uuid, 1)
    won = claim(jobs, job, "second", retries=1)
    assert won is not None
    assert (won.attempt, won.args) == (2, "[5]")


def test_a_job_that_waits_for_its_retry_can_be_revoked(jobs: JobStore, outbox: Outbox) -> None:
    job = add(jobs)
    claim(jobs, job)
    retry(jobs, job)
    assert jobs.revoke(job.uuid, reason="cancelled", at=now())
    assert claim(jobs, job, retries=1) is None
    assert outbox.take(at=now(), lease=1, limit=10) == []


def test_a_started_job_can_be_asked_to_stop_once(jobs: JobStore) -> None:
    job = add(jobs)
    claim(jobs, job)
    assert not jobs.revoke(job.uuid, reason="cancelled", at=now())
    assert jobs.ask_to_cancel(job.uuid, at=now())
    assert not jobs.ask_to_cancel(job.uuid, at=now())
    assert kinds(jobs, job) == ["PENDING", "STARTED", "CANCEL"]
    assert terminate(jobs, job)
    assert get(jobs, job).state is State.REVOKED


@pytest.mark.parametrize("report", ["fail", "terminate", "lose"])
def test_a_report_for_an_earlier_attempt_is_refused(jobs: JobStore, report: str) -> None:
    job = add(jobs)
    claim(jobs, job, "other")
    assert lose(jobs, job, "other")
    claim(jobs, job)
    before = get(jobs, job)
    assert not REPORTS[report](jobs, job)
    assert get(jobs, job) == before
    assert succeed(jobs, job)


def test_a_lost_job_is_put_back_until_its_attempts_are_used_up(jobs: JobStore, outbox: Outbox) -> None:
    job = add(jobs, max_attempts=2)
    claim(jobs, job, "first")
    assert lose(jobs, job, "first")
    assert get(jobs, job).state is State.PENDING
    assert [sent.uuid for sent in outbox.take(at=now(), lease=1, limit=10)] == [job.uuid]
    won = claim(jobs, job, "second")
    assert won is not None
    assert won.attempt == 2
    assert not succeed(jobs, job, "first", result="late")
    assert lose(jobs, job, "second", reason="Worker exited prematurely: exitcode 3 Job: 8.")
    found = get(jobs, job)
    assert found.state is State.FAILURE
    assert found.error is not None
    assert found.error.type == "WorkerLostError"
    assert found.error.message.endswith("in its last attempt: Worker exited prematurely: exitcode 3 Job: 8.")
    assert kinds(jobs, job) == ["PENDING", "STARTED", "LOST", "STARTED", "LATE", "FAILURE"]


def test_a_tasks_own_retries_use_up_no_attempts(jobs: JobStore) -> None:
    job = add(jobs, max_attempts=1)
    claim(jobs, job)
    retry(jobs, job)
    claim(jobs, job, "second", retries=1)
    retry(jobs, job, "second", retries=2)
    assert claim(jobs, job, "third", retries=2) is not None
    assert succeed(jobs, job, "third")


def test_a_lost_job_that_was_to_be_cancelled_is_revoked(jobs: JobStore) -> None:
    job = add(jobs)
    claim(jobs, job)
    jobs.ask_to_cancel(job.uuid, at=now())
    assert lose(jobs, job)
    assert get(jobs, job).state is State.REVOKED


def test_a_job_cancelled_while_it_is_put_back_is_revoked_or_waits(database: Database, jobs: JobStore) -> None:
    for _ in range(10):
        job = add(jobs)
        claim(jobs, job)
        ask = partial(jobs.ask_to_cancel, job.uuid, at=now())
        answers = all_at_once(database, [ask, partial(lose, jobs, job)])
        asked = True in answers
        assert set(answers) == ({True, "REVOKED"} if asked else {False, "LOST"})
        assert get(jobs, job).state is (State.REVOKED if asked else State.PENDING)


def test_every_transition_increments_the_version(jobs: JobStore) -> None:
    job = add(jobs)
    claim(jobs, job)
    retry(jobs, job)
    claim(jobs, job, "second", retries=1)
    succeed(jobs, job, "second")
    assert get(jobs, job).version == 4


def test_events_of_a_job_are_read_in_order(jobs: JobStore) -> None:
    job, other = add(jobs), add(jobs)
    claim(jobs, job)
    claim(jobs, other)
    retry(jobs, job)
    claim(jobs, job, "second", retries=1)
    succeed(jobs, job, "second")
    events: list[Event] = jobs.events(job.uuid)
    assert [event.kind for event in events] == ["PENDING", "STARTED", "RETRY", "STARTED", "SUCCESS"]
    assert events == sorted(events, key=lambda event: event.id)
    assert kinds(jobs, other) == ["PENDING", "STARTED"]


def test_only_one_of_a_claim_and_a_revocation_succeeds(database: Database, jobs: JobStore) -> None:
    for _ in range(10):
        job = add(jobs)
        revoke = partial(jobs.revoke, job.uuid, reason="cancelled", at=now())
        assert sorted(all_at_once(database, [lambda job=job: bool(claim(jobs, job)), revoke])) == [False, True]


# Notifications


def test_on_event_is_called_for_each_committed_change(database: Database) -> None:
    events: list[CommittedEvent] = []
    jobs = JobStore(database, on_event=events.append)
    job, other = add(jobs), add(jobs)
    claim(jobs, job)
    retry(jobs, job)
    claim(jobs, job, "second", retries=1)
    jobs.ask_to_cancel(job.uuid, at=now())
    lose(jobs, job, "second")
    succeed(jobs, job, "second")
    claim(jobs, job)
    jobs.revoke(other.uuid, reason="expired", at=now())
    jobs.revoke(other.uuid, reason="expired", at=now())
    assert [event.kind for event in events if event.job == job.uuid] == [
        *("PENDING", "STARTED", "RETRY", "STARTED", "CANCEL", "REVOKED", "LATE", "DROPPED")
    ]
    assert [(event.kind, event.reason) for event in events if event.job == other.uuid] == [
        ("PENDING", None),
        ("REVOKED", "expired"),
    ]
    assert [event.token for event in events if event.reported] == ["token", "second"]


def test_on_event_is_not_called_for_a_change_that_is_rolled_back(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    events: list[CommittedEvent] = []
    jobs = JobStore(database, on_event=events.append)
    job = add(jobs)
    claim(jobs, job)
    del events[:]

    write = database.write

    def write_and_fail(change: Callable[[peewee.Database], object], **_: bool) -> None:
        def fail(db: peewee.Database) -> None:
            change(db)
            raise DatabaseUnavailable("It is away.")

        write(fail)

    monkeypatch.setattr(database, "write", write_and_fail)
    for refused in (
        lambda: jobs.add([a_job()]),
        lambda: jobs.ask_to_cancel(job.uuid, at=now()),
        lambda: succeed(jobs, job),
        lambda: lose(jobs, job),
    ):
        with pytest.raises(DatabaseUnavailable):
            refused()
    assert events == []
    assert kinds(jobs, job) == ["PENDING", "STARTED"]
