"""A purge deletes only jobs that ended long enough ago, with all their data, on each database."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from itertools import count
from threading import Event
from types import SimpleNamespace
from typing import Any
from uuid import uuid4

import peewee
import pytest

from pacifica.dispatcher import orm
from pacifica.dispatcher.core.job import FINAL, Job, JobError, State, new_uuid, now
from pacifica.dispatcher.core.job_filter import JobFilter, PageCursor
from pacifica.dispatcher.store.database import Database
from pacifica.dispatcher.store.events import EventStore
from pacifica.dispatcher.store.idempotency import IdempotencyKey, take_key
from pacifica.dispatcher.store.jobs import JobStore
from pacifica.dispatcher.store.mapping import job_to_row
from pacifica.dispatcher.store.prepared import PreparedRows
from pacifica.dispatcher.store.purge import FIRST_TOMBSTONE, HOUR, PurgeStore, forget_tombstones, put_tombstones
from pacifica.dispatcher.store.saved_groups import SavedGroupStore

from ..services import MYSQL, POSTGRESQL, SQLITE
from .conftest import a_job, a_pruner, all_at_once
from .job_steps import claim, fail, succeed

DAY = 24 * HOUR
WEEK: Mapping[str, float] = dict.fromkeys(("success_seconds", "failure_seconds", "revoked_seconds"), 7 * 86_400.0)
ON_SERVERS = pytest.mark.parametrize("shared_database", [POSTGRESQL, MYSQL], indirect=True)
"""SQLite has one writer at a time, for which all others wait."""


def ended(jobs: JobStore, days: float, state: State = State.SUCCESS, **columns: Any) -> Job:
    """A job that was created and ended that many days ago."""
    at = now() - int(days * DAY)
    job = a_job(**{"created": at, "started": at, "finished": at, "due": None, "state": state, **columns})
    jobs.add([job])
    return job


def purge(database: Database, *tasks: str, **settings: float | None) -> dict[State, int]:
    """Purge by these settings; returns the number of deleted jobs of each state."""
    pruner = a_pruner(database, **settings)
    counts: dict[State, int] = {}
    for step in pruner.purge(pruner.bounds(now()), tasks):
        for state, number in step.items():
            counts[state] = counts.get(state, 0) + number
    return counts


def left(database: Database) -> set[str]:
    """The UUIDs of all jobs."""
    return {row[0] for row in database.read(lambda db: list(orm.Job.select(orm.Job.uuid).tuples().execute(db)))}


def test_saved_group_is_purged_with_its_last_job(database: Database, jobs: JobStore) -> None:
    old, young, groups = ended(jobs, 8), ended(jobs, 6), SavedGroupStore(database)
    for group, job in (("g1", old), ("g2", young), ("g1", old)):
        groups.save(group, [[group, None], [[[job.uuid, None], None]]], job.uuid)
    purge(database, success_seconds=7 * 86_400.0)
    assert groups.members("g1") is None
    assert groups.members("g2") == [["g2", None], [[[young.uuid, None], None]]]
    groups.delete("g2")
    assert groups.members("g2") is None


def test_each_state_is_kept_for_the_time_of_its_setting(database: Database, jobs: JobStore) -> None:
    kept = {ended(jobs, days, State(state)).uuid for days, state in ((6, "SUCCESS"), (29, "FAILURE"), (400, "REVOKED"))}
    old = [ended(jobs, days, State(state)) for days, state in ((8, "SUCCESS"), (9, "SUCCESS"), (31, "FAILURE"))]
    assert purge(database, success_seconds=7 * 86_400.0, failure_seconds=30 * 86_400.0) == {
        State.SUCCESS: 2,
        State.FAILURE: 1,
    }
    assert left(database) == kept
    assert [jobs.was_purged(job.uuid) for job in old] == [True] * 3
    assert not any(jobs.was_purged(uuid) for uuid in kept)


def test_nothing_is_purged_by_default(database: Database, jobs: JobStore) -> None:
    kept = {ended(jobs, 4_000, state).uuid for state in FINAL}
    assert purge(database) == {}
    assert left(database) == kept


def test_an_unfinished_job_is_never_purged(database: Database, jobs: JobStore) -> None:
    kept = {ended(jobs, 4_000, state, finished=None).uuid for state in set(State) - FINAL}
    assert purge(database, **WEEK) == purge(database, "add", **WEEK) == {}
    assert left(database) == kept
    with pytest.raises(ValueError, match="only jobs in a final state"):
        list(PurgeStore(database).pages({State.PENDING: now()}, 10))


def test_the_age_of_a_job_counts_from_its_end(database: Database, jobs: JobStore) -> None:
    long = [ended(jobs, 100 - number, finished=now()) for number in range(5)]
    ended(jobs, 50)
    assert purge(database, **WEEK) == {State.SUCCESS: 1}
    assert left(database) == {job.uuid for job in long}


def test_a_purged_job_leaves_only_its_tombstone(database: Database, jobs: JobStore) -> None:
    labels = {"run": "17", "site": "Köln"}
    old, young = (ended(jobs, days, labels=labels) for days in (8, 6))
    assert purge(database, **WEEK) == {State.SUCCESS: 1}
    for model, number in ((orm.Job, 1), (orm.Label, 2), (orm.Event, 1), (orm.Tombstone, 1)):
        assert database.read(model.select().count) == number
    assert jobs.get(old.uuid) is None
    assert [jobs.events(old.uuid), len(jobs.events(young.uuid))] == [[], 1]
    assert jobs.was_purged(old.uuid)


def test_a_purge_is_limited_to_the_named_tasks(database: Database, jobs: JobStore) -> None:
    kept = {ended(jobs, 8, task="mul").uuid, *(ended(jobs, 6, task=task).uuid for task in ("add", "lab.scan"))}
    for task, state in (("add", State.SUCCESS), ("add", State.FAILURE), ("lab.scan", State.SUCCESS)):
        ended(jobs, 8, state, task=task)
    assert purge(database, "add", "lab.scan", "unknown", **WEEK) == {State.SUCCESS: 2, State.FAILURE: 1}
    assert left(database) == kept


def test_a_dry_run_counts_the_jobs_that_are_purged(database: Database, jobs: JobStore) -> None:
    for number in range(9):
        ended(jobs, 3 + number, sorted(FINAL)[number % 3])
    pruner = a_pruner(database, **WEEK)
    before = pruner.bounds(now())
    counted = [sum(step.total() for step in pruner.count(before, tasks)) for tasks in ((), ("add",))]
    assert counted == [5, 5]
    assert len(left(database)) == 9
    assert sum(step.total() for step in pruner.purge(before)) == 5


def test_a_slow_database_gets_longer_pauses_between_batches(
    database: Database, jobs: JobStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(3):
        ended(jobs, 8)
    pruner = a_pruner(database, purge_pause=0.5, **WEEK)
    clock = count(0, 7)
    monkeypatch.setattr("time.monotonic", lambda: next(clock))
    steps = pruner.purge(pruner.bounds(now()))
    assert pruner.pause == 0.5
    next(steps)
    assert pruner.pause >= 3 * 7


@pytest.mark.parametrize("shared_database", [SQLITE], indirect=True)
def test_slow_batches_become_smaller_and_grow_again(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """From the eleventh job on, each takes 50 ms to delete, for which other writers wait."""
    clock, sizes = [0.0], []

    def purge(_: PurgeStore, batch: Sequence[int], **__: object) -> Counter[State]:
        sizes.append(len(batch))
        clock[0] += sum(0.05 if 10 <= number < 40 else 0.001 for number in batch)
        return Counter({State.SUCCESS: len(batch)})

    monkeypatch.setattr(PurgeStore, "pages", lambda *_: iter([range(100), range(100, 200)]))
    monkeypatch.setattr(PurgeStore, "purge", purge)
    monkeypatch.setattr("time.monotonic", lambda: clock[0])
    pruner = a_pruner(database, purge_batch=20)
    assert sum(count.total() for count in pruner.purge({})) == sum(sizes) == 200
    assert sizes[:4] == [10, 12, 6, 3], "the first batch is small"
    assert max(sizes) == sizes[-2] == 20


def test_jobs_created_at_one_time_are_all_found_by_pages(database: Database, jobs: JobStore) -> None:
    at = now() - 8 * DAY
    for _ in range(7):
        ended(jobs, 8, created=at, finished=at)
    assert purge(database, purge_batch=2, **WEEK) == {State.SUCCESS: 7}


def test_two_simultaneous_purges_purge_each_job_once(database: Database, jobs: JobStore) -> None:
    old = [ended(jobs, 8) for _ in range(30)]
    found = all_at_once(database, [partial(purge, database, purge_batch=5, **WEEK)] * 3)
    assert sum(counts.get(State.SUCCESS, 0) for counts in found) == 30
    assert left(database) == set()
    assert all(jobs.was_purged(job.uuid) for job in old)


def test_a_job_created_again_with_the_same_uuid_is_not_purged(database: Database, jobs: JobStore) -> None:
    store, bounds = PurgeStore(database), {State.SUCCESS: now()}
    old, other = ended(jobs, 8, labels={"run": "17"}), ended(jobs, 8)
    (page,) = store.pages(bounds, 10)
    assert purge(database, **WEEK) == {State.SUCCESS: 2}
    new = a_job(uuid=old.uuid, labels={"run": "18"})
    jobs.add([new])
    ended(jobs, 7, uuid=other.uuid)
    assert store.purge(page, at=now(), remember=True) == {}
    assert left(database) == {old.uuid, other.uuid}
    assert [event.kind for event in jobs.events(new.uuid)] == ["PENDING"]
    assert database.read(orm.Label.select().count) == 1


@ON_SERVERS
def test_a_purge_waits_for_no_locked_row(database: Database, jobs: JobStore) -> None:
    """The rows are locked by a writer that hangs during a dispatch, or during a late report."""
    old = [ended(jobs, 8, labels={"run": "17"}) for _ in range(3)]
    jobs.add([a_job()], IdempotencyKey("me", "monday", "request", 0))
    list(put(database, 30))
    written, purged = Event(), Event()

    def hang(db: peewee.Database) -> bool:
        jobs.insert([(new := a_job(labels={"run": "18"}), job_to_row(new))])
        take_key(db, IdempotencyKey("me", "tuesday", "request", 0), new)
        orm.Job.select(orm.Job.state).where(orm.Job.uuid == old[0].uuid).for_update().execute(db)
        put_tombstones(db, [new_uuid()], 1)
        written.set()
        return purged.wait(10)

    def clear() -> bool:
        try:
            assert written.wait(10)
            assert purge(database, purge_batch=5, **WEEK) == {State.SUCCESS: 2}
            assert jobs.forget_keys(now(), 10) == 1
            forget_tombstones(database, now() - 24 * HOUR, FIRST_TOMBSTONE, 10)
        finally:
            purged.set()
        return True

    assert all_at_once(database, [partial(database.write, hang), clear]) == [True, True]
    assert purge(database, **WEEK) == {State.SUCCESS: 1}


@ON_SERVERS
def test_a_late_report_leaves_no_event_of_a_purged_job(
    database: Database, jobs: JobStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = ended(jobs, 8)
    insert = PreparedRows.run

    def purge_first(rows: PreparedRows, values: Any) -> None:
        with monkeypatch.context() as patched:
            patched.setattr(PreparedRows, "run", insert)
            all_at_once(database, [partial(purge, database, **WEEK)])
        insert(rows, values)

    monkeypatch.setattr(PreparedRows, "run", purge_first)
    assert not fail(jobs, old, "gone", error=JobError("Late", ""))
    assert claim(jobs, old, "t") is None
    assert [event.kind for event in jobs.events(old.uuid)] == ["PENDING", "LATE", "DROPPED"]
    assert purge(database, **WEEK) == {State.SUCCESS: 1}
    assert database.read(orm.Event.select().count) == 0


def test_dispatches_and_reports_go_on_during_a_purge(database: Database, jobs: JobStore) -> None:
    for _ in range(60):
        ended(jobs, 8)

    def dispatch() -> list[str]:
        made = [a_job() for _ in range(20)]
        for job in made:
            jobs.add([job], IdempotencyKey("me", job.uuid, "request", 0))
            assert claim(jobs, job, "t")
            assert succeed(jobs, job, "t")
        return [job.uuid for job in made]

    def clear() -> list[str]:
        assert purge(database, **WEEK) == {State.SUCCESS: 60}
        return []

    found = all_at_once(database, [dispatch, dispatch, clear])
    made = {uuid for uuids in found for uuid in uuids}
    assert left(database) == made
    assert {len(jobs.events(uuid)) for uuid in made} == {3}


# Other data of a purged job


def test_a_key_of_a_purged_job_is_kept_until_it_expires(database: Database, jobs: JobStore) -> None:
    old = a_job(state=State.SUCCESS, created=1, finished=2, due=None)
    assert jobs.add([old], IdempotencyKey("me", "monday", "request", 0)) is None
    assert purge(database, **WEEK) == {State.SUCCESS: 1}
    assert jobs.add([a_job()], IdempotencyKey("me", "monday", "request", 0)) == old.uuid
    assert jobs.add([a_job()], IdempotencyKey("me", "monday", "request", 10)) is None


def test_a_search_continues_after_a_purged_job(database: Database, jobs: JobStore) -> None:
    made = [ended(jobs, days) for days in (6, 8, 9)]
    last = made[1]
    assert purge(database, success_seconds=8.5 * 86_400) == {State.SUCCESS: 1}
    place = PageCursor(last.created, last.uuid)
    assert purge(database, success_seconds=7 * 86_400.0) == {State.SUCCESS: 1}
    assert [job.uuid for job in jobs.search(JobFilter(), None, 10)[0]] == [made[0].uuid]
    older = ended(jobs, 10)
    assert [job.uuid for job in jobs.search(JobFilter(), place, 10)[0]] == [older.uuid]


def test_event_ids_of_purged_jobs_are_not_reused(database: Database, jobs: JobStore) -> None:
    history = EventStore(database)
    for _ in range(3):
        ended(jobs, 8)
    place = history.last()
    assert purge(database, **WEEK) == {State.SUCCESS: 3}
    new = a_job()
    jobs.add([new])
    assert [event.job for event in history.between(place, history.last(), 10)] == [new.uuid]


# Tombstones


def put(database: Database, *hours_ago: float) -> Iterator[str]:
    """Store tombstones of these ages, one of them of a UUID without a time."""
    for number, hours in enumerate(hours_ago):
        uuid = str(uuid4()) if number == 1 else new_uuid()
        database.write(partial(put_tombstones, uuids=[uuid], at=now() - int(hours * HOUR)))
        yield uuid


def test_old_tombstones_are_deleted_page_by_page(database: Database, jobs: JobStore) -> None:
    uuids = list(put(database, 30, 30, 2, 30, 2, 2))
    after = FIRST_TOMBSTONE
    for _ in range(4):
        after = forget_tombstones(database, now() - 24 * HOUR, after, 2)
    assert after == FIRST_TOMBSTONE, "it has checked all, and starts again"
    assert [jobs.was_purged(uuid) for uuid in uuids] == [False, False, True, False, True, True]


def test_a_tombstone_is_kept_for_the_time_of_its_setting(database: Database, jobs: JobStore) -> None:
    uuids = list(put(database, 23.9, 25.1))
    a_pruner(database, tombstone_seconds=86_400.0).work(0.0, lambda _: True)
    assert [jobs.was_purged(uuid) for uuid in uuids] == [True, False]


@pytest.mark.parametrize(("seconds", "left"), [(60.0, 0), (0.0, 3)])
def test_a_round_checks_tombstones_for_a_limited_time(
    database: Database, jobs: JobStore, monkeypatch: pytest.MonkeyPatch, seconds: float, left: int
) -> None:
    monkeypatch.setattr("pacifica.dispatcher.upkeep.pruner.LOOKED_AT", 2)
    monkeypatch.setattr("pacifica.dispatcher.upkeep.pruner.FORGETTING", seconds)
    uuids = list(put(database, *[25.1] * 5))
    a_pruner(database, tombstone_seconds=86_400.0).work(0.0, lambda _: True)
    assert sum(jobs.was_purged(uuid) for uuid in uuids) == left


@pytest.mark.parametrize(("passed", "looks"), [(599.0, 3), (601.0, 6)])
def test_tombstones_are_checked_again_only_after_a_pause(
    database: Database, jobs: JobStore, monkeypatch: pytest.MonkeyPatch, passed: float, looks: int
) -> None:
    moment, looked = [1000.0], []
    monkeypatch.setattr("pacifica.dispatcher.upkeep.pruner.time", SimpleNamespace(monotonic=lambda: moment[0]))
    monkeypatch.setattr("pacifica.dispatcher.upkeep.pruner.LOOKED_AT", 2)
    monkeypatch.setattr(
        "pacifica.dispatcher.upkeep.pruner.forget_tombstones",
        lambda *page: looked.append(page) or forget_tombstones(*page),
    )
    uuids = list(put(database, *[2] * 5))
    pruner = a_pruner(database, tombstone_seconds=86_400.0)
    pruner.work(0.0, lambda _: True)
    moment[0] += passed
    pruner.work(0.0, lambda _: True)
    assert len(looked) == looks
    assert all(map(jobs.was_purged, uuids))


def test_no_tombstone_is_stored_if_its_time_is_zero(database: Database, jobs: JobStore) -> None:
    old = ended(jobs, 8)
    assert purge(database, tombstone_seconds=0.0, **WEEK) == {State.SUCCESS: 1}
    assert not jobs.was_purged(old.uuid)


def test_a_job_id_that_is_not_a_uuid_gets_no_tombstone(database: Database, jobs: JobStore) -> None:
    """Celery accepts any text as a ``task_id``."""
    old = [ended(jobs, 8, uuid="nightly"), ended(jobs, 8)]
    assert purge(database, **WEEK) == {State.SUCCESS: 2}
    assert [jobs.was_purged(job.uuid) for job in old] == [False, True]


def test_a_reused_uuid_can_be_purged_again(database: Database, jobs: JobStore) -> None:
    """A step of a workflow gets the same id each time the step before it is run."""
    old = ended(jobs, 8)
    assert purge(database, **WEEK) == {State.SUCCESS: 1}
    ended(jobs, 8, uuid=old.uuid)
    assert purge(database, **WEEK) == {State.SUCCESS: 1}
    assert jobs.was_purged(old.uuid)
