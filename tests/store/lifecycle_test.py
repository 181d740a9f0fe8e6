"""The changes of a job's state on each database, and the reports that come too late."""

from collections.abc import Callable, Mapping
from contextlib import closing
from functools import partial
from typing import Any

import peewee
import pytest

from pacifica.dispatcher.core.errors import DatabaseUnavailable
from pacifica.dispatcher.core.job import Claim, Event, Job, State, now
from pacifica.dispatcher.store import transitions
from pacifica.dispatcher.store.committed_event import CommittedEvent
from pacifica.dispatcher.store.database import Database
from pacifica.dispatcher.store.jobs import JobStore
from pacifica.dispatcher.store.outbox import Outbox
from pacifica.dispatcher.store.prepared import Prepared

from ..services import POSTGRESQL
from .conftest import a_job, all_at_once
from .job_steps import ERROR, add, claim, get, kinds, retry

FINALS: dict[str, Callable[[JobStore, Job], bool]] = {
    "SUCCESS": lambda jobs, job: bool(claim(jobs, job)) and jobs.succeed(job.uuid, token="token", result=4, at=now()),
    "FAILURE": lambda jobs, job: bool(claim(jobs, job)) and jobs.fail(job.uuid, token="token", error=ERROR, at=now()),
    "REVOKED": lambda jobs, job: jobs.revoke(job.uuid, reason="cancelled", at=now()),
}
REPORTS: dict[str, Callable[[JobStore, Job], object]] = {
    "claim": lambda jobs, job: claim(jobs, job, token="other"),
    "succeed": lambda jobs, job: jobs.succeed(job.uuid, token="other", result="late", at=now()),
    "fail": lambda jobs, job: jobs.fail(job.uuid, token="other", error=ERROR, at=now()),
    "revoke": lambda jobs, job: jobs.revoke(job.uuid, reason="late", at=now()),
    "revoke_started": lambda jobs, job: jobs.revoke_started(job.uuid, token="other", reason="late", at=now()),
    "retry": lambda jobs, job: retry(jobs, job, token="other"),
    "cancel": lambda jobs, job: jobs.ask_to_cancel(job.uuid, at=now()),
    "lose": lambda jobs, job: jobs.lose(job.uuid, token="other", reason="late", at=now()),
}
RECORDED = {
    "claim": "DROPPED",
    "succeed": "LATE",
    "fail": "LATE",
    "revoke_started": "LATE",
    "retry": "LATE",
}
"""The events of late reports; a late cancellation is refused, and leaves no event."""


def test_an_attempt_takes_few_statements(database: Database, jobs: JobStore, monkeypatch: pytest.MonkeyPatch) -> None:
    job, ran = add(jobs), []
    execute, begin, commit = database.peewee.execute_sql, database.peewee.begin, database.peewee.commit
    monkeypatch.setattr(database.peewee, "execute_sql", lambda *given: (ran.append("statement"), execute(*given))[1])
    monkeypatch.setattr(database.peewee, "begin", lambda *given: (ran.append("begin"), begin(*given))[1])
    monkeypatch.setattr(database.peewee, "commit", lambda: (ran.append("commit"), commit())[1])
    assert claim(jobs, job) is not None
    claimed, ran[:] = list(ran), []
    assert jobs.succeed(job.uuid, token="token", result=4, at=now())
    if database.postgresql:
        assert claimed == ran == ["statement"]
    else:
        read_back = ["statement"] * database.mysql  # It has no UPDATE … RETURNING.
        assert claimed == ["begin", "statement", *read_back, "statement", "commit"]
        assert ran == ["begin", "statement", "statement", "commit"]
    assert jobs.events(job.uuid)[1].data == {"attempt": 1, "worker": "celery@h"}


@pytest.mark.slow
def test_a_claim_is_not_repeated_when_its_answer_is_lost(
    make_database: Callable[[str], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with closing(Database(make_database(POSTGRESQL))) as database:
        database.wait_until_up(1, 0.0)
        jobs = JobStore(database)
        job = add(jobs)
        execute = database.peewee.execute_sql

        def lose_answer(*given: Any) -> Any:
            execute(*given)
            monkeypatch.undo()
            raise peewee.OperationalError("server closed the connection unexpectedly")

        monkeypatch.setattr(database.peewee, "execute_sql", lose_answer)
        with pytest.raises(DatabaseUnavailable):
            jobs.claim(job.uuid, token="token", worker="w", holder="h", retries=0, at=now(), again=False)
        monkeypatch.undo()
        assert claim(jobs, job) is not None
        assert kinds(jobs, job) == ["PENDING", "STARTED"]


def test_a_claim_starts_a_job_and_returns_its_arguments(jobs: JobStore) -> None:
    job = add(jobs, args=[1, {"__type__": "datetime"}], kwargs={"y": None})
    args, kwargs = [1, {"__type__": "datetime"}], {"y": None}
    assert claim(jobs, job) == Claim(job.uuid, "token", 1, args, kwargs, ready=job.created)
    found = get(jobs, job)
    assert (found.state, found.attempt, found.worker, found.holder) == (State.STARTED, 1, "celery@h", "holder")
    assert found.started is not None
    assert found.due is None
    assert kinds(jobs, job) == ["PENDING", "STARTED"]


def test_only_one_of_eight_competing_workers_claims_a_job(database: Database, jobs: JobStore) -> None:
    job = add(jobs)
    claims = all_at_once(database, [lambda n=n: claim(jobs, job, f"token-{n}") for n in range(8)])
    (won,) = [one for one in claims if one is not None]
    assert won.attempt == get(jobs, job).attempt == 1
    assert sorted(kinds(jobs, job)) == ["DROPPED"] * 7 + ["PENDING", "STARTED"]
    assert jobs.succeed(job.uuid, token=won.token, result=4, at=now())


def test_a_repeated_claim_is_the_same_claim(jobs: JobStore) -> None:
    job = add(jobs)
    assert claim(jobs, job) == claim(jobs, job)
    assert kinds(jobs, job) == ["PENDING", "STARTED"]


def test_a_lost_claim_cannot_be_repeated(jobs: JobStore) -> None:
    job = add(jobs, expires=now() + 3_600_000_000)
    claim(jobs, job)
    jobs.lose(job.uuid, token="token", reason="gone", at=now())
    at_the_end = now() + 7_200_000_000
    assert jobs.claim(job.uuid, token="token", worker="w", holder="holder", retries=0, at=at_the_end) is None


def test_a_claim_of_a_finished_job_cannot_be_repeated(jobs: JobStore) -> None:
    job = add(jobs)
    FINALS["SUCCESS"](jobs, job)
    assert claim(jobs, job) is None


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
    assert jobs.expired(at=now(), limit=10) == [job.uuid]
    assert get(jobs, job).state is State.PENDING


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


@pytest.mark.parametrize("report", ["succeed", "fail", "revoke_started", "retry", "lose", "cancel"])
def test_a_report_for_an_unclaimed_job_is_refused(jobs: JobStore, report: str) -> None:
    job = add(jobs)
    assert not REPORTS[report](jobs, job)
    assert jobs.get(job.uuid) == job


@pytest.mark.parametrize("final", ["SUCCESS", "FAILURE"])
def test_a_repeated_report_is_not_late(jobs: JobStore, final: str) -> None:
    job = add(jobs)
    claim(jobs, job)
    for _ in range(2):
        if final == "SUCCESS":
            assert jobs.succeed(job.uuid, token="token", result=4, at=now())
        else:
            assert jobs.fail(job.uuid, token="token", error=ERROR, at=now())
    assert kinds(jobs, job) == ["PENDING", "STARTED", final]


def test_a_retry_goes_into_the_outbox_with_its_arguments(jobs: JobStore, outbox: Outbox) -> None:
    job = add(jobs)
    claim(jobs, job)
    eta = now() + 60_000_000
    assert jobs.retry(job.uuid, token="token", eta=eta, retries=1, args=[5], kwargs={"y": 6}, error=ERROR, at=now())
    found = get(jobs, job)
    assert (found.state, found.eta, found.due, found.retries) == (State.RETRY, eta, eta, 1)
    assert (found.args, found.kwargs, found.error) == ([5], {"y": 6}, ERROR)
    assert (found.published, found.holder, found.finished) == (None, None, None)
    assert outbox.take(at=eta - 1, lease=1, limit=10) == []
    (sent,) = outbox.take(at=eta, lease=1, limit=10)
    assert (sent.uuid, sent.retries) == (job.uuid, 1)
    won = claim(jobs, job, "second", retries=1)
    assert won is not None
    assert (won.attempt, won.args) == (2, [5])


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
    assert jobs.revoke_started(job.uuid, token="token", reason="cancelled", at=now())
    assert get(jobs, job).state is State.REVOKED


@pytest.mark.parametrize("report", ["fail", "revoke_started", "lose"])
def test_a_report_for_an_earlier_attempt_is_refused(jobs: JobStore, report: str) -> None:
    job = add(jobs)
    claim(jobs, job, "other")
    assert jobs.lose(job.uuid, token="other", reason="gone", at=now())
    claim(jobs, job)
    before = get(jobs, job)
    assert not REPORTS[report](jobs, job)
    assert get(jobs, job) == before
    assert jobs.succeed(job.uuid, token="token", result=4, at=now())


def test_a_lost_job_is_put_back_until_its_attempts_are_used_up(jobs: JobStore, outbox: Outbox) -> None:
    job = add(jobs, max_attempts=2)
    claim(jobs, job, "first")
    assert jobs.lose(job.uuid, token="first", reason="its worker died", at=now())
    assert get(jobs, job).state is State.PENDING
    assert [sent.uuid for sent in outbox.take(at=now(), lease=1, limit=10)] == [job.uuid]
    won = claim(jobs, job, "second")
    assert won is not None
    assert won.attempt == 2
    assert not jobs.succeed(job.uuid, token="first", result="late", at=now())
    assert jobs.lose(job.uuid, token="second", reason="Worker exited prematurely: exitcode 3 Job: 8.", at=now())
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
    assert jobs.succeed(job.uuid, token="third", result=4, at=now())


def test_a_lost_job_that_was_to_be_cancelled_is_revoked(jobs: JobStore) -> None:
    job = add(jobs)
    claim(jobs, job)
    jobs.ask_to_cancel(job.uuid, at=now())
    assert jobs.lose(job.uuid, token="token", reason="its worker died", at=now())
    assert get(jobs, job).state is State.REVOKED


@pytest.mark.parametrize("max_attempts", [1, 3])
@pytest.mark.parametrize("statement", ["_finish_cancelled", "_put_back", "_finish_not_cancelled"])
def test_a_job_cancelled_while_it_is_put_back_is_revoked(
    database: Database, jobs: JobStore, monkeypatch: pytest.MonkeyPatch, statement: str, max_attempts: int
) -> None:
    job = add(jobs, max_attempts=max_attempts)
    claim(jobs, job)
    prepared = getattr(jobs, statement)
    cancel = Prepared(database.peewee, transitions.ask_to_cancel())

    class CancelledMeanwhile:
        """A cancellation that is committed right before the statement."""

        def run(self, values: Mapping[str, Any]) -> Any:
            cancel.run({"uuid": job.uuid})
            return prepared.run(values)

    monkeypatch.setattr(jobs, statement, CancelledMeanwhile())
    assert jobs.lose(job.uuid, token="token", reason="its worker died", at=now())
    found = get(jobs, job)
    if (statement, max_attempts) == ("_finish_not_cancelled", 3):
        assert found.state is State.PENDING, "it was put back before"
    else:
        assert (found.state, found.error and found.error.message) == (State.REVOKED, "cancelled")


def test_every_transition_increments_the_version(jobs: JobStore) -> None:
    job = add(jobs)
    claim(jobs, job)
    retry(jobs, job)
    claim(jobs, job, "second", retries=1)
    jobs.succeed(job.uuid, token="second", result=None, at=now())
    assert get(jobs, job).version == 4


def test_events_of_a_job_are_read_in_order(jobs: JobStore) -> None:
    job, other = add(jobs), add(jobs)
    claim(jobs, job)
    claim(jobs, other)
    retry(jobs, job)
    claim(jobs, job, "second", retries=1)
    jobs.succeed(job.uuid, token="second", result=None, at=now())
    events: list[Event] = jobs.events(job.uuid)
    assert [event.kind for event in events] == ["PENDING", "STARTED", "RETRY", "STARTED", "SUCCESS"]
    assert events == sorted(events, key=lambda event: event.id)
    assert kinds(jobs, other) == ["PENDING", "STARTED"]


def test_only_one_of_a_claim_and_a_revocation_succeeds(database: Database, jobs: JobStore) -> None:
    for _ in range(10):
        job = add(jobs)
        revoke = partial(jobs.revoke, job.uuid, reason="cancelled", at=now())
        assert sorted(all_at_once(database, [lambda job=job: bool(claim(jobs, job)), revoke])) == [False, True]


def test_a_claim_is_repeated_only_on_request(jobs: JobStore) -> None:
    """Celery's pool hands a delivery, and so its token, to a second child if the first one dies early."""
    job = add(jobs)
    first = claim(jobs, job)
    values = {"token": "token", "worker": "celery@h", "holder": "holder", "retries": 0}
    assert jobs.claim(job.uuid, **values, at=now(), again=False) is None
    assert kinds(jobs, job) == ["PENDING", "STARTED", "DROPPED"]
    assert jobs.claim(job.uuid, **values, at=now(), again=True) == first


# Notifications


def test_on_event_is_called_for_each_committed_change(database: Database) -> None:
    events: list[CommittedEvent] = []
    jobs = JobStore(database, on_event=events.append)
    job, other = add(jobs), add(jobs)
    claim(jobs, job)
    retry(jobs, job)
    claim(jobs, job, "second", retries=1)
    jobs.ask_to_cancel(job.uuid, at=now())
    jobs.lose(job.uuid, token="second", reason="gone", at=now())
    jobs.succeed(job.uuid, token="second", result=4, at=now())
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
        lambda: jobs.succeed(job.uuid, token="token", result=4, at=now()),
        lambda: jobs.lose(job.uuid, token="token", reason="gone", at=now()),
    ):
        with pytest.raises(DatabaseUnavailable):
            refused()
    assert events == []
    assert kinds(jobs, job) == ["PENDING", "STARTED"]
