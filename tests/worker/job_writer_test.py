"""The thread that claims and reports for a worker: each report is stored once, whatever fails meanwhile."""

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import repeat
from types import SimpleNamespace
from typing import Any

import pytest

from pacifica.dispatcher.core.errors import DatabaseUnavailable
from pacifica.dispatcher.core.job import Job, State, now
from pacifica.dispatcher.core.work import ClaimedJob, MessageClaim, Report, Turn, WantedJobs
from pacifica.dispatcher.store.work_queue import WorkQueue
from pacifica.dispatcher.worker import job_writer
from pacifica.dispatcher.worker.job_steps import EventWatch
from pacifica.dispatcher.worker.job_writer import JobWriter
from pacifica.dispatcher.worker.writer_partners import Item

from ..eventually import eventually
from ..store.conftest import a_job
from .engine import QUEUE, a_claim, success
from .local_worker import LocalWorker

UNAVAILABLE = DatabaseUnavailable("the database is away")


class Turns:
    """A work queue that keeps its turns; ``faults`` are raised one after the other, by the turn or after it."""

    def __init__(self, queue: WorkQueue) -> None:
        self.queue = queue
        self.turns: list[tuple[list[Report], int, bool]] = []
        self.faults: list[Exception] = []
        self.faults_after: list[Exception] = []
        self.faults_of_looks: list[Exception] = []
        self.writable, self.probes = True, 0
        self.poison_error: Exception = ValueError("it cannot be stored")
        self.poison: Callable[[Sequence[Report], Sequence[MessageClaim]], bool] = lambda *_: False
        self.during = lambda: None
        self.tokens: list[str] = []
        self.times: list[int] = []

    def ready(self, queues: Sequence[str], at: int) -> bool:
        if self.faults_of_looks:
            raise self.faults_of_looks.pop(0)
        return self.queue.ready(queues, at)

    def takes_writes(self, holder: str) -> bool:
        self.probes += 1
        return self.writable

    def next_due(self, queues: Sequence[str], at: int) -> int | None:
        return self.queue.next_due(queues, at)

    def turn(
        self, reports: Sequence[Report], wanted: WantedJobs | None, messages: Sequence[MessageClaim], **options: Any
    ) -> Turn:
        self.turns.append((list(reports), len(messages), options["again"]))
        self.tokens.append(options["token"])
        self.times.append(options["at"])
        if self.faults:
            raise self.faults.pop(0)
        if self.poison(reports, messages):
            raise self.poison_error
        self.during()
        turn = self.queue.turn(reports, wanted, messages, **options)
        if self.faults_after:
            raise self.faults_after.pop(0)
        return turn


class ListPool:
    """A pool that keeps the claimed jobs."""

    def __init__(self) -> None:
        self.space = 10
        self.claimed: list[Item] = []
        self.back: list[Item] = []
        self.ahead = False
        self.running = False

    def room(self) -> int:
        return self.space - len(self.claimed)

    def starved(self) -> bool:
        return True

    def empty(self) -> bool:
        return not self.running

    def add(self, claimed: Sequence[Item]) -> None:
        self.claimed.extend(claimed)

    def take_back(self, patience: float = 0.1) -> Sequence[Item]:
        back, self.back = self.back, []
        return back

    def holds_ahead(self) -> bool:
        return self.ahead

    def call(self, function: Callable[..., object], *values: Any) -> None:
        function(*values)


class Request:
    """The request of a broker's message, as far as the writer uses it."""

    is_row = False

    def __init__(self, job: Job) -> None:
        self.id, self.type = job.uuid, job.task
        self.app = SimpleNamespace(container=SimpleNamespace(jobs=SimpleNamespace(get=lambda _: job)))
        self.new: Job | None = None
        self.did: list[str] = []
        self.granted: ClaimedJob | None = None

    def claims(self) -> MessageClaim:
        return MessageClaim(self.id, 0, self.new)

    def grant(self, job: ClaimedJob) -> None:
        self.granted = job

    def drop(self) -> None:
        self.did.append("drop")

    def forget(self) -> None:
        self.did.append("forget")


class WriterHarness:
    """A writer on a real record; jobs come from rows, or from messages."""

    def __init__(self, local: LocalWorker, *, rows: bool = True) -> None:
        self.jobs = local.container.jobs
        self.turns = Turns(local.container.work_queue)
        self.pool = ListPool()
        self.notes: list[tuple[str, str | None]] = []
        self.writer = JobWriter(
            self.turns,  # type: ignore[arg-type]
            EventWatch(),
            self.pool,
            worker="w",
            holder="h",
            queues=(lambda: [QUEUE]) if rows else None,
        )

    def add(self, **columns: Any) -> Job:
        job = a_job(**{"target_queue": QUEUE, **columns})
        self.jobs.add([job])
        return job

    def claimed(self, number: int) -> list[ClaimedJob]:
        """So many jobs that the writer has claimed."""
        eventually(lambda: len(self.pool.claimed) >= number)
        return [job for job, _ in self.pool.claimed]

    def report(self, report: Report) -> None:
        self.writer.report(report, lambda became: self.notes.append((report.uuid, became)))

    def until(self, job: Job | ClaimedJob, state: State) -> Job:
        def found() -> Job | None:
            row = self.jobs.get(job.uuid)
            return row if row is not None and row.state == state else None

        row = eventually(found, message=f"the job is not {state}")
        assert row is not None
        return row

    def kinds(self, job: Job | ClaimedJob) -> list[str]:
        return [event.kind for event in self.jobs.events(job.uuid)]


@contextmanager
def running(harness: WriterHarness) -> Iterator[WriterHarness]:
    harness.writer.start()
    try:
        yield harness
    finally:
        harness.writer.stop(5.0)


@pytest.fixture
def rows(worker: LocalWorker) -> Iterator[WriterHarness]:
    """A writer that claims rows, and runs."""
    with running(WriterHarness(worker)) as harness:
        yield harness


@pytest.fixture
def messages(worker: LocalWorker) -> Iterator[WriterHarness]:
    """A writer that claims the jobs of messages, and runs."""
    with running(WriterHarness(worker, rows=False)) as harness:
        yield harness


def assert_set(event: threading.Event) -> None:
    assert event.wait(10)


def test_turns_are_apart_only_while_jobs_run(rows: WriterHarness, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(job_writer, "PACE", 20.0)
    for number in (1, 2, 3):
        rows.add()
        rows.writer.wake()
        rows.claimed(number)
    monkeypatch.setattr(job_writer, "PACE", 0.3)
    rows.pool.running = True
    for job in rows.claimed(3):
        rows.report(success(job))
    eventually(lambda: len(rows.notes) == 3)
    assert sum(1 for reports, _, _ in rows.turns.turns if reports) <= 2


def test_due_jobs_are_claimed_up_to_the_room(rows: WriterHarness) -> None:
    rows.pool.space = 2
    jobs = [rows.add() for _ in range(3)]
    rows.writer.wake()
    claimed = rows.claimed(2)
    assert {job.uuid for job in claimed} <= {job.uuid for job in jobs}
    states = [found.state for job in jobs if (found := rows.jobs.get(job.uuid))]
    assert sorted(states) == ["PENDING", "STARTED", "STARTED"]


def test_reports_and_claims_share_a_transaction_and_reports_go_first(rows: WriterHarness) -> None:
    rows.pool.space = 1
    rows.add()
    rows.writer.wake()
    (first,) = rows.claimed(1)
    second = rows.add()
    turns = len(rows.turns.turns)
    rows.pool.claimed.clear()
    rows.report(success(first))
    assert rows.claimed(1)[0].uuid == second.uuid
    assert [len(reports) for reports, _, _ in rows.turns.turns[turns:]] == [1]


def test_what_follows_a_report_knows_what_became_of_it(rows: WriterHarness) -> None:
    job = rows.add()
    rows.writer.wake()
    (claimed,) = rows.claimed(1)
    rows.report(success(claimed._replace(token="another")))
    rows.report(success(claimed))
    eventually(lambda: len(rows.notes) == 2)
    assert rows.notes == [(job.uuid, None), (job.uuid, "SUCCESS")]


def test_turn_is_repeated_with_its_token_while_the_database_is_away(rows: WriterHarness) -> None:
    rows.add()
    rows.writer.wake()
    (job,) = rows.claimed(1)
    turns = len(rows.turns.turns)
    rows.turns.faults = [UNAVAILABLE] * 3
    rows.report(success(job))
    rows.until(job, State.SUCCESS)
    assert [again for _, _, again in rows.turns.turns[turns:]] == [False, True, True, True]
    assert len(set(rows.turns.tokens[turns:])) == 1
    assert len(set(rows.turns.times[turns:])) == 4, "what has expired during an outage must not be claimed after it"


def test_turn_whose_answer_is_lost_claims_and_reports_once(rows: WriterHarness) -> None:
    first = rows.add()
    rows.writer.wake()
    (job,) = rows.claimed(1)
    second = rows.add()
    rows.turns.faults_after = [UNAVAILABLE]
    rows.report(success(job))
    claimed = rows.claimed(2)
    assert claimed[1].uuid == second.uuid
    eventually(lambda: rows.notes == [(first.uuid, "SUCCESS")])
    assert (rows.kinds(first), rows.kinds(second)) == (["PENDING", "STARTED", "SUCCESS"], ["PENDING", "STARTED"])


def test_failed_look_for_jobs_loses_no_report(rows: WriterHarness) -> None:
    """The database may go away between the end of a job and the look for the next ones."""
    rows.add()
    rows.writer.wake()
    (job,) = rows.claimed(1)
    rows.turns.faults_of_looks = [UNAVAILABLE] * 2
    rows.report(success(job))
    rows.until(job, State.SUCCESS)
    rows.add()
    rows.writer.wake()
    rows.claimed(2)


def test_report_that_cannot_be_stored_harms_no_other(rows: WriterHarness) -> None:
    jobs = [rows.add() for _ in range(5)]
    rows.writer.wake()
    claimed = rows.claimed(5)
    bad = claimed[2]
    rows.turns.poison = lambda reports, _: any(report.uuid == bad.uuid for report in reports)
    for job in claimed:
        rows.report(success(job))
    eventually(lambda: len(rows.notes) == 5)
    assert dict(rows.notes) == {job.uuid: None if job.uuid == bad.uuid else "SUCCESS" for job in claimed}
    assert rows.writer.in_hand() == set(), "the heartbeat must put the job back"
    rows.pool.claimed.clear()
    later = rows.add()
    rows.writer.wake()
    assert rows.claimed(1)[0].uuid == later.uuid
    assert len(jobs) == 5


def test_row_that_the_driver_refuses_with_an_unknown_error_is_not_repeated_forever(
    rows: WriterHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Such as a text that is larger than the server's largest packet."""
    monkeypatch.setattr(job_writer, "backoff", lambda *_: repeat(0.001))
    error = DatabaseUnavailable("The database cannot do that now (it reported an error).")
    error.__cause__ = RuntimeError(1153, "Got a packet bigger than max_allowed_packet bytes")
    bad, good = (success(a_claim()) for _ in range(2))
    rows.turns.poison, rows.turns.poison_error = lambda reports, _: bad in reports, error
    for report in (bad, good):
        rows.report(report)
    eventually(lambda: {uuid for uuid, _ in rows.notes} == {bad.uuid, good.uuid})
    tried = [reports for reports, _, _ in rows.turns.turns if bad in reports]
    assert len(tried) <= 2 * job_writer.MOST_STRANGE
    assert tried[-1] == [bad]


def test_unknown_error_of_a_database_that_takes_no_write_is_an_outage(
    rows: WriterHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The outcome of a job is kept as long as that lasts."""
    monkeypatch.setattr(job_writer, "backoff", lambda *_: repeat(0.001))
    error = DatabaseUnavailable("The database cannot do that now (it reported an error).")
    error.__cause__ = RuntimeError("something new")
    rows.turns.writable = False
    rows.turns.faults = [error] * 200
    rows.add()
    rows.report(report := success(a_claim()))
    eventually(lambda: rows.notes, message="the report was not stored")
    assert rows.turns.faults == []
    assert rows.turns.probes >= 200 - job_writer.MOST_STRANGE
    assert [reports for reports, _, _ in rows.turns.turns if report in reports][-1] == [report]


def test_bad_report_and_bad_message_do_not_protect_each_other(messages: WriterHarness) -> None:
    """Neither is repeated forever, and the others are stored."""
    jobs = [messages.add(due=None, published=now()) for _ in range(3)]
    requests = [Request(job) for job in jobs]
    refused: list[int] = []
    plain = requests[0]  # No one publishes it again, so it is counted.
    plain.new, plain.app.container.event_counts = (
        jobs[0],
        SimpleNamespace(add_refused_message=lambda: refused.append(1)),
    )
    lost = success(a_claim())
    messages.turns.poison = lambda reports, claims: (
        lost in reports or any(claim.uuid == jobs[0].uuid for claim in claims)
    )
    messages.pool.space = 0
    for request in requests:
        messages.writer.claim(request)  # type: ignore[arg-type]
    messages.pool.space = 10
    messages.report(lost)
    assert {job.uuid for job in messages.claimed(2)} == {job.uuid for job in jobs[1:]}
    eventually(lambda: messages.notes == [(lost.uuid, None)])
    assert [request.did for request in requests] == [["drop"], [], []]
    eventually(lambda: refused == [1])


def test_reports_are_in_hand_until_they_are_stored(rows: WriterHarness) -> None:
    rows.add()
    rows.writer.wake()
    (job,) = rows.claimed(1)
    going = threading.Event()
    seen: list[set[tuple[str, str]]] = []
    rows.turns.during = lambda: (seen.append(rows.writer.in_hand()), assert_set(going))  # type: ignore[assignment,func-returns-value]
    rows.report(success(job))
    eventually(lambda: seen)
    assert seen[0] == {(job.uuid, job.token)} == rows.writer.in_hand()
    going.set()
    eventually(lambda: not rows.writer.in_hand())


def test_message_is_claimed_and_a_duplicate_is_dropped(messages: WriterHarness) -> None:
    job = messages.add(due=None, published=now())
    requests = [Request(job) for _ in range(2)]
    for request in requests:
        messages.writer.claim(request)  # type: ignore[arg-type]
    (claimed,) = messages.claimed(1)
    eventually(lambda: [request.did for request in requests] == [[], ["drop"]])
    assert requests[0].granted == claimed
    assert messages.pool.claimed == [(claimed, requests[0])]


def test_messages_wait_for_room(messages: WriterHarness) -> None:
    messages.pool.space = 1
    requests = [Request(messages.add(due=None, published=now())) for _ in range(2)]
    for request in requests:
        messages.writer.claim(request)  # type: ignore[arg-type]
    messages.claimed(1)
    assert requests[1].granted is None
    messages.pool.space = 2
    messages.writer.wake()
    messages.claimed(2)


def test_row_that_was_not_begun_returns_to_its_queue(rows: WriterHarness) -> None:
    job = rows.add()
    rows.writer.wake()
    rows.claimed(1)
    rows.pool.back = [rows.pool.claimed.pop()]
    rows.writer.wake()
    rows.claimed(1)
    assert rows.until(job, State.STARTED).attempt == 1
    assert rows.kinds(job) == ["PENDING", "STARTED", "RETURNED", "STARTED"]


def test_message_whose_job_was_not_begun_is_claimed_again(messages: WriterHarness) -> None:
    job = messages.add(due=None, published=now())
    request = Request(job)
    messages.writer.claim(request)  # type: ignore[arg-type]
    messages.claimed(1)
    messages.pool.back = [messages.pool.claimed.pop()]
    messages.writer.wake()
    messages.claimed(1)
    assert (request.did, messages.kinds(job)) == (["forget"], ["PENDING", "STARTED", "RETURNED", "STARTED"])
    assert messages.until(job, State.STARTED).attempt == 1


def test_pause_returns_what_has_not_begun_and_claims_no_more(rows: WriterHarness) -> None:
    job = rows.add()
    rows.writer.wake()
    rows.claimed(1)
    rows.pool.back = [rows.pool.claimed.pop()]
    rows.writer.pause()
    rows.until(job, State.PENDING)
    turns = len(rows.turns.turns)
    rows.report(success(a_claim()))
    eventually(lambda: len(rows.turns.turns) > turns)
    assert rows.pool.claimed == []
    rows.writer.start()
    assert rows.claimed(1)[0].uuid == job.uuid


def test_jobs_that_are_claimed_during_a_stop_return_to_their_queue(worker: LocalWorker) -> None:
    """The writer is in a turn as it is asked to pause, and then to end."""
    harness = WriterHarness(worker)
    within, going = threading.Event(), threading.Event()
    harness.turns.during = lambda: (within.set(), assert_set(going))  # type: ignore[assignment,func-returns-value]
    job = harness.add()
    taken = harness.pool.claimed
    harness.pool.take_back = lambda patience=0.1: [] if patience else [taken.pop() for _ in taken[:]]  # type: ignore[method-assign]
    harness.writer.start()
    assert_set(within)
    harness.writer.pause()
    stopping = threading.Thread(target=harness.writer.stop, args=(10.0,))
    stopping.start()
    going.set()
    stopping.join()
    assert harness.kinds(job) == ["PENDING", "STARTED", "RETURNED"]
    assert harness.until(job, State.PENDING).attempt == 0


def test_stop_stores_the_last_reports(worker: LocalWorker) -> None:
    harness = WriterHarness(worker)
    with running(harness):
        harness.add()
        harness.writer.wake()
        (job,) = harness.claimed(1)
        harness.turns.faults = [UNAVAILABLE] * 2
        harness.report(success(job))
    assert harness.until(job, State.SUCCESS).result == 4
    assert harness.notes == [(job.uuid, "SUCCESS")]


def test_stop_ends_in_time_while_the_database_is_away(worker: LocalWorker) -> None:
    harness = WriterHarness(worker)
    harness.writer.start()
    harness.add()
    harness.writer.wake()
    (job,) = harness.claimed(1)
    harness.turns.faults = [UNAVAILABLE] * 1000
    harness.report(success(job))
    harness.writer.stop(0.5)
    assert "job-writer" not in {thread.name for thread in threading.enumerate()}
    assert harness.writer.in_hand() == {(job.uuid, job.token)}


def test_action_that_fails_leaves_the_writer_running(rows: WriterHarness) -> None:
    done: list[int] = []
    rows.writer.do(lambda: 1 / 0)
    rows.writer.do(lambda: done.append(1))
    eventually(lambda: done)
    rows.add()
    rows.writer.wake()
    rows.claimed(1)


def test_jobs_that_wait_for_their_turn_are_looked_at_soon(rows: WriterHarness) -> None:
    """A job that waits behind a long one goes back to the queue without any other event."""
    job = rows.add()
    rows.pool.ahead = True
    rows.writer.wake()
    rows.claimed(1)
    begin = now()
    rows.pool.back = [rows.pool.claimed.pop()]
    eventually(lambda: "RETURNED" in rows.kinds(job))
    assert now() - begin < 400_000


def test_job_is_claimed_when_its_eta_comes(rows: WriterHarness) -> None:
    rows.claimed(0)
    eta = now() + 700_000
    job = rows.add(eta=eta, due=eta)
    eventually(lambda: rows.pool.claimed)
    started = rows.until(job, State.STARTED).started
    assert started is not None
    assert 0 <= started - eta < 300_000


def test_error_while_it_waits_does_not_end_the_writer(
    rows: WriterHarness, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(job_writer, "LONGEST_WAIT", 0.01)
    faults = [ValueError("no such table")]

    def next_due(*_: Any) -> None:
        if faults:
            raise faults.pop()

    monkeypatch.setattr(rows.turns, "next_due", next_due)
    rows.writer.wake()
    eventually(lambda: not faults)
    rows.add()
    rows.writer.wake()
    rows.claimed(1)
    assert "Unhandled exception while waiting for jobs" in caplog.text


def test_message_that_is_given_back_without_its_connection_is_published_again(messages: WriterHarness) -> None:
    """The broker has given it to another worker, which has seen a job that was started, and dropped it."""
    job = messages.add()
    messages.writer.claim(Request(job))  # type: ignore[arg-type]
    (claimed,) = messages.claimed(1)
    messages.pool.back = [(claimed, messages.pool.claimed[0][1])]
    messages.writer.pause()
    row = messages.until(job, State.PENDING)
    eventually(lambda: "RETURNED" in messages.kinds(job))
    assert row.due is not None
