"""The job rows on each database: every move, and every report that comes too late."""

import threading
from collections.abc import Callable, Mapping
from contextlib import closing
from functools import partial
from typing import Any

import peewee
import pytest

from pacifica.dispatcher import orm
from pacifica.dispatcher.core.errors import DatabaseUnavailable, KeyReused
from pacifica.dispatcher.core.job import Claim, Event, Job, JobError, State, new_uuid, now
from pacifica.dispatcher.store.database import Database
from pacifica.dispatcher.store.idempotency import Key
from pacifica.dispatcher.store.jobs import JobStore
from pacifica.dispatcher.store.outbox import Outbox

from ..eventually import eventually
from ..services import POSTGRESQL
from .conftest import a_job, all_at_once

NASTY = ["\0", "\ud800", "😀 é", "'; DROP TABLE job; --", "\\", "%s ? {}", "x" * 200_000, ""]
ERROR = JobError("ValueError", "no \0 luck 😀", "Traceback …", "builtins", ["no luck", 1, None])
VALUES: list[Any] = [None, 0, 1.5, "", "text", True, [], {}, {"a": [None, {"b": 10**4000}]}, *NASTY]


def add(jobs: JobStore, **columns: Any) -> Job:
    """A stored job."""
    job = a_job(**columns)
    jobs.add([job])
    return job


def get(jobs: JobStore, job: Job) -> Job:
    """The job as it stands."""
    found = jobs.get(job.uuid)
    assert found is not None
    return found


def claim(jobs: JobStore, job: Job, token: str = "token", holder: str = "holder", retries: int = 0) -> Claim | None:
    """A worker's claim."""
    return jobs.claim(job.uuid, token=token, worker="celery@h", holder=holder, retries=retries, at=now())


def ask_again(jobs: JobStore, job: Job, token: str = "token", retries: int = 1, eta: int = 0) -> bool:
    """A task's own wish to be run again."""
    return jobs.retry(
        job.uuid, token=token, eta=eta, retries=retries, args=job.args, kwargs=job.kwargs, error=ERROR, at=now()
    )


def kinds(jobs: JobStore, job: Job) -> list[str]:
    """The history, in words."""
    return [event.kind for event in jobs.events(job.uuid)]


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
    "retry": lambda jobs, job: ask_again(jobs, job, token="other"),
    "cancel": lambda jobs, job: jobs.ask_to_cancel(job.uuid, at=now()),
    "lose": lambda jobs, job: jobs.lose(job.uuid, token="other", reason="late", at=now()),
}
TOLD = {
    "claim": "DROPPED",
    "succeed": "LATE",
    "fail": "LATE",
    "revoke_started": "LATE",
    "retry": "LATE",
}
"""How a report that comes too late is kept; a wish is refused, and leaves nothing."""


# Storing and reading


def test_every_field_of_a_job_survives(jobs: JobStore) -> None:
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
def test_a_wish_to_cancel_is_read_as_a_bool(jobs: JobStore, cancel: bool) -> None:
    assert get(jobs, add(jobs, cancel=cancel)).cancel is cancel


def test_a_bare_job_survives_and_its_history_begins(jobs: JobStore) -> None:
    job = add(jobs)
    assert jobs.get(job.uuid) == job
    assert [(event.kind, event.at, event.data) for event in jobs.events(job.uuid)] == [("PENDING", job.created, {})]


def test_an_unknown_job_is_none(jobs: JobStore) -> None:
    assert jobs.get(new_uuid()) is None
    assert jobs.get("nope") is None
    assert jobs.events(new_uuid()) == []


@pytest.mark.parametrize("result", VALUES, ids=range(len(VALUES)))
def test_every_result_survives(jobs: JobStore, result: Any) -> None:
    job = add(jobs)
    claim(jobs, job)
    assert jobs.succeed(job.uuid, token="token", result=result, at=now())
    found = get(jobs, job)
    assert (found.state, found.result, found.error) == (State.SUCCESS, result, None)
    assert type(found.result) is type(result)


def test_jobs_are_stored_together_or_not_at_all(jobs: JobStore) -> None:
    first = a_job()
    with pytest.raises(peewee.IntegrityError):
        jobs.add([first, a_job(), first])
    assert jobs.get(first.uuid) is None
    assert jobs.events(first.uuid) == []


def test_a_state_that_is_none_is_refused_by_the_table(database: Database, jobs: JobStore) -> None:
    job = add(jobs)
    with pytest.raises((peewee.IntegrityError, DatabaseUnavailable)):  # MariaDB has no class of its own for it
        database.write(lambda db: orm.Job.update(state="DONE").where(orm.Job.uuid == job.uuid).execute(db))
    assert get(jobs, job).state is State.PENDING


# The moves


def test_an_attempt_takes_few_statements(database: Database, jobs: JobStore, monkeypatch: pytest.MonkeyPatch) -> None:
    job, said = add(jobs), []
    execute, begin, commit = database.peewee.execute_sql, database.peewee.begin, database.peewee.commit
    monkeypatch.setattr(database.peewee, "execute_sql", lambda *given: (said.append("statement"), execute(*given))[1])
    monkeypatch.setattr(database.peewee, "begin", lambda *given: (said.append("begin"), begin(*given))[1])
    monkeypatch.setattr(database.peewee, "commit", lambda: (said.append("commit"), commit())[1])
    assert claim(jobs, job) is not None
    claimed, said[:] = list(said), []
    assert jobs.succeed(job.uuid, token="token", result=4, at=now())
    if database.postgresql:
        assert claimed == said == ["statement"]
    else:
        read_back = ["statement"] * database.mysql  # It has no UPDATE … RETURNING.
        assert claimed == ["begin", "statement", *read_back, "statement", "commit"]
        assert said == ["begin", "statement", "statement", "commit"]
    assert jobs.events(job.uuid)[1].data == {"attempt": 1, "worker": "celery@h"}


def test_dispatches_that_come_together_share_a_commit_and_none_another_ones_fault(
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
    assert len(writes) == 1 + 1 + len(others)  # The first; all others together, which one of them spoils; each alone.
    assert all(kinds(jobs, job) == ["PENDING"] for job in (*fresh, known))


@pytest.mark.slow
def test_a_move_whose_answer_is_lost_is_not_made_again_unasked(
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


def test_a_claim_starts_a_job_and_gives_its_arguments(jobs: JobStore) -> None:
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


def test_a_claim_asked_for_again_is_the_same_claim(jobs: JobStore) -> None:
    job = add(jobs)
    assert claim(jobs, job) == claim(jobs, job)
    assert kinds(jobs, job) == ["PENDING", "STARTED"]


def test_a_lost_claim_asked_for_again_is_none(jobs: JobStore) -> None:
    job = add(jobs, expires=now() + 3_600_000_000)
    claim(jobs, job)
    jobs.lose(job.uuid, token="token", reason="gone", at=now())
    at_the_end = now() + 7_200_000_000
    assert jobs.claim(job.uuid, token="token", worker="w", holder="holder", retries=0, at=at_the_end) is None


def test_a_claim_whose_job_has_ended_is_not_given_again(jobs: JobStore) -> None:
    job = add(jobs)
    FINALS["SUCCESS"](jobs, job)
    assert claim(jobs, job) is None


@pytest.mark.parametrize("retries", [0, 2])
def test_a_message_from_another_retry_claims_nothing(jobs: JobStore, retries: int) -> None:
    job = add(jobs)
    claim(jobs, job)
    assert ask_again(jobs, job)
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
    assert jobs.events(job.uuid)[-1].data == {"type": "ValueError", "message": ERROR.message}


@pytest.mark.parametrize("report", REPORTS)
@pytest.mark.parametrize("final", FINALS)
def test_a_final_state_is_never_overwritten(jobs: JobStore, final: str, report: str) -> None:
    job = add(jobs)
    FINALS[final](jobs, job)
    ended, history = get(jobs, job), kinds(jobs, job)
    assert not REPORTS[report](jobs, job)
    assert get(jobs, job) == ended
    assert kinds(jobs, job) == history + ([TOLD[report]] if report in TOLD else [])


@pytest.mark.parametrize("report", ["succeed", "fail", "retry"])
def test_a_report_with_another_token_is_kept_as_an_event(jobs: JobStore, report: str) -> None:
    job = add(jobs)
    claim(jobs, job)
    before = get(jobs, job)
    assert not REPORTS[report](jobs, job)
    assert get(jobs, job) == before
    assert jobs.events(job.uuid)[-1].kind == "LATE"
    assert jobs.events(job.uuid)[-1].data["state"] == "STARTED"


@pytest.mark.parametrize("report", ["succeed", "fail", "revoke_started", "retry", "lose", "cancel"])
def test_nothing_is_reported_of_a_job_that_nobody_has_claimed(jobs: JobStore, report: str) -> None:
    job = add(jobs)
    assert not REPORTS[report](jobs, job)
    assert jobs.get(job.uuid) == job


@pytest.mark.parametrize("final", ["SUCCESS", "FAILURE"])
def test_the_same_report_again_is_no_late_one(jobs: JobStore, final: str) -> None:
    job = add(jobs)
    claim(jobs, job)
    for _ in range(2):
        if final == "SUCCESS":
            assert jobs.succeed(job.uuid, token="token", result=4, at=now())
        else:
            assert jobs.fail(job.uuid, token="token", error=ERROR, at=now())
    assert kinds(jobs, job) == ["PENDING", "STARTED", final]


def test_a_retry_goes_back_into_the_outbox_with_what_the_task_asked_for(jobs: JobStore, outbox: Outbox) -> None:
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
    ask_again(jobs, job)
    assert jobs.revoke(job.uuid, reason="cancelled", at=now())
    assert claim(jobs, job, retries=1) is None
    assert outbox.take(at=now(), lease=1, limit=10) == []


def test_a_started_job_is_not_revoked_but_asked_to_stop_once(jobs: JobStore) -> None:
    job = add(jobs)
    claim(jobs, job)
    assert not jobs.revoke(job.uuid, reason="cancelled", at=now())
    assert jobs.ask_to_cancel(job.uuid, at=now())
    assert not jobs.ask_to_cancel(job.uuid, at=now())
    assert kinds(jobs, job) == ["PENDING", "STARTED", "CANCEL"]
    assert jobs.revoke_started(job.uuid, token="token", reason="cancelled", at=now())
    assert get(jobs, job).state is State.REVOKED


@pytest.mark.parametrize("report", ["fail", "revoke_started", "lose"])
def test_who_speaks_for_an_attempt_says_nothing_of_the_next_one_by_the_same_worker(jobs: JobStore, report: str) -> None:
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
    assert jobs.lose(job.uuid, token="second", reason="its worker died", at=now())
    found = get(jobs, job)
    assert found.state is State.FAILURE
    assert found.error is not None
    assert found.error.type == "WorkerLostError"
    assert kinds(jobs, job) == ["PENDING", "STARTED", "LOST", "STARTED", "LATE", "FAILURE"]


def test_a_tasks_own_retries_use_up_no_attempts(jobs: JobStore) -> None:
    job = add(jobs, max_attempts=1)
    claim(jobs, job)
    ask_again(jobs, job)
    claim(jobs, job, "second", retries=1)
    ask_again(jobs, job, "second", retries=2)
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
def test_a_job_that_is_cancelled_while_it_is_found_lost_is_revoked(
    jobs: JobStore, monkeypatch: pytest.MonkeyPatch, statement: str, max_attempts: int
) -> None:
    job = add(jobs, max_attempts=max_attempts)
    claim(jobs, job)
    prepared, cancel = getattr(jobs, statement), jobs._ask_to_cancel

    class CancelledMeanwhile:
        """Another process's wish is committed right before the statement."""

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


def test_every_move_counts_up_the_version(jobs: JobStore) -> None:
    job = add(jobs)
    claim(jobs, job)
    ask_again(jobs, job)
    claim(jobs, job, "second", retries=1)
    jobs.succeed(job.uuid, token="second", result=None, at=now())
    assert get(jobs, job).version == 4


def test_events_come_in_the_order_in_which_they_happened(jobs: JobStore) -> None:
    job, other = add(jobs), add(jobs)
    claim(jobs, job)
    claim(jobs, other)
    ask_again(jobs, job)
    claim(jobs, job, "second", retries=1)
    jobs.succeed(job.uuid, token="second", result=None, at=now())
    events: list[Event] = jobs.events(job.uuid)
    assert [event.kind for event in events] == ["PENDING", "STARTED", "RETRY", "STARTED", "SUCCESS"]
    assert events == sorted(events, key=lambda event: event.id)
    assert kinds(jobs, other) == ["PENDING", "STARTED"]


def test_of_a_report_and_a_cancellation_at_once_exactly_one_counts(database: Database, jobs: JobStore) -> None:
    for _ in range(10):
        job = add(jobs)
        revoke = partial(jobs.revoke, job.uuid, reason="cancelled", at=now())
        assert sorted(all_at_once(database, [lambda job=job: bool(claim(jobs, job)), revoke])) == [False, True]


# Idempotency keys


def key(request: str = "a", since: int = 0, name: str = "key", caller: str = "me") -> Key:
    """A key as a client sends it."""
    return Key(caller, name, request, since)


def test_the_same_key_is_the_same_job(jobs: JobStore) -> None:
    first, second = a_job(), a_job()
    assert jobs.add([first], key()) is None
    assert jobs.add([second], key()) == first.uuid
    assert jobs.get(second.uuid) is None


def test_the_same_key_of_another_caller_is_another_job(jobs: JobStore) -> None:
    assert jobs.add([a_job()], key()) is None
    assert jobs.add([a_job()], key(caller="you")) is None


def test_the_same_key_with_another_request_is_refused(jobs: JobStore) -> None:
    second = a_job()
    jobs.add([a_job()], key())
    with pytest.raises(KeyReused):
        jobs.add([second], key(request="b"))
    assert jobs.get(second.uuid) is None


def test_an_old_key_is_free_again(jobs: JobStore) -> None:
    second = a_job()
    jobs.add([a_job()], key())
    assert jobs.add([second], key(request="b", since=now() + 1)) is None
    assert jobs.get(second.uuid) == second


def test_old_keys_are_forgotten_in_batches_and_the_others_stand(jobs: JobStore) -> None:
    made = [a_job(created=at) for at in range(10, 15)]
    for job in made:
        jobs.add([job], key(name=str(job.created)))
    assert [jobs.forget_keys(13, 2) for _ in range(3)] == [2, 1, 0]
    assert jobs.add([a_job()], key(name="13")) == made[3].uuid
    assert jobs.add([a_job()], key(name="12")) is None


def test_of_eight_requests_with_one_key_one_makes_the_job(database: Database, jobs: JobStore) -> None:
    for round_ in range(3):
        made = [a_job() for _ in range(8)]
        answers = all_at_once(database, [partial(jobs.add, [job], key(name=f"key-{round_}")) for job in made])
        assert answers.count(None) == 1
        (winner,) = [job.uuid for job in made if jobs.get(job.uuid)]
        assert set(answers) == {None, winner}


def test_requests_with_different_keys_do_not_disturb_each_other(database: Database, jobs: JobStore) -> None:
    actions = [lambda n=n: jobs.add([a_job()], key(name=f"key-{n}")) for n in range(8)]
    assert all_at_once(database, actions) == [None] * 8


def test_a_claim_is_given_again_only_to_a_process_that_may_have_been_granted_it(jobs: JobStore) -> None:
    """A pool gives a delivery, and so its token, to a second child when the first one died early."""
    job = add(jobs)
    first = claim(jobs, job)
    asked = {"token": "token", "worker": "celery@h", "holder": "holder", "retries": 0}
    assert jobs.claim(job.uuid, **asked, at=now(), again=False) is None
    assert kinds(jobs, job) == ["PENDING", "STARTED", "DROPPED"]
    assert jobs.claim(job.uuid, **asked, at=now(), again=True) == first
