"""Jobs that messages bring, on each database: the turn that claims them inserts their rows."""

from collections.abc import Sequence
from functools import partial
from typing import Any

import peewee
import pytest

from pacifica.dispatcher.core.job import Job, State, now
from pacifica.dispatcher.core.work import ClaimedJob, LostReport, MessageClaim, Returned
from pacifica.dispatcher.store.committed_event import CommittedEvent
from pacifica.dispatcher.store.database import Database
from pacifica.dispatcher.store.jobs import JobStore
from pacifica.dispatcher.store.purge import put_tombstones
from pacifica.dispatcher.store.work_queue import WorkQueue

from .conftest import a_job, all_at_once
from .job_steps import get, kinds, succeed

HOUR = 3_600_000_000
STARTED = State.STARTED


def brought(**columns: Any) -> MessageClaim:
    """The message of a job without a row."""
    job = a_job(**columns)
    return MessageClaim(job.uuid, job.retries, job)


def deliver(database: Database, messages: Sequence[MessageClaim], **options: Any) -> Sequence[ClaimedJob | None]:
    """Deliver messages to a worker, in one turn."""
    given = {"token": "t", "worker": "w", "holder": "h", "at": now()} | options
    noted = given.pop("noted", [])
    return WorkQueue(database, on_event=noted.append).turn((), None, messages, **given).claims


def of(message: MessageClaim) -> Job:
    assert message.new is not None
    return message.new


def test_job_of_a_message_is_inserted_and_started_in_one_transaction(database: Database, jobs: JobStore) -> None:
    message, other = brought(args=[1, 2], headers={"group_id": "g"}), brought()
    noted: list[CommittedEvent] = []
    (claim, _) = deliver(database, [message, other._replace(redelivered=True)], noted=noted)
    assert claim is not None
    assert (claim.args, claim.attempt, claim.headers) == ("[1,2]", 1, '{"group_id":"g"}')
    job = get(jobs, of(message))
    assert (job.state, job.attempt, job.worker, job.holder, job.due) == (STARTED, 1, "w", "h", None)
    assert job.published == job.started
    assert [(event.kind, event.data) for event in jobs.events(job.uuid)] == [
        ("PENDING", {"origin": "message"}),
        ("STARTED", {"attempt": 1, "worker": "w"}),
    ]
    assert jobs.events(other.uuid)[0].data == {"origin": "message", "redelivered": True}
    assert [(event.kind, event.task) for event in noted[:2]] == [("PENDING", "add")] * 2
    assert sorted(event.kind for event in noted[2:]) == ["STARTED"] * 2


def test_transaction_that_fails_leaves_no_row(
    database: Database, jobs: JobStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Such as that of a worker that is killed: the broker delivers the message again, which then starts the job."""
    message = brought()

    def fail(*_: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(WorkQueue, "_mark_started", fail)
        with pytest.raises(KeyboardInterrupt):
            deliver(database, [message])
    assert jobs.get(message.uuid) is None
    (claim,) = deliver(database, [message._replace(redelivered=True)])
    assert claim is not None


def test_ten_deliveries_of_a_message_to_ten_workers_are_one_row_and_one_claim(
    database: Database, jobs: JobStore
) -> None:
    messages = [brought() for _ in range(5)]
    orders = [messages, messages[::-1]] * 5
    workers = [partial(deliver, database, order, token=f"t{n}", holder=f"h{n}") for n, order in enumerate(orders)]
    claims = [claim.uuid for found in all_at_once(database, workers) for claim in found if claim is not None]
    assert sorted(claims) == sorted(message.uuid for message in messages)
    for message in messages:
        assert kinds(jobs, of(message)) == ["PENDING", "STARTED", *["DROPPED"] * 9]


def test_message_twice_in_one_turn_is_one_claim(database: Database, jobs: JobStore) -> None:
    message = brought()
    assert [claim is not None for claim in deliver(database, [message, message])] == [True, False]
    assert kinds(jobs, of(message)) == ["PENDING", "STARTED", "DROPPED"]


def test_turn_that_is_repeated_after_a_lost_answer_holds_the_same_claim(database: Database, jobs: JobStore) -> None:
    messages = [brought(), brought(eta=now() + HOUR, due=now() + HOUR)]
    first = deliver(database, messages)
    assert deliver(database, messages, again=True) == first
    assert [kinds(jobs, of(message)) for message in messages] == [["PENDING", "STARTED"], ["PENDING"]]


def test_message_of_a_purged_job_makes_no_row(database: Database, jobs: JobStore) -> None:
    message, purged = brought(), brought()
    database.write(lambda db: put_tombstones(db, [purged.uuid], now()))
    assert [claim is not None for claim in deliver(database, [purged, message])] == [False, True]
    assert jobs.get(purged.uuid) is None


def test_message_before_its_eta_makes_a_row_that_waits(database: Database, jobs: JobStore) -> None:
    eta = now() + HOUR
    message = brought(eta=eta, due=eta)
    assert deliver(database, [message]) == deliver(database, [message]) == [None]
    job = get(jobs, of(message))
    assert (job.state, job.due, kinds(jobs, job)) == (State.PENDING, eta, ["PENDING"])
    assert deliver(database, [message], at=eta + 1)[0] is not None


def test_expired_message_makes_a_row_that_is_revoked(database: Database, jobs: JobStore) -> None:
    message = brought(expires=now() - 1)
    assert deliver(database, [message]) == [None]
    assert jobs.revoke_expired(at=now(), limit=10) == 1
    assert get(jobs, of(message)).state is State.REVOKED


def test_message_of_another_task_than_its_job_starts_nothing(database: Database, jobs: JobStore) -> None:
    jobs.add([job := a_job()])
    other = a_job(uuid=job.uuid, task="mul")
    assert deliver(database, [MessageClaim(job.uuid, 0, other)]) == [None]
    assert (get(jobs, job).state, get(jobs, job).task) == (State.PENDING, "add")


def test_message_of_a_job_that_http_has_dispatched_starts_that_one(database: Database, jobs: JobStore) -> None:
    jobs.add([job := a_job(args=[5, 5])])
    (claim,) = deliver(database, [MessageClaim(job.uuid, 0, a_job(uuid=job.uuid, args=[1, 1]))])
    assert claim is not None
    assert claim.args == "[5,5]"
    assert jobs.events(job.uuid)[0].data == {}


def test_row_that_another_worker_inserts_meanwhile_is_its_own(database: Database, jobs: JobStore) -> None:
    looks: list[str] = []

    class Late(WorkQueue):
        """Its first read of the jobs sees none; the read before that is of reports."""

        def _lock(self, db: peewee.Database, sql: str, uuids: Any) -> Any:
            looks.append(sql)
            return super()._lock(db, sql, [] if len(looks) == 2 else uuids)

    message = brought()
    deliver(database, [message], holder="other", token="other")
    assert Late(database).turn((), None, [message], token="t", worker="w", holder="h", at=now()).claims == [None]
    assert len(looks) == 3
    assert (get(jobs, of(message)).holder, kinds(jobs, of(message))) == ("other", ["PENDING", "STARTED", "DROPPED"])


def test_lost_job_runs_once_if_it_may_not_run_again(database: Database, jobs: JobStore) -> None:
    message = brought(max_attempts=1)
    (claim,) = deliver(database, [message])
    assert claim is not None
    outcome = WorkQueue(database).report([LostReport(claim.uuid, claim.token, now(), "its worker is gone")])
    job = get(jobs, of(message))
    assert (outcome, job.state, job.error and job.error.type) == (["FAILURE"], State.FAILURE, "WorkerLostError")
    assert deliver(database, [message._replace(redelivered=True)]) == [None]
    assert kinds(jobs, job) == ["PENDING", "STARTED", "FAILURE", "DROPPED"]


def test_retries_of_another_worker_count(database: Database, jobs: JobStore) -> None:
    message = brought(retries=2, attempt=2)
    assert deliver(database, [message._replace(retries=1)]) == [None], "an older message"
    (claim,) = deliver(database, [message])
    assert claim is not None
    assert (claim.retries, claim.attempt) == (2, 3)
    WorkQueue(database).report([Returned(claim.uuid, claim.token, now(), now())])
    assert get(jobs, of(message)).attempt == 2
    assert deliver(database, [message])[0] is not None


def test_ended_job_is_not_started_by_its_message(database: Database, jobs: JobStore) -> None:
    message = brought()
    deliver(database, [message])
    succeed(jobs, of(message), "t")
    assert deliver(database, [message]) == [None]
    assert kinds(jobs, of(message))[-2:] == ["SUCCESS", "DROPPED"]
