"""The relay on a real outbox, with a broker whose behaviour the test decides."""

import itertools
import logging
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing
from typing import Any

import pytest

from pacifica.dispatcher.core.errors import BrokerUnavailable, MessageRefused
from pacifica.dispatcher.core.job import Event, Job, OutboxEntry, State, new_uuid, now
from pacifica.dispatcher.delivery import relay as relay_module
from pacifica.dispatcher.delivery.relay import Relay
from pacifica.dispatcher.service.new_job import outbox_entry
from pacifica.dispatcher.store.committed_event import REFUSED
from pacifica.dispatcher.store.database import Database
from pacifica.dispatcher.store.jobs import JobStore
from pacifica.dispatcher.store.outbox import Outbox

from ..eventually import eventually

SOON, NEVER = 0.02, 3600.0
LATER = 20_000_000
"""Microseconds within a relay's lease; only a job with an ``eta`` is due further ahead than that."""


class FakeBroker:
    """Takes messages unless it is ``unavailable``, or one of them is among those that it refuses.

    Publishing waits while ``gate`` is closed.
    """

    def __init__(self) -> None:
        self.unavailable = False
        self.refused: set[str] = set()
        self.refusal: Exception = KeyError("no such queue")
        self.sent: list[str] = []
        self.rounds: list[int] = []
        self.tries = 0
        self.greeted = 0
        self.gate = threading.Event()
        self.gate.set()

    def greet(self) -> None:
        self.greeted += 1
        if self.unavailable:
            raise BrokerUnavailable("The broker cannot be reached (test).")

    def publish(self, jobs: Sequence[OutboxEntry]) -> None:
        self.tries += 1
        self.gate.wait()
        if self.unavailable:
            raise BrokerUnavailable("The broker cannot be reached (test).")
        if any(job.uuid in self.refused for job in jobs):
            raise self.refusal
        self.rounds.append(len(jobs))
        self.sent += [job.uuid for job in jobs]


class RelayHarness:
    """An outbox, a broker, and the relays between them."""

    def __init__(self, database: Database, threads: ExitStack) -> None:
        self.jobs = JobStore(database)
        self.outbox = Outbox(database)
        self.broker = FakeBroker()
        self._threads = threads

    def relay(
        self,
        interval: float = SOON,
        batch: int = 10,
        *,
        start: bool = True,
        publish: Callable[[Sequence[OutboxEntry]], None] | None = None,
    ) -> Relay:
        """A relay, which is stopped at the end of the test."""
        publish = publish or self.broker.publish
        made = Relay(self.outbox, publish, self.broker.greet, interval=interval, batch=batch)
        self._threads.callback(made.stop)
        if start:
            made.start()
        return made

    def accept(self, due_in: int = 0) -> Job:
        """Add an accepted job to the outbox."""
        at = now()
        job = Job(new_uuid(), "add", [2, 2], {}, State.PENDING, created=at, max_attempts=3, due=at + due_in)
        self.jobs.add([job])
        return job

    def refusals(self, job: Job) -> list[Event]:
        """The events of the job's history that say that the broker refused it."""
        return [event for event in self.jobs.events(job.uuid) if event.kind == REFUSED]

    def published(self, job: Job) -> bool:
        """Whether the record says that the broker has the job's message."""
        found = self.jobs.get(job.uuid)
        assert found is not None
        return found.published is not None and found.due is None


@pytest.fixture
def harness(sqlite_url: str) -> Iterator[RelayHarness]:
    """An empty outbox on SQLite, and a broker."""
    with closing(Database(sqlite_url)) as database, ExitStack() as threads:
        database.wait_until_up(1, 0.0)
        yield RelayHarness(database, threads)


def test_handed_over_job_is_published_at_once(harness: RelayHarness) -> None:
    relay = harness.relay(NEVER)
    job = harness.accept(LATER)
    relay.hand_over(outbox_entry(job))
    eventually(lambda: harness.published(job))
    assert harness.broker.sent == [job.uuid]


def test_jobs_left_by_another_process_are_published_in_full_rounds(harness: RelayHarness) -> None:
    made = [harness.accept() for _ in range(25)]
    harness.relay(NEVER, batch=10)
    eventually(lambda: all(harness.published(job) for job in made))
    assert harness.broker.sent == [job.uuid for job in made]
    assert harness.broker.rounds == [10, 10, 5]


def test_idle_relay_notices_that_the_broker_goes_and_returns(
    harness: RelayHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pacifica.dispatcher.delivery.relay.SILENCE", SOON)
    relay = harness.relay()
    first = eventually(lambda: relay.confirmed)
    harness.broker.unavailable = True
    eventually(lambda: "cannot be reached" in relay.broker_state)
    harness.broker.unavailable = False
    eventually(lambda: relay.broker_state == "ok")
    assert eventually(lambda: relay.confirmed) > first
    assert harness.broker.tries == 0


def test_answer_of_the_broker_does_not_clear_a_refusal(harness: RelayHarness, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pacifica.dispatcher.delivery.relay.SILENCE", SOON)
    harness.broker.refusal = MessageRefused("no such queue")
    harness.broker.refused.add(harness.accept().uuid)
    relay = harness.relay()
    eventually(lambda: relay.broker_state == "no such queue")
    greeted = harness.broker.greeted
    eventually(lambda: harness.broker.greeted > greeted + 1)
    assert relay.broker_state == "no such queue"


def test_job_is_published_when_it_is_due(harness: RelayHarness) -> None:
    later, soon = harness.accept(LATER), harness.accept(50_000)
    harness.relay()
    eventually(lambda: harness.published(soon))
    assert not harness.published(later)


def test_jobs_wait_for_an_unavailable_broker_and_go_out_on_its_return(
    harness: RelayHarness, caplog: pytest.LogCaptureFixture
) -> None:
    harness.broker.unavailable = True
    relay = harness.relay()
    made = [harness.accept(LATER) for _ in range(5)]
    for job in made:
        relay.hand_over(outbox_entry(job))
    eventually(lambda: harness.broker.tries > 3)
    assert "cannot be reached" in relay.broker_state
    assert harness.outbox.backlog(at=now(), limit=10).jobs == 5
    harness.broker.unavailable = False
    swept_first = harness.accept()
    eventually(lambda: harness.published(swept_first) and relay.broker_state == "ok")
    eventually(lambda: all(harness.published(job) for job in made), 5)
    assert len([record for record in caplog.records if "wait in the outbox" in record.message]) == 1


def test_batch_that_was_not_published_is_due_again_at_once(harness: RelayHarness) -> None:
    harness.broker.unavailable = True
    harness.relay()
    made = [harness.accept() for _ in range(3)]
    eventually(lambda: harness.broker.tries > 2)
    harness.broker.unavailable = False
    eventually(lambda: all(harness.published(job) for job in made))
    assert Counter(harness.broker.sent) == Counter(job.uuid for job in made)


def test_memory_is_bounded_and_sweeps_find_the_rest(harness: RelayHarness, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(relay_module, "MEMORY", 3)
    relay = harness.relay(NEVER, start=False)
    made = [harness.accept(LATER) for _ in range(5)]
    for job in made:
        relay.hand_over(outbox_entry(job))
    relay.start()
    eventually(lambda: harness.broker.sent == [job.uuid for job in made[:3]])
    relay.stop()
    assert [harness.published(job) for job in made] == [True, True, True, False, False]


def test_stop_publishes_the_jobs_in_memory(harness: RelayHarness) -> None:
    relay = harness.relay(NEVER, batch=2, start=False)
    made = [harness.accept(LATER) for _ in range(7)]
    relay.start()
    for job in made:
        relay.hand_over(outbox_entry(job))
    relay.stop()
    assert all(harness.published(job) for job in made)
    assert not [thread for thread in threading.enumerate() if thread.name == "relay"]


def test_stop_does_not_wait_for_an_unavailable_broker(harness: RelayHarness) -> None:
    harness.broker.unavailable = True
    relay = harness.relay(NEVER)
    job = harness.accept(LATER)
    relay.hand_over(outbox_entry(job))
    eventually(lambda: harness.broker.tries)
    relay.stop()
    assert not [thread for thread in threading.enumerate() if thread.name == "relay"]
    assert [left.uuid for left in harness.outbox.take(at=now(), lease=1, limit=10)] == [job.uuid]


def test_sent_jobs_of_several_rounds_are_marked_together_a_little_later(
    harness: RelayHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    marked: list[Any] = []
    monkeypatch.setattr(harness.outbox, "mark_published", lambda sent, at: marked.append((len(sent), at)))
    relay = harness.relay(NEVER)
    made = [harness.accept(LATER) for _ in range(3)]
    for job in made:
        relay.hand_over(outbox_entry(job))
    eventually(lambda: len(harness.broker.sent) == 3)
    eventually(lambda: sum(number for number, _ in marked) == 3)
    assert [at - made[0].created >= relay_module.MARK_AFTER * 1_000_000 for _, at in marked] == [True]


def test_jobs_right_after_a_round_share_the_next_one(harness: RelayHarness, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(relay_module, "PACE", 0.3)
    relay = harness.relay(NEVER, batch=5)
    relay.hand_over(outbox_entry(harness.accept(LATER)))
    eventually(lambda: harness.broker.rounds == [1])
    for job in [harness.accept(LATER) for _ in range(3)]:
        relay.hand_over(outbox_entry(job))
    eventually(lambda: harness.broker.rounds == [1, 3])


@pytest.mark.parametrize("stop", [True, False])
def test_neither_a_full_round_nor_the_end_waits_for_more_jobs(
    harness: RelayHarness, monkeypatch: pytest.MonkeyPatch, stop: bool
) -> None:
    monkeypatch.setattr(relay_module, "PACE", NEVER)
    relay = harness.relay(NEVER, batch=3)
    harness.broker.gate.clear()
    relay.hand_over(outbox_entry(harness.accept(LATER)))
    eventually(lambda: harness.broker.tries == 1)
    made = [outbox_entry(harness.accept(LATER)) for _ in range(2 if stop else 3)]
    for job in made:
        relay.hand_over(job)
    harness.broker.gate.set()
    eventually(lambda: harness.broker.rounds[:1] == [1])
    if stop:
        relay.stop()
    eventually(lambda: harness.broker.rounds == [1, len(made)])


def test_full_batch_is_marked_at_once(harness: RelayHarness, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(relay_module, "MARK_AFTER", NEVER)
    made = [harness.accept() for _ in range(25)]
    relay = harness.relay(NEVER, batch=10)
    eventually(lambda: sum(harness.published(job) for job in made) == 20 and len(harness.broker.sent) == 25)
    relay.stop()
    assert all(harness.published(job) for job in made)


def test_sent_jobs_are_marked_before_waiting_for_an_unavailable_broker(
    harness: RelayHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(relay_module, "MARK_AFTER", NEVER)
    relay = harness.relay(NEVER)
    relay.hand_over(outbox_entry(sent := harness.accept(LATER)))
    eventually(lambda: harness.broker.sent)
    harness.broker.unavailable = True
    relay.hand_over(outbox_entry(harness.accept(LATER)))
    eventually(lambda: harness.published(sent))


def test_relay_can_be_stopped_before_its_start_and_twice(harness: RelayHarness) -> None:
    relay = harness.relay(start=False)
    relay.stop()
    relay.start()
    relay.stop()
    relay.stop()


def test_two_relays_on_one_outbox_publish_each_job_once(harness: RelayHarness) -> None:
    made = [harness.accept() for _ in range(200)]
    for _ in range(2):
        harness.relay(batch=7)
    eventually(lambda: all(harness.published(job) for job in made))
    assert Counter(harness.broker.sent) == Counter(job.uuid for job in made)


def test_job_that_cannot_be_sent_holds_no_others_back(harness: RelayHarness, caplog: pytest.LogCaptureFixture) -> None:
    bad = harness.accept()
    made = [harness.accept() for _ in range(4)]
    harness.broker.refused = {bad.uuid}
    relay = harness.relay()
    eventually(lambda: all(harness.published(job) for job in made))
    relay.hand_over(outbox_entry(another := harness.accept(LATER)))
    eventually(lambda: harness.published(another))
    assert not harness.published(bad)
    assert [record.levelno for record in caplog.records if bad.uuid in record.message] == [logging.ERROR]


def test_refused_job_is_tried_ever_less_often_and_its_history_says_why(
    harness: RelayHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(relay_module, "SHORTEST_DEFERMENT", 1000)
    bad, made = harness.accept(), [harness.accept() for _ in range(20)]
    harness.broker.refused, harness.broker.refusal = {bad.uuid}, MessageRefused("The broker refuses a message (test).")
    relay = harness.relay()
    eventually(lambda: all(harness.published(job) for job in made))
    refused = eventually(lambda: again if len(again := harness.refusals(bad)) >= 4 else None)
    assert refused[0].data == {"reason": "The broker refuses a message (test)."}
    pauses = [later.at - earlier.at for earlier, later in itertools.pairwise(refused)]
    assert all(pause >= (earlier.at - bad.created) // 2 for earlier, pause in zip(refused, pauses, strict=False))
    assert relay.broker_state == "The broker refuses a message (test)."
    harness.broker.refused = set()
    eventually(lambda: harness.published(bad))
    assert relay.broker_state == "ok"


def test_job_after_many_refused_ones_is_sent(harness: RelayHarness) -> None:
    bad = [harness.accept() for _ in range(35)]
    harness.broker.refused, harness.broker.refusal = {job.uuid for job in bad}, MessageRefused("No.")
    harness.relay()
    eventually(lambda: all(harness.refusals(job) for job in bad))
    last = harness.accept()
    eventually(lambda: harness.published(last))
    assert not any(harness.published(job) for job in bad)


def test_message_refused_for_a_missing_queue_is_sent_at_the_second_try(harness: RelayHarness) -> None:
    job = harness.accept()
    publish = harness.broker.publish

    def refuse_once(jobs: Sequence[OutboxEntry]) -> None:
        if harness.broker.tries == 0:
            harness.broker.tries += 1
            raise MessageRefused("No queue.")
        publish(jobs)

    harness.broker.publish = refuse_once  # type: ignore[method-assign]
    harness.relay()
    eventually(lambda: harness.published(job))
    assert harness.refusals(job) == []


def test_job_that_is_too_long_in_memory_is_left_to_the_sweeps(
    harness: RelayHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(relay_module, "MEMORY_AGE", -1_000_000)
    relay = harness.relay(NEVER, start=False)
    old, new = harness.accept(LATER), harness.accept()
    relay.hand_over(outbox_entry(old))
    relay.start()
    eventually(lambda: harness.published(new))
    relay.stop()
    assert harness.broker.sent == [new.uuid]


def test_unhandled_exception_does_not_end_the_relay(
    harness: RelayHarness, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    take, tries = Outbox.take, []

    def fail_once(outbox: Outbox, **options: Any) -> list[OutboxEntry]:
        tries.append(1)
        if len(tries) == 1:
            raise ZeroDivisionError
        return take(outbox, **options)

    monkeypatch.setattr(Outbox, "take", fail_once)
    job = harness.accept()
    harness.relay()
    eventually(lambda: harness.published(job))
    assert "ZeroDivisionError" in caplog.text


def test_sweeps_have_their_turn_under_any_load(harness: RelayHarness) -> None:
    plenty = threading.Event()

    def publish(jobs: Sequence[OutboxEntry]) -> None:
        harness.broker.publish(jobs)
        if not plenty.is_set():
            relay.hand_over(OutboxEntry(new_uuid(), "add", created=now()))

    relay = harness.relay(batch=5, start=False, publish=publish)
    relay.start()
    relay.hand_over(OutboxEntry(new_uuid(), "add", created=now()))
    job = harness.accept(100_000)
    try:
        eventually(lambda: harness.published(job))
    finally:
        plenty.set()
