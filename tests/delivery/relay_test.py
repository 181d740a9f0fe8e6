"""The relay on a real outbox, with a broker that the test holds in its hand."""

import itertools
import logging
import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing
from typing import Any

import pytest

from pacifica.dispatcher.core.errors import BrokerUnavailable, MessageRefused
from pacifica.dispatcher.core.job import Event, Job, OutboxEntry, State, new_uuid, now
from pacifica.dispatcher.delivery import relay as relay_module
from pacifica.dispatcher.delivery.relay import Relay
from pacifica.dispatcher.service.verbs import outgoing
from pacifica.dispatcher.store.database import Database
from pacifica.dispatcher.store.jobs import JobStore
from pacifica.dispatcher.store.outbox import REFUSED, Outbox

from ..eventually import eventually

SOON, NEVER = 0.02, 3600.0
LATER = 20_000_000
"""Within a relay's lease, as no job that waits for no ``eta`` has its time further ahead."""


class FakeBroker:
    """Takes messages, unless it is away or a message is one that it cannot even be given."""

    def __init__(self) -> None:
        self.away = False
        self.poison: set[str] = set()
        self.says_no: Exception = KeyError("no such queue")
        self.sent: list[str] = []
        self.rounds: list[int] = []
        self.tries = 0
        self.greeted = 0

    def greet(self) -> None:
        self.greeted += 1
        if self.away:
            raise BrokerUnavailable("The broker cannot be reached (test).")

    def publish(self, jobs: Sequence[OutboxEntry]) -> None:
        self.tries += 1
        if self.away:
            raise BrokerUnavailable("The broker cannot be reached (test).")
        if any(job.uuid in self.poison for job in jobs):
            raise self.says_no
        self.rounds.append(len(jobs))
        self.sent += [job.uuid for job in jobs]


class Bench:
    """An outbox, a broker, and the relays between them."""

    def __init__(self, database: Database, threads: ExitStack) -> None:
        self.jobs = JobStore(database)
        self.outbox = Outbox(database)
        self.broker = FakeBroker()
        self._threads = threads

    def relay(self, interval: float = SOON, batch: int = 10, *, start: bool = True) -> Relay:
        """A relay, which is stopped in the end."""
        made = Relay(self.outbox, self.broker.publish, self.broker.greet, interval=interval, batch=batch)
        self._threads.callback(made.stop)
        if start:
            made.start()
        return made

    def accept(self, due_in: int = 0) -> Job:
        """A job that somebody has accepted."""
        at = now()
        job = Job(new_uuid(), "add", [2, 2], {}, State.PENDING, created=at, max_attempts=3, due=at + due_in)
        self.jobs.add([job])
        return job

    def refusals(self, job: Job) -> list[Event]:
        """How often its history says that the broker did not take it."""
        return [event for event in self.jobs.events(job.uuid) if event.kind == REFUSED]

    def published(self, job: Job) -> bool:
        """Whether the record knows that the broker has it."""
        found = self.jobs.get(job.uuid)
        assert found is not None
        return found.published is not None and found.due is None


@pytest.fixture
def bench(sqlite_url: str) -> Iterator[Bench]:
    """An empty outbox on SQLite, and a broker."""
    with closing(Database(sqlite_url)) as database, ExitStack() as threads:
        database.wait_until_up(1, 0.0)
        yield Bench(database, threads)


def test_a_job_that_is_handed_over_is_published_at_once(bench: Bench) -> None:
    relay = bench.relay(NEVER)
    job = bench.accept(LATER)
    relay.hand_over(outgoing(job))
    eventually(lambda: bench.published(job))
    assert bench.broker.sent == [job.uuid]


def test_what_another_process_left_is_swept_up(bench: Bench) -> None:
    made = [bench.accept() for _ in range(25)]
    bench.relay(NEVER, batch=10)
    eventually(lambda: all(bench.published(job) for job in made))
    assert bench.broker.sent == [job.uuid for job in made]
    assert bench.broker.rounds == [10, 10, 5]


def test_a_relay_that_has_nothing_to_send_learns_that_the_broker_has_gone_and_is_back(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pacifica.dispatcher.delivery.relay.SILENCE", SOON)
    relay = bench.relay()
    first = eventually(lambda: relay.confirmed)
    bench.broker.away = True
    eventually(lambda: "cannot be reached" in relay.broker_state)
    bench.broker.away = False
    eventually(lambda: relay.broker_state == "ok")
    assert eventually(lambda: relay.confirmed) > first
    assert bench.broker.tries == 0


def test_a_message_that_was_refused_is_not_forgotten_as_the_broker_answers(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pacifica.dispatcher.delivery.relay.SILENCE", SOON)
    bench.broker.says_no = MessageRefused("no such queue")
    bench.broker.poison.add(bench.accept().uuid)
    relay = bench.relay()
    eventually(lambda: relay.broker_state == "no such queue")
    greeted = bench.broker.greeted
    eventually(lambda: bench.broker.greeted > greeted + 1)
    assert relay.broker_state == "no such queue"


def test_a_job_for_later_is_published_when_its_time_has_come(bench: Bench) -> None:
    later, soon = bench.accept(LATER), bench.accept(50_000)
    bench.relay()
    eventually(lambda: bench.published(soon))
    assert not bench.published(later)


def test_jobs_wait_while_the_broker_is_away_and_go_out_when_it_is_back(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    bench.broker.away = True
    relay = bench.relay()
    made = [bench.accept(LATER) for _ in range(5)]
    for job in made:
        relay.hand_over(outgoing(job))
    eventually(lambda: bench.broker.tries > 3)
    assert "cannot be reached" in relay.broker_state
    assert bench.outbox.backlog(at=now(), limit=10).jobs == 5
    bench.broker.away = False
    swept_first = bench.accept()
    eventually(lambda: bench.published(swept_first) and relay.broker_state == "ok")
    eventually(lambda: all(bench.published(job) for job in made), 5)
    assert len([record for record in caplog.records if "wait in the outbox" in record.message]) == 1


def test_a_batch_that_could_not_be_published_is_due_again_at_once(bench: Bench) -> None:
    bench.broker.away = True
    bench.relay()
    made = [bench.accept() for _ in range(3)]
    eventually(lambda: bench.broker.tries > 2)
    bench.broker.away = False
    eventually(lambda: all(bench.published(job) for job in made))
    assert Counter(bench.broker.sent) == Counter(job.uuid for job in made)


def test_the_memory_is_bounded_and_the_rest_is_swept(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(relay_module, "MEMORY", 3)
    relay = bench.relay(NEVER, start=False)
    made = [bench.accept(LATER) for _ in range(5)]
    for job in made:
        relay.hand_over(outgoing(job))
    relay.start()
    eventually(lambda: bench.broker.sent == [job.uuid for job in made[:3]])
    relay.stop()
    assert [bench.published(job) for job in made] == [True, True, True, False, False]


def test_stopping_publishes_what_is_in_memory(bench: Bench) -> None:
    relay = bench.relay(NEVER, batch=2, start=False)
    made = [bench.accept(LATER) for _ in range(7)]
    relay.start()
    for job in made:
        relay.hand_over(outgoing(job))
    relay.stop()
    assert all(bench.published(job) for job in made)
    assert not [thread for thread in threading.enumerate() if thread.name == "relay"]


def test_stopping_does_not_wait_for_a_broker_that_is_away(bench: Bench) -> None:
    bench.broker.away = True
    relay = bench.relay(NEVER)
    job = bench.accept(LATER)
    relay.hand_over(outgoing(job))
    eventually(lambda: bench.broker.tries)
    relay.stop()
    assert not [thread for thread in threading.enumerate() if thread.name == "relay"]
    assert [left.uuid for left in bench.outbox.take(at=now(), lease=1, limit=10)] == [job.uuid]


def test_the_record_is_told_a_little_later_and_of_several_rounds_together(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    marked: list[Any] = []
    monkeypatch.setattr(bench.outbox, "mark_published", lambda sent, at: marked.append((len(sent), at)))
    relay = bench.relay(NEVER)
    made = [bench.accept(LATER) for _ in range(3)]
    for job in made:
        relay.hand_over(outgoing(job))
    eventually(lambda: len(bench.broker.sent) == 3)
    eventually(lambda: sum(number for number, _ in marked) == 3)
    assert [at - made[0].created >= relay_module.NOTED_AFTER * 1_000_000 for _, at in marked] == [True]


def test_what_comes_right_behind_a_round_goes_together(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(relay_module, "PACE", 0.3)
    relay = bench.relay(NEVER, batch=5)
    relay.hand_over(outgoing(bench.accept(LATER)))
    eventually(lambda: bench.broker.rounds == [1])
    for job in [bench.accept(LATER) for _ in range(3)]:
        relay.hand_over(outgoing(job))
    eventually(lambda: bench.broker.rounds == [1, 3])


@pytest.mark.parametrize("stop", [True, False])
def test_neither_a_full_round_nor_the_end_waits_for_more(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, stop: bool
) -> None:
    monkeypatch.setattr(relay_module, "PACE", NEVER)
    relay = bench.relay(NEVER, batch=3)
    relay.hand_over(outgoing(bench.accept(LATER)))
    eventually(lambda: bench.broker.rounds == [1])
    made = [outgoing(bench.accept(LATER)) for _ in range(2 if stop else 3)]
    relay._memory.extend(made)
    relay._wake.set()
    if stop:
        relay.stop()
    eventually(lambda: bench.broker.rounds == [1, len(made)])


def test_a_full_batch_is_marked_at_once(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(relay_module, "NOTED_AFTER", NEVER)
    made = [bench.accept() for _ in range(25)]
    relay = bench.relay(NEVER, batch=10)
    eventually(lambda: sum(bench.published(job) for job in made) == 20 and len(bench.broker.sent) == 25)
    relay.stop()
    assert all(bench.published(job) for job in made)


def test_what_was_sent_is_marked_before_a_relay_waits_for_a_broker_that_went_away(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(relay_module, "NOTED_AFTER", NEVER)
    relay = bench.relay(NEVER)
    relay.hand_over(outgoing(sent := bench.accept(LATER)))
    eventually(lambda: bench.broker.sent)
    bench.broker.away = True
    relay.hand_over(outgoing(bench.accept(LATER)))
    eventually(lambda: bench.published(sent))


def test_a_relay_can_be_stopped_before_it_was_started_and_twice(bench: Bench) -> None:
    relay = bench.relay(start=False)
    relay.stop()
    relay.start()
    relay.stop()
    relay.stop()


def test_two_relays_on_one_outbox_publish_each_job_once(bench: Bench) -> None:
    made = [bench.accept() for _ in range(200)]
    for _ in range(2):
        bench.relay(batch=7)
    eventually(lambda: all(bench.published(job) for job in made))
    assert Counter(bench.broker.sent) == Counter(job.uuid for job in made)


def test_a_job_that_cannot_be_sent_keeps_no_other_one_back(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    bad = bench.accept()
    made = [bench.accept() for _ in range(4)]
    bench.broker.poison = {bad.uuid}
    relay = bench.relay()
    eventually(lambda: all(bench.published(job) for job in made))
    relay.hand_over(outgoing(another := bench.accept(LATER)))
    eventually(lambda: bench.published(another))
    assert not bench.published(bad)
    assert [record.levelno for record in caplog.records if bad.uuid in record.message] == [logging.ERROR]


def test_a_job_that_the_broker_refuses_is_left_alone_ever_longer_and_its_history_says_why(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(relay_module, "SHORTEST_DEFERMENT", 1000)
    bad, made = bench.accept(), [bench.accept() for _ in range(20)]
    bench.broker.poison, bench.broker.says_no = {bad.uuid}, MessageRefused("The broker refuses a message (test).")
    relay = bench.relay()
    eventually(lambda: all(bench.published(job) for job in made))
    refused = eventually(lambda: again if len(again := bench.refusals(bad)) >= 4 else None)
    assert refused[0].data == {"reason": "The broker refuses a message (test)."}
    pauses = [later.at - earlier.at for earlier, later in itertools.pairwise(refused)]
    assert all(pause >= (earlier.at - bad.created) // 2 for earlier, pause in zip(refused, pauses, strict=False))
    assert relay.broker_state == "The broker refuses a message (test)."
    bench.broker.poison = set()
    eventually(lambda: bench.published(bad))
    assert relay.broker_state == "ok"


def test_jobs_behind_many_that_the_broker_refuses_are_sent(bench: Bench) -> None:
    bad = [bench.accept() for _ in range(35)]
    bench.broker.poison, bench.broker.says_no = {job.uuid for job in bad}, MessageRefused("No.")
    bench.relay()
    eventually(lambda: all(bench.refusals(job) for job in bad))
    last = bench.accept()
    eventually(lambda: bench.published(last))
    assert not any(bench.published(job) for job in bad)


def test_a_message_that_was_refused_as_its_queue_was_gone_is_sent_at_the_second_try(bench: Bench) -> None:
    job = bench.accept()
    publish = bench.broker.publish

    def refuse_once(jobs: Sequence[OutboxEntry]) -> None:
        if bench.broker.tries == 0:
            bench.broker.tries += 1
            raise MessageRefused("No queue.")
        publish(jobs)

    bench.broker.publish = refuse_once  # type: ignore[method-assign]
    bench.relay()
    eventually(lambda: bench.published(job))
    assert bench.refusals(job) == []


def test_what_waited_in_memory_until_others_may_sweep_it_up_is_not_sent_from_there(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(relay_module, "KEPT", -1_000_000)
    relay = bench.relay(NEVER, start=False)
    old, new = bench.accept(LATER), bench.accept()
    relay.hand_over(outgoing(old))
    relay.start()
    eventually(lambda: bench.published(new))
    relay.stop()
    assert bench.broker.sent == [new.uuid]


def test_an_error_that_nobody_has_thought_of_does_not_end_the_relay(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    take, tries = Outbox.take, []

    def fail_once(outbox: Outbox, **options: Any) -> list[OutboxEntry]:
        tries.append(1)
        if len(tries) == 1:
            raise ZeroDivisionError
        return take(outbox, **options)

    monkeypatch.setattr(Outbox, "take", fail_once)
    job = bench.accept()
    bench.relay()
    eventually(lambda: bench.published(job))
    assert "ZeroDivisionError" in caplog.text


def test_however_much_is_handed_over_the_sweeps_have_their_turn(bench: Bench) -> None:
    relay = bench.relay(batch=5, start=False)
    plenty = threading.Event()

    def publish(jobs: Sequence[OutboxEntry]) -> None:
        bench.broker.publish(jobs)
        if not plenty.is_set():
            relay.hand_over(OutboxEntry(new_uuid(), "add", created=now()))

    relay._publish = publish
    relay.start()
    relay.hand_over(OutboxEntry(new_uuid(), "add", created=now()))
    job = bench.accept(100_000)
    try:
        eventually(lambda: bench.published(job))
    finally:
        plenty.set()
