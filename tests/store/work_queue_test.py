"""The turns of a worker, on each database: reports and claims in one transaction."""

from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from pacifica.dispatcher import orm
from pacifica.dispatcher.core.job import ClaimKey, Job, State, new_uuid, now
from pacifica.dispatcher.core.work import (
    ClaimedJob,
    Ended,
    LostReport,
    MessageClaim,
    Report,
    RetriedReport,
    Returned,
    TasklessJob,
    Turn,
    WantedJobs,
)
from pacifica.dispatcher.store import work_queue
from pacifica.dispatcher.store.committed_event import CommittedEvent
from pacifica.dispatcher.store.database import Database
from pacifica.dispatcher.store.jobs import JobStore
from pacifica.dispatcher.store.lifecycle import revocation
from pacifica.dispatcher.store.work_queue import WorkQueue

from .conftest import a_job, all_at_once
from .job_steps import ERROR, get, kinds, lose, terminate

Q = "dispatcher"
HOUR = 3_600_000_000


@pytest.fixture
def noted() -> list[CommittedEvent]:
    """The events that ``on_event`` was called with."""
    return []


@pytest.fixture
def queue(database: Database, noted: list[CommittedEvent]) -> WorkQueue:
    """The work queue of a fresh database."""
    return WorkQueue(database, on_event=noted.append)


def add(jobs: JobStore, **columns: Any) -> Job:
    """A stored job of the queue ``Q``."""
    job = a_job(**{"target_queue": Q, **columns})
    jobs.add([job])
    return job


def turn(
    queue: WorkQueue,
    reports: Sequence[Report] = (),
    wanted: WantedJobs | None = None,
    messages: Sequence[MessageClaim] = (),
    **options: Any,
) -> Turn:
    """A turn of the worker ``w``."""
    given = {"token": new_uuid(), "worker": "w", "holder": "h", "at": now()}
    return queue.turn(reports, wanted, messages, **{**given, **options})


def claim(queue: WorkQueue, limit: int = 10, queues: Sequence[str] = (Q,), **options: Any) -> Sequence[ClaimedJob]:
    """The jobs that a turn claims from the queues."""
    return turn(queue, wanted=WantedJobs(queues, limit), **options).rows


def success(job: ClaimedJob, **values: Any) -> Ended:
    """The report of a success."""
    given: dict[str, Any] = {"state": State.SUCCESS, "result": "4", "error": None, "at": now(), "data": {}}
    return Ended(job.uuid, job.token, **{**given, **values})


def retried(job: ClaimedJob, columns: Mapping[str, Any] | None = None, **values: Any) -> RetriedReport:
    """The report of a retry."""
    at = now()
    given = {"at": at, "eta": at + HOUR, "retries": 1, "args": "[5]", "kwargs": "{}", "error": ERROR}
    return RetriedReport(job.uuid, job.token, **{**given, **values}, columns=columns or {})


def test_claimed_job_has_the_columns_of_its_row(jobs: JobStore, queue: WorkQueue) -> None:
    job = add(jobs, target_priority=3, headers={"request_id": "r"}, eta=5, expires=now() + HOUR)
    (row,) = claim(queue, token="t", at=now())
    assert row == ClaimedJob(
        job.uuid, "add", "[2,2]", "{}", "t", 1, 0, job.created, 5, job.expires, Q, 3, '{"request_id":"r"}'
    )
    found = get(jobs, job)
    assert (found.state, found.attempt, found.worker, found.holder, found.due) == (State.STARTED, 1, "w", "h", None)
    assert found.started == found.published is not None
    assert [(event.kind, event.data) for event in jobs.events(job.uuid)][1:] == [
        ("STARTED", {"attempt": 1, "worker": "w"})
    ]


def test_higher_priority_goes_first_then_the_job_that_is_due_for_longer(jobs: JobStore, queue: WorkQueue) -> None:
    at = now()
    places = {"old": (0, at - 30), "new": (0, at - 10), "high": (9, at - 5), "middle": (4, at - 1)}
    added = {add(jobs, target_priority=priority, due=due).uuid: name for name, (priority, due) in places.items()}
    assert [added[row.uuid] for row in claim(queue, 3)] == ["high", "middle", "old"]
    assert [added[row.uuid] for row in claim(queue, 3)] == ["new"]


def test_job_of_another_queue_is_not_claimed(jobs: JobStore, queue: WorkQueue) -> None:
    add(jobs, target_queue="other")
    assert claim(queue) == []
    assert not queue.ready([Q], now())
    add(jobs)
    assert {row.queue for row in claim(queue, queues=(Q, "other"))} == {Q, "other"}


def test_queues_of_one_priority_take_turns(jobs: JobStore, queue: WorkQueue) -> None:
    for name in ("one", "two"):
        for _ in range(2):
            add(jobs, target_queue=name)
    rows = [claim(queue, 1, ("one", "two"))[0] for _ in range(4)]
    assert {row.queue for row in rows[:2]} == {"one", "two"}


def test_job_is_claimed_from_its_eta_until_it_expires(jobs: JobStore, queue: WorkQueue) -> None:
    at = now()
    later = add(jobs, eta=at + HOUR, due=at + HOUR, target_priority=9)
    add(jobs, due=at - 2, expires=at - 1)
    assert not queue.ready([Q], at)
    assert claim(queue, at=at) == []
    assert queue.next_due([Q], at) == at + HOUR
    assert queue.ready([Q], at + HOUR)
    assert [row.uuid for row in claim(queue, at=at + HOUR)] == [later.uuid]
    assert queue.next_due([Q], at) is None


def test_empty_selection_claims_nothing(jobs: JobStore, queue: WorkQueue) -> None:
    add(jobs)
    assert claim(queue, 0) == claim(queue, queues=()) == []
    assert not queue.ready([], now())
    assert queue.next_due([], 0) is None
    assert turn(queue) == Turn([], [], [])


def test_two_claimers_at_once_never_share_a_job(jobs: JobStore, database: Database) -> None:
    uuids = [add(jobs, target_priority=place % 3).uuid for place in range(60)]

    def drain() -> list[str]:
        queue, found = WorkQueue(database), []
        while rows := claim(queue, 4):
            found += [row.uuid for row in rows]
        return found

    taken = all_at_once(database, [drain] * 3)
    assert sorted(uuid for each in taken for uuid in each) == sorted(uuids)
    assert {get(jobs, a_job(uuid=uuid)).attempt for uuid in uuids} == {1}


def test_reports_and_claims_share_a_turn(jobs: JobStore, queue: WorkQueue) -> None:
    add(jobs), add(jobs, target_priority=9)
    (first,) = claim(queue, 1)
    answer = turn(queue, [success(first)], WantedJobs([Q], 5))
    assert answer.outcomes == ["SUCCESS"]
    assert len(answer.rows) == 1


SUMMARY = ERROR.summary()
LOST, CANCELLED = {"reason": "It died."}, {"reason": "cancelled"}
OUTCOMES: dict[str, tuple[str, dict[str, Any], dict[str, Any]]] = {
    "success": ("SUCCESS", {"reported": True}, {"children": ["c"]}),
    "failure": ("FAILURE", {"reported": True, "error": ERROR}, SUMMARY),
    "revoked": ("REVOKED", {"reason": "expired"}, {"reason": "expired"}),
    "retry": ("RETRY", {"reported": True, "error": ERROR}, {**SUMMARY, "eta": 5, "retries": 1}),
    "lost": ("LOST", LOST, LOST),
    "lost at last": ("FAILURE", LOST, LOST),
    "lost and cancelled": ("REVOKED", LOST, LOST),
    "retry and cancelled": ("REVOKED", {"reported": True, "error": ERROR}, CANCELLED),
    "late": ("LATE", {"reported": True}, {"children": ["c"], "report": "SUCCESS", "state": "REVOKED"}),
}
"""Reports, each with the kind of its event, other fields of the ``CommittedEvent``, and the data in the history."""


@pytest.mark.parametrize("outcome", OUTCOMES)
def test_report_is_an_event_in_the_history_and_for_on_event(
    jobs: JobStore, queue: WorkQueue, noted: list[CommittedEvent], outcome: str
) -> None:
    job, at = add(jobs, max_attempts=1 if outcome == "lost at last" else 3), now()
    (row,) = claim(queue, token="t")
    if outcome.endswith("cancelled"):
        assert jobs.ask_to_cancel(job.uuid, at=at)
    if outcome == "late":
        assert terminate(jobs, job, "t")
    noted.clear()
    reports: dict[str, Report] = {
        "failure": Ended(row.uuid, "t", State.FAILURE, None, ERROR, at, SUMMARY),
        "revoked": Ended(row.uuid, "t", State.REVOKED, None, revocation("expired"), at, {"reason": "expired"}),
        "retry": retried(row, at=at, eta=5),
        "lost": LostReport(row.uuid, "t", at, "It died."),
    }
    report = reports.get(outcome.split(maxsplit=1)[0], success(row, at=at, data={"children": ["c"]}))
    kind, fields, data = OUTCOMES[outcome]
    assert queue.report([report]) == [None if kind == "LATE" else kind]
    assert noted == [CommittedEvent(kind, job.uuid, at, "t", **fields)]
    last = jobs.events(job.uuid)[-1]
    assert (last.kind, last.at, last.data) == (kind, at, data)
    state = {"LOST": "PENDING", "LATE": "REVOKED"}.get(kind, kind)
    assert get(jobs, job).state == state


def test_job_that_was_asked_to_stop_keeps_its_result(jobs: JobStore, queue: WorkQueue) -> None:
    job = add(jobs)
    (row,) = claim(queue)
    assert jobs.ask_to_cancel(job.uuid, at=now())
    assert turn(queue, [success(row)]).outcomes == ["SUCCESS"]
    assert get(jobs, job).result == 4


def test_retry_with_a_new_queue_is_claimed_from_that_queue(jobs: JobStore, queue: WorkQueue) -> None:
    job = add(jobs, labels={"a": "b"}, caller="c")
    (row,) = claim(queue)
    columns = {"queue": "q2", "priority": 7, "target_queue": "q2", "target_priority": 7}
    assert turn(queue, [retried(row, columns, eta=1)]).outcomes == ["RETRY"]
    assert claim(queue) == []
    (again,) = claim(queue, queues=["q2"])
    assert (again.uuid, again.attempt, again.retries, again.args, again.priority) == (job.uuid, 2, 1, "[5]", 7)
    found = get(jobs, job)
    assert (found.labels, found.caller, found.queue, found.priority) == ({"a": "b"}, "c", "q2", 7)


def test_retry_of_a_job_that_was_asked_to_stop_revokes_it(jobs: JobStore, queue: WorkQueue) -> None:
    job = add(jobs)
    (row,) = claim(queue)
    assert jobs.ask_to_cancel(job.uuid, at=now())
    assert turn(queue, [retried(row)]).outcomes == ["REVOKED"]
    assert kinds(jobs, job)[-1] == "REVOKED"


def test_returned_job_is_as_if_it_was_never_claimed(jobs: JobStore, queue: WorkQueue) -> None:
    job = add(jobs, max_attempts=1)
    for due in (5, 6):
        (row,) = claim(queue)
        assert turn(queue, [Returned(row.uuid, row.token, now(), due)]).outcomes == ["RETURNED"]
        found = get(jobs, job)
        expected = (State.PENDING, 0, None, None, None, due)
        assert (found.state, found.attempt, found.started, found.holder, found.published, found.due) == expected
    assert kinds(jobs, job) == ["PENDING", "STARTED", "RETURNED", "STARTED", "RETURNED"]


def test_returned_job_whose_message_comes_again_is_not_due(jobs: JobStore, queue: WorkQueue) -> None:
    job = add(jobs)
    (row,) = claim(queue)
    turn(queue, [Returned(row.uuid, row.token, now(), None)])
    found = get(jobs, job)
    assert found.due is None
    assert found.published is not None
    assert turn(queue, messages=[MessageClaim(job.uuid, 0)]).claims[0] is not None


def test_returned_job_that_was_asked_to_stop_is_revoked(jobs: JobStore, queue: WorkQueue) -> None:
    job = add(jobs)
    (row,) = claim(queue)
    assert jobs.ask_to_cancel(job.uuid, at=now())
    assert turn(queue, [Returned(row.uuid, row.token, now(), 5)]).outcomes == ["REVOKED"]
    assert get(jobs, job).due is None


def test_late_lost_and_returned_jobs_are_no_events(
    jobs: JobStore, queue: WorkQueue, noted: list[CommittedEvent]
) -> None:
    job = add(jobs)
    (row,) = claim(queue)
    turn(queue, [success(row)])
    noted.clear()
    late = [LostReport(row.uuid, row.token, now(), "died"), Returned(row.uuid, row.token, now(), 5)]
    assert turn(queue, late).outcomes == [None, None]
    assert noted == []
    assert kinds(jobs, job) == ["PENDING", "STARTED", "SUCCESS"]


def test_any_number_of_lost_jobs_is_put_back_some_at_a_time(
    jobs: JobStore, queue: WorkQueue, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(work_queue, "MOST_LOST", 2)
    lost = [add(jobs, max_attempts=attempts) for attempts in (3, 1, 3, 3, 3)]
    claims = {row.uuid: ClaimKey(row.uuid, row.token) for row in claim(queue)}
    assert jobs.ask_to_cancel(lost[4].uuid, at=now())
    claims[lost[3].uuid] = ClaimKey(lost[3].uuid, "other")
    outcomes = queue.lose([claims[job.uuid] for job in lost], reason="died", at=now())
    assert outcomes == ["LOST", "FAILURE", "LOST", None, "REVOKED"]
    assert queue.lose([], reason="died", at=now()) == []


def test_one_late_report_does_not_touch_the_others(jobs: JobStore, queue: WorkQueue) -> None:
    kept, lost = add(jobs), add(jobs)
    rows = {row.uuid: row for row in claim(queue)}
    assert lose(jobs, lost, rows[lost.uuid].token) == "LOST"
    unknown = success(rows[kept.uuid])._replace(uuid=new_uuid())
    answer = turn(queue, [success(rows[lost.uuid]), success(rows[kept.uuid]), unknown])
    assert answer.outcomes == [None, "SUCCESS", None]
    assert kinds(jobs, lost)[-2:] == ["LOST", "LATE"]
    assert get(jobs, lost).state is State.PENDING


@pytest.mark.parametrize("kind", ["SUCCESS", "FAILURE", "RETRY"])
def test_same_report_twice_is_one_event(jobs: JobStore, queue: WorkQueue, kind: str) -> None:
    job = add(jobs)
    (row,) = claim(queue)
    report = retried(row) if kind == "RETRY" else success(row, state=kind)
    assert turn(queue, [report, report]).outcomes == [kind, kind]
    assert turn(queue, [report], again=True).outcomes == queue.report([report]) == [kind]
    assert kinds(jobs, job) == ["PENDING", "STARTED", kind]


def test_message_claims_its_waiting_job_once(jobs: JobStore, queue: WorkQueue) -> None:
    waiting, ended, stale = add(jobs), add(jobs), add(jobs)
    jobs.revoke(ended.uuid, reason="cancelled", at=now())
    asked = [MessageClaim(one, 0) for one in (waiting.uuid, waiting.uuid, ended.uuid, new_uuid())]
    asked.append(MessageClaim(stale.uuid, 1))
    claims = turn(queue, messages=asked, wanted=WantedJobs(["other"], 5)).claims
    assert [found and found.uuid for found in claims] == [waiting.uuid, None, None, None, None]
    assert kinds(jobs, waiting) == ["PENDING", "STARTED", "DROPPED"]
    assert [(event.kind, event.data) for event in jobs.events(ended.uuid)][-1] == (
        "DROPPED",
        {"worker": "w", "state": "REVOKED"},
    )
    assert get(jobs, stale).state is State.PENDING


def test_job_of_a_message_is_not_claimed_from_its_queue_as_well(jobs: JobStore, queue: WorkQueue) -> None:
    job = add(jobs)
    answer = turn(queue, messages=[MessageClaim(job.uuid, 0)], wanted=WantedJobs([Q], 5))
    assert [found and found.uuid for found in answer.claims] == [job.uuid]
    assert answer.rows == []


def test_turn_whose_answer_was_lost_is_repeated_with_the_same_answer(
    jobs: JobStore, queue: WorkQueue, noted: list[CommittedEvent]
) -> None:
    ended, returned, lost, retry = (add(jobs) for _ in range(4))
    rows = {row.uuid: row for row in claim(queue)}
    queued, named = add(jobs), add(jobs, target_queue="other")
    add(jobs)
    at = now()
    reports = [
        success(rows[ended.uuid]),
        Returned(returned.uuid, rows[returned.uuid].token, at, at + HOUR),
        LostReport(lost.uuid, rows[lost.uuid].token, at, "died"),
        retried(rows[retry.uuid]),
    ]
    same: dict[str, Any] = {
        "reports": reports,
        "wanted": WantedJobs([Q], 1),
        "messages": [MessageClaim(named.uuid, 0)] * 2,
        "token": "turn",
        "at": at,
    }
    noted.clear()
    first, events = turn(queue, **same), list(noted)
    noted.clear()
    history = {job.uuid: kinds(jobs, job) for job in (ended, returned, lost, retry, queued, named)}
    assert turn(queue, **same, again=True) == first
    assert noted == events
    assert first.outcomes == ["SUCCESS", "RETURNED", "LOST", "RETRY"]
    assert first.claims[1] is None, "a message that comes twice is one claim, also when it is repeated"
    del history[named.uuid]
    assert {uuid: kinds(jobs, a_job(uuid=uuid)) for uuid in history} == history


def test_repeated_turn_that_was_not_committed_claims(jobs: JobStore, queue: WorkQueue) -> None:
    add(jobs)
    assert len(claim(queue, again=True)) == 1


def test_events_are_stored_in_the_transaction_of_the_turn(
    jobs: JobStore, queue: WorkQueue, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = add(jobs)

    def fail(_: object) -> None:
        raise RuntimeError("no events")

    with monkeypatch.context() as patched:
        patched.setattr("pacifica.dispatcher.store.prepared.PreparedRows.run", lambda *_: fail(_))
        with pytest.raises(RuntimeError):
            claim(queue)
    assert get(jobs, job).state is State.PENDING
    assert database.read(orm.Event.select().count) == 1


def test_jobs_of_unknown_tasks_are_deferred_without_a_claim(jobs: JobStore, queue: WorkQueue) -> None:
    unknown, known = add(jobs, task="gone", retries=2), add(jobs, task="add")
    answer = turn(queue, wanted=WantedJobs([Q], 5, {"add"}, HOUR))
    assert [row.uuid for row in answer.rows] == [known.uuid]
    assert answer.taskless == (TasklessJob(unknown.uuid, "gone", 2),)
    found = get(jobs, unknown)
    assert (found.state, found.attempt, kinds(jobs, unknown)) == (State.PENDING, 0, ["PENDING"])
    assert found.due is not None
    assert found.due > now() + HOUR - 60_000_000
