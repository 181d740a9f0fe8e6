"""Waiting for jobs: who waits is told, and nobody waits longer, or in greater number, than allowed."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from typing import Any, TypeVar

import pytest

from pacifica.dispatcher.core.errors import DatabaseUnavailable, TooManyWaiting
from pacifica.dispatcher.core.job import Event, Job, State, now
from pacifica.dispatcher.core.permissions import Visibility
from pacifica.dispatcher.service.event_feed import EventFeed
from pacifica.dispatcher.service.waiting import Waiting
from pacifica.dispatcher.store.database import Database
from pacifica.dispatcher.store.events import HistoryStore
from pacifica.dispatcher.store.jobs import JobStore

from ..eventually import eventually
from ..store.conftest import a_job, a_waiting

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
    """Threads for those who wait; each closes its connection in the end."""

    def __init__(self, threads: ThreadPoolExecutor) -> None:
        self._threads = threads

    def submit(self, database: Database, action: Callable[..., Value], *args: Any, **options: Any) -> "Future[Value]":
        """Have a thread do it."""

        def run() -> Value:
            try:
                return action(*args, **options)
            finally:
                database.close()

        return self._threads.submit(run)


@pytest.fixture
def pool() -> Iterator[Pool]:
    """Threads for those who wait."""
    with ThreadPoolExecutor(8) as threads:
        yield Pool(threads)


def started(database: Database) -> Job:
    """A job that a worker runs, with the token "t"."""
    jobs, job = JobStore(database), a_job()
    jobs.add([job])
    assert jobs.claim(job.uuid, token="t", worker="w", holder="h", retries=0, at=now())
    return job


def finish(database: Database, job: Job) -> None:
    """The worker's report."""
    assert JobStore(database).succeed(job.uuid, token="t", result=4, at=now())


def places_taken(waiting: Waiting, number: int) -> None:
    """Wait until so many have begun to wait."""
    eventually(lambda: len(waiting._feed._watches) == number)


def test_who_waits_is_told_of_the_end_of_each_job(database: Database, pool: Pool) -> None:
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
    waiting._feed.stop()


def test_a_job_that_has_ended_is_not_waited_for(sqlite: Database) -> None:
    waiting, job = a_waiting(sqlite, places=0), started(sqlite)
    finish(sqlite, job)
    done = JobStore(sqlite).get(job.uuid)
    assert done is not None
    assert waiting.until_final(done, LONG) == (done, True)


def test_a_wait_ends_when_its_time_is_up(sqlite: Database) -> None:
    waiting, job = a_waiting(sqlite), started(sqlite)
    found = waiting.until_final(job, 0.05)
    assert (found.job.state, found.waited) == (State.STARTED, True)
    waiting._feed.stop()


def test_one_too_many_is_answered_at_once(sqlite: Database, pool: Pool) -> None:
    waiting, job = a_waiting(sqlite, places=1), started(sqlite)
    first = pool.submit(sqlite, waiting.until_final, job, LONG)
    places_taken(waiting, 1)
    assert not waiting.until_final(job, LONG).waited
    with pytest.raises(TooManyWaiting):
        next(waiting.follow())
    finish(sqlite, job)
    assert first.result(30).job.final
    waiting._feed.stop()


def test_who_waits_goes_on_when_the_server_stops(sqlite: Database, pool: Pool) -> None:
    waiting, job = a_waiting(sqlite), started(sqlite)
    one, stream = pool.submit(sqlite, waiting.until_final, job, LONG), pool.submit(sqlite, list, waiting.follow())
    places_taken(waiting, 2)
    waiting._feed.stop()
    assert one.result(30).job.state is State.STARTED
    assert [event for event in stream.result(30) if isinstance(event, Event)] == []


def test_a_database_that_goes_away_puts_no_accepted_job_in_doubt(
    sqlite: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    waiting, job = a_waiting(sqlite), started(sqlite)

    def away(*_: Any) -> Any:
        raise DatabaseUnavailable("The database cannot do that now.")

    monkeypatch.setattr(JobStore, "get", away)
    assert waiting.until_final(job, LONG) == (job, False)
    waiting._feed.stop()


# Streams


def read(waiting: Waiting, told: list[Event], **options: Any) -> None:
    """Read a stream to its end."""
    told.extend(event for event in waiting.follow(**options) if isinstance(event, Event))


def test_a_stream_of_a_job_tells_all_that_happens_until_it_is_final(
    database: Database, pool: ThreadPoolExecutor
) -> None:
    waiting, job = a_waiting(database), started(database)
    told: list[Event] = []
    done = pool.submit(database, read, waiting, told, job=job.uuid)
    eventually(lambda: [event.kind for event in told] == ["PENDING", "STARTED"] or not told)
    other = started(database)
    assert JobStore(database).report_progress(job.uuid, token="t", progress={"current": 1}, at=now())
    finish(database, other)
    finish(database, job)
    done.result(30)
    assert [event.kind for event in told if event.kind != "PROGRESS"] == ["PENDING", "STARTED", "SUCCESS"]
    assert {event.job for event in told} == {job.uuid}
    waiting._feed.stop()


def test_a_stream_of_all_jobs_goes_on_behind_the_last_event(database: Database, pool: Pool) -> None:
    history, waiting = HistoryStore(database), a_waiting(database)
    first = started(database)
    begin = history.last()
    second = started(database)
    told: list[Event] = []
    done = pool.submit(database, read, waiting, told, after=begin)
    eventually(lambda: len(told) == 2)
    finish(database, first)
    finish(database, second)
    eventually(lambda: len(told) == 4)
    waiting._feed.stop()
    done.result(30)
    assert told == history.between(begin, history.last(), 100)


def test_a_stream_without_a_place_tells_only_what_happens_from_now_on(
    sqlite: Database, pool: ThreadPoolExecutor
) -> None:
    waiting, job = a_waiting(sqlite), started(sqlite)
    stream = waiting.follow()
    assert isinstance(next(stream), int)
    finish(sqlite, job)
    event = next(event for event in stream if isinstance(event, Event))
    assert (event.kind, event.job) == ("SUCCESS", job.uuid)
    stream.close()
    places_taken(waiting, 0)
    waiting._feed.stop()


def test_a_silent_stream_shows_that_it_lives(sqlite: Database) -> None:
    waiting = a_waiting(sqlite, heartbeat=0.05)
    stream = waiting.follow()
    assert [next(stream) for _ in range(3)] == [0, 0, 0]
    stream.close()
    waiting._feed.stop()


def test_a_stream_that_nobody_reads_any_more_gives_its_place_back(sqlite: Database) -> None:
    waiting = a_waiting(sqlite, places=1)
    for _ in range(3):
        stream = waiting.follow()
        next(stream)
        stream.close()
    waiting._feed.stop()


# The order of a server's events


class Scripted(HistoryStore):
    """A history whose ids show up in an order that the test chooses, as those of a server may."""

    def __init__(self, *, ordered: bool = False) -> None:
        self.ordered = ordered
        self.there: list[int] = []

    def close(self) -> None:
        pass

    def last(self) -> int:
        return max(self.there, default=0)

    def peek(self, after: int, limit: int) -> list[tuple[int, str, int]]:
        return [(one, "job", now()) for one in sorted(self.there) if one > after][:limit]


def test_an_event_that_shows_up_late_is_not_passed_over() -> None:
    history = Scripted()
    history.there = [1]
    feed = EventFeed(history, 1)
    with feed.watch():
        history.there += [3]
        first = threading.Event()
        assert not first.wait(0.05)
        assert feed.position == 1, "2 may still show up"
        history.there += [2]
        eventually(lambda: feed.position == 3)
    feed.stop()


def test_a_gap_that_stays_is_passed_over_in_the_end() -> None:
    history = Scripted()
    history.there = [1]
    feed = EventFeed(history, 1)
    with feed.watch():
        history.there += [3]
        eventually(lambda: feed.position == 3)
    feed.stop()


def test_gaps_that_go_on_hold_nothing_back_for_longer_than_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each rolled back transaction, and each deleted event, leaves one."""
    moment = 0.0
    monkeypatch.setattr("pacifica.dispatcher.service.event_feed.time.monotonic", lambda: moment)
    history = Scripted()
    feed = EventFeed(history, 1)
    for second in range(1, 20):
        moment = second / 2
        history.there.append(2 * second)
        feed._look()
        assert feed.position >= 2 * (second - 3)


def test_more_events_than_are_looked_at_at_once_are_caught_up_with(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pacifica.dispatcher.service.event_feed.LIMIT", 2)
    moment = 0.0
    monkeypatch.setattr("pacifica.dispatcher.service.event_feed.time.monotonic", lambda: moment)
    history = Scripted()
    history.there = [2 * number for number in range(1, 20)]
    feed = EventFeed(history, 1)
    feed._look()
    moment = 1.1
    while feed.position < 38:
        before = feed.position
        feed._look()
        assert feed.position > before


def test_where_ids_come_in_order_a_gap_holds_nothing_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pacifica.dispatcher.service.event_feed.GRACE", 3600.0)
    history = Scripted(ordered=True)
    history.there = [1]
    feed = EventFeed(history, 1)
    with feed.watch():
        history.there += [3]
        eventually(lambda: feed.position == 3)
    feed.stop()


def test_a_page_of_all_events_ends_before_one_that_may_still_show_up(
    sqlite: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    waiting = a_waiting(sqlite)
    job = started(sqlite)
    events, place = waiting.page(0, 10)
    assert ([event.kind for event in events], place) == (["PENDING", "STARTED"], events[-1].id)
    history = HistoryStore(sqlite)
    history.ordered = False
    sqlite.write(lambda db: db.execute_sql("UPDATE event SET id = id + 1 WHERE kind = 'STARTED'"))
    finish(sqlite, job)
    waiting = Waiting(JobStore(sqlite), history, EventFeed(history, 1), heartbeat=15, limit=60)
    assert [event.kind for event in waiting.page(0, 10)[0]] == ["PENDING"]
    monkeypatch.setattr("pacifica.dispatcher.service.waiting.GRACE", 0.0)
    assert [event.kind for event in waiting.page(0, 10)[0]] == ["PENDING", "STARTED", "SUCCESS"]


def test_who_sees_only_some_jobs_is_told_of_those(database: Database, pool: Pool) -> None:
    waiting, jobs = a_waiting(database), JobStore(database)
    begin = HistoryStore(database).last()
    made = [a_job(task=task, caller=caller) for task in ("add", "lab.one") for caller in ("", "token:me")]
    told: list[Event] = []
    visibility = Visibility(("lab.*",), "token:me")
    done = pool.submit(database, read, waiting, told, after=begin, visibility=visibility)
    jobs.add(made[:2])
    jobs.add(made[2:])
    eventually(lambda: told)
    later = a_job(task="lab.two", caller="token:me")
    jobs.add([later])
    eventually(lambda: len(told) == 2)
    waiting._feed.stop()
    done.result(30)
    assert [event.job for event in told] == [made[3].uuid, later.uuid]
    assert [event.job for event in waiting.page(begin, 100, visibility)[0]] == [made[3].uuid, later.uuid]
