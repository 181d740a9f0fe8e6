"""Waiting for jobs, streams of events, and the feed that notifies both."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from typing import Any, TypeVar

import pytest

from pacifica.dispatcher.core.errors import DatabaseUnavailable, TooManyWaiting
from pacifica.dispatcher.core.job import Event, Job, State, now
from pacifica.dispatcher.core.permissions import EVERY_JOB, Visibility
from pacifica.dispatcher.service.event_feed import EventFeed, Subscription
from pacifica.dispatcher.service.waiting import Waiting
from pacifica.dispatcher.store.database import Database
from pacifica.dispatcher.store.events import EventStore
from pacifica.dispatcher.store.jobs import JobStore

from ..eventually import eventually
from ..store.conftest import a_job, a_waiting
from ..store.job_steps import claim, succeed

Value = TypeVar("Value")

LONG = 60.0


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    """A fresh database with its tables; the test runs once for each kind."""
    with closing(Database(database_url)) as opened:
        opened.wait_until_up(1, 0.0)
        yield opened


@pytest.fixture
def sqlite(sqlite_url: str) -> Iterator[Database]:
    """A fresh SQLite file with its tables."""
    with closing(Database(sqlite_url)) as opened:
        opened.wait_until_up(1, 0.0)
        yield opened


class Pool:
    """Threads for waiters; each closes its database connection at its end."""

    def __init__(self, threads: ThreadPoolExecutor) -> None:
        self._threads = threads

    def submit(self, database: Database, action: Callable[..., Value], *args: Any, **options: Any) -> "Future[Value]":
        """Run the action in a thread."""

        def run() -> Value:
            try:
                return action(*args, **options)
            finally:
                database.close()

        return self._threads.submit(run)


@pytest.fixture
def pool() -> Iterator[Pool]:
    """Threads for waiters."""
    with ThreadPoolExecutor(8) as threads:
        yield Pool(threads)


def started(database: Database) -> Job:
    """A job that a worker has claimed with the token "t"."""
    jobs, job = JobStore(database), a_job()
    jobs.add([job])
    assert claim(jobs, job, "t")
    return job


def finish(database: Database, job: Job) -> None:
    """The worker's report."""
    assert succeed(JobStore(database), job, "t")


def places_taken(waiting: Waiting, number: int) -> None:
    """Wait until so many places of the feed are taken."""
    eventually(lambda: waiting.feed.taken == number)


def test_each_waiter_is_notified_when_its_job_ends(database: Database, pool: Pool) -> None:
    waiting = a_waiting(database)
    jobs = [started(database) for _ in range(4)]
    answers = [pool.submit(database, waiting.until_final, job, LONG) for job in jobs]
    places_taken(waiting, 4)
    for job in jobs:
        finish(database, job)
    for answer, job in zip(answers, jobs, strict=True):
        found = answer.result(30)
        assert (found.job.uuid, found.job.state, found.waited) == (job.uuid, State.SUCCESS, True)
    places_taken(waiting, 0)
    waiting.feed.stop()


def test_waiter_reads_the_record_only_at_the_end_of_its_job(
    sqlite: Database, pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    waiting, jobs, job, seen = a_waiting(sqlite), JobStore(sqlite), a_job(), []
    get = JobStore.get

    def counted(self: JobStore, uuid: str, **options: bool) -> Job | None:
        seen.append(found := get(self, uuid, **options))
        return found

    jobs.add([job])
    monkeypatch.setattr(JobStore, "get", counted)
    answer = pool.submit(sqlite, waiting.until_final, job, LONG)
    eventually(lambda: len(seen) == 1)
    assert claim(jobs, job, "t")
    eventually(lambda: waiting.feed.position == EventStore(sqlite).last())
    finish(sqlite, job)
    assert answer.result(30).job.final
    assert [found and found.state for found in seen] == ["PENDING", "SUCCESS"]
    waiting.feed.stop()


def test_final_job_is_returned_at_once(sqlite: Database) -> None:
    waiting, job = a_waiting(sqlite, places=0), started(sqlite)
    finish(sqlite, job)
    done = JobStore(sqlite).get(job.uuid)
    assert done is not None
    assert waiting.until_final(done, LONG) == (done, True)


def test_wait_ends_after_its_time(sqlite: Database) -> None:
    waiting, job = a_waiting(sqlite), started(sqlite)
    found = waiting.until_final(job, 0.05)
    assert (found.job.state, found.waited) == (State.STARTED, True)
    waiting.feed.stop()


def test_waiter_beyond_the_limit_is_answered_at_once(sqlite: Database, pool: Pool) -> None:
    waiting, job = a_waiting(sqlite, places=1), started(sqlite)
    first = pool.submit(sqlite, waiting.until_final, job, LONG)
    places_taken(waiting, 1)
    assert not waiting.until_final(job, LONG).waited
    with pytest.raises(TooManyWaiting):
        next(waiting.follow(EVERY_JOB))
    finish(sqlite, job)
    assert first.result(30).job.final
    waiting.feed.stop()


def test_waits_and_streams_end_when_the_server_stops(sqlite: Database, pool: Pool) -> None:
    waiting, job = a_waiting(sqlite), started(sqlite)
    one, stream = (
        pool.submit(sqlite, waiting.until_final, job, LONG),
        pool.submit(sqlite, list, waiting.follow(EVERY_JOB)),
    )
    places_taken(waiting, 2)
    waiting.feed.stop()
    assert one.result(30).job.state is State.STARTED
    assert [event for event in stream.result(30) if isinstance(event, Event)] == []


def test_accepted_job_is_returned_when_the_database_becomes_unavailable(
    sqlite: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    waiting, job = a_waiting(sqlite), started(sqlite)

    def away(*_: Any, **__: Any) -> Any:
        raise DatabaseUnavailable("The database cannot do that now.")

    monkeypatch.setattr(JobStore, "get", away)
    assert waiting.until_final(job, LONG) == (job, False)
    waiting.feed.stop()


# Streams


def read(waiting: Waiting, events: list[Event], visibility: Visibility = EVERY_JOB, **options: Any) -> None:
    """Read a stream to its end."""
    events.extend(event for event in waiting.follow(visibility, **options) if isinstance(event, Event))


def test_stream_of_a_job_has_all_its_events_until_it_is_final(database: Database, pool: ThreadPoolExecutor) -> None:
    waiting, job = a_waiting(database), started(database)
    received: list[Event] = []
    done = pool.submit(database, read, waiting, received, job=job.uuid)
    eventually(lambda: [event.kind for event in received] == ["PENDING", "STARTED"] or not received)
    other = started(database)
    assert JobStore(database).report_progress(job.uuid, token="t", progress={"current": 1}, at=now())
    finish(database, other)
    finish(database, job)
    done.result(30)
    assert [event.kind for event in received if event.kind != "PROGRESS"] == ["PENDING", "STARTED", "SUCCESS"]
    assert {event.job for event in received} == {job.uuid}
    waiting.feed.stop()


def test_stream_of_all_jobs_continues_after_the_last_event(database: Database, pool: Pool) -> None:
    history, waiting = EventStore(database), a_waiting(database)
    first = started(database)
    begin = history.last()
    second = started(database)
    received: list[Event] = []
    done = pool.submit(database, read, waiting, received, after=begin)
    eventually(lambda: len(received) == 2)
    finish(database, first)
    finish(database, second)
    eventually(lambda: len(received) == 4)
    waiting.feed.stop()
    done.result(30)
    assert received == history.between(begin, history.last(), 100)


def test_stream_without_a_start_has_only_new_events(sqlite: Database, pool: ThreadPoolExecutor) -> None:
    waiting, job = a_waiting(sqlite), started(sqlite)
    stream = waiting.follow(EVERY_JOB)
    assert isinstance(next(stream), int)
    finish(sqlite, job)
    event = next(event for event in stream if isinstance(event, Event))
    assert (event.kind, event.job) == ("SUCCESS", job.uuid)
    stream.close()
    places_taken(waiting, 0)
    waiting.feed.stop()


def test_silent_stream_sends_a_heartbeat(sqlite: Database) -> None:
    waiting = a_waiting(sqlite, heartbeat=0.05)
    stream = waiting.follow(EVERY_JOB)
    assert [next(stream) for _ in range(3)] == [0, 0, 0]
    stream.close()
    waiting.feed.stop()


def test_closed_stream_gives_its_place_back(sqlite: Database) -> None:
    waiting = a_waiting(sqlite, places=1)
    for _ in range(3):
        stream = waiting.follow(EVERY_JOB)
        next(stream)
        stream.close()
    waiting.feed.stop()


# The order of a server's events


class ScriptedHistory(EventStore):
    """A history whose ids appear in the order chosen by the test, as a database server may commit them."""

    def __init__(self, *, ordered: bool = False) -> None:
        self.ordered = ordered
        self.ids: list[int] = []

    def close(self) -> None:
        pass

    def last(self) -> int:
        return max(self.ids, default=0)

    def peek(self, after: int, limit: int) -> list[tuple[int, str, int, str]]:
        return [(one, "job", now(), "STARTED") for one in sorted(self.ids) if one > after][:limit]


def test_event_that_is_committed_late_is_not_skipped() -> None:
    history = ScriptedHistory()
    history.ids = [1]
    feed = EventFeed(history, 1)
    with feed.subscribe():
        history.ids += [3]
        first = threading.Event()
        assert not first.wait(0.05)
        assert feed.position == 1, "2 may still be committed"
        history.ids += [2]
        eventually(lambda: feed.position == 3)
    feed.stop()


def test_permanent_gap_is_skipped_after_the_grace_time() -> None:
    history = ScriptedHistory()
    history.ids = [1]
    feed = EventFeed(history, 1)
    with feed.subscribe():
        history.ids += [3]
        eventually(lambda: feed.position == 3)
    feed.stop()


def test_many_gaps_delay_no_event_longer_than_one_gap(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each transaction that is rolled back, and each deleted event, leaves a gap."""
    moment = 0.0
    monkeypatch.setattr("pacifica.dispatcher.service.event_feed.time.monotonic", lambda: moment)
    history = ScriptedHistory()
    feed = EventFeed(history, 1)
    for second in range(1, 20):
        moment = second / 2
        history.ids.append(2 * second)
        feed.poll()
        assert feed.position >= 2 * (second - 3)


def test_feed_catches_up_with_more_events_than_one_poll_reads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pacifica.dispatcher.service.event_feed.LIMIT", 2)
    moment = 0.0
    monkeypatch.setattr("pacifica.dispatcher.service.event_feed.time.monotonic", lambda: moment)
    history = ScriptedHistory()
    history.ids = [2 * number for number in range(1, 20)]
    feed = EventFeed(history, 1)
    feed.poll()
    moment = 1.1
    while feed.position < 38:
        before = feed.position
        feed.poll()
        assert feed.position > before


def test_gap_delays_nothing_if_ids_are_committed_in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pacifica.dispatcher.service.event_feed.GRACE", 3600.0)
    history = ScriptedHistory(ordered=True)
    history.ids = [1]
    feed = EventFeed(history, 1)
    with feed.subscribe():
        history.ids += [3]
        eventually(lambda: feed.position == 3)
    feed.stop()


def test_page_of_all_events_ends_before_a_possible_late_event(
    sqlite: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    waiting = a_waiting(sqlite)
    job = started(sqlite)
    events, place = waiting.page(0, 10, EVERY_JOB)
    assert ([event.kind for event in events], place) == (["PENDING", "STARTED"], events[-1].id)
    history = EventStore(sqlite)
    history.ordered = False
    sqlite.write(lambda db: db.execute_sql("UPDATE event SET id = id + 1 WHERE kind = 'STARTED'"))
    finish(sqlite, job)
    waiting = Waiting(JobStore(sqlite), history, EventFeed(history, 1), heartbeat=15, limit=60)
    assert [event.kind for event in waiting.page(0, 10, EVERY_JOB)[0]] == ["PENDING"]
    monkeypatch.setattr("pacifica.dispatcher.service.waiting.GRACE", 0.0)
    assert [event.kind for event in waiting.page(0, 10, EVERY_JOB)[0]] == ["PENDING", "STARTED", "SUCCESS"]


def test_stream_and_page_have_only_visible_events(database: Database, pool: Pool) -> None:
    waiting, jobs = a_waiting(database), JobStore(database)
    begin = EventStore(database).last()
    made = [a_job(task=task, caller=caller) for task in ("add", "lab.one") for caller in ("", "token:me")]
    received: list[Event] = []
    visibility = Visibility(("lab.*",), "token:me")
    done = pool.submit(database, read, waiting, received, after=begin, visibility=visibility)
    jobs.add(made[:2])
    jobs.add(made[2:])
    eventually(lambda: received)
    later = a_job(task="lab.two", caller="token:me")
    jobs.add([later])
    eventually(lambda: len(received) == 2)
    waiting.feed.stop()
    done.result(30)
    assert [event.job for event in received] == [made[3].uuid, later.uuid]
    assert [event.job for event in waiting.page(begin, 100, visibility)[0]] == [made[3].uuid, later.uuid]


def test_stream_of_a_hidden_job_has_no_events(database: Database) -> None:
    waiting, job = a_waiting(database), started(database)
    finish(database, job)
    for visibility, count in ((EVERY_JOB, 3), (Visibility(("other.*",)), 0), (Visibility(caller="token:other"), 0)):
        received: list[Event] = []
        read(waiting, received, visibility, job=job.uuid)
        assert len(received) == count


def test_feed_goes_on_after_an_unforeseen_error(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("pacifica.dispatcher.service.event_feed.RELOOK", 0.01)
    history = ScriptedHistory(ordered=True)
    faults = [ValueError("unreadable")]
    peek = history.peek

    def failing(after: int, limit: int) -> list[tuple[int, str, int, str]]:
        if faults:
            raise faults.pop()
        return peek(after, limit)

    monkeypatch.setattr(history, "peek", failing)
    feed = EventFeed(history, 1)
    with feed.subscribe():
        history.ids += [1]
        eventually(lambda: feed.position == 1)
    feed.stop()
    assert "Unhandled exception in the event feed" in caplog.text


def test_feed_holds_no_lock_while_it_reads(monkeypatch: pytest.MonkeyPatch) -> None:
    """An event loop that enters or leaves a wait would stand still until the database has answered."""
    history = ScriptedHistory()
    history.ids = [1]
    feed = EventFeed(history, 2)
    entered: list[bool] = []

    def enter() -> None:
        with feed.subscribe():
            pass

    def last() -> int:
        if not entered:
            thread = threading.Thread(target=enter, daemon=True)
            thread.start()
            thread.join(5)
            entered.append(not thread.is_alive())
        return max(history.ids)

    with feed.subscribe():
        monkeypatch.setattr(history, "last", last)
        history.ids += [3]
        eventually(lambda: entered)
    feed.stop()
    assert entered[0]


def test_stream_of_a_long_history_lets_others_run(sqlite: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    waiting, jobs = a_waiting(sqlite), JobStore(sqlite)
    jobs.add_many([a_job() for _ in range(120)], [None] * 120)
    pauses: list[float] = []
    wait = Subscription.wait

    def noted(one: Subscription, seconds: float) -> None:
        pauses.append(seconds)
        wait(one, seconds)

    monkeypatch.setattr(Subscription, "wait", noted)
    with closing(waiting.follow(EVERY_JOB, 0)) as stream:
        events = [next(stream) for _ in range(121)]
    waiting.feed.stop()
    assert len([event for event in events if isinstance(event, Event)]) == 120
    assert pauses == [0, 0]
