"""Searching for jobs: results, order, pages and indexes."""

from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest

from pacifica.dispatcher.core.job import State, new_uuid
from pacifica.dispatcher.core.job_filter import JobFilter, LabelFilter, PageCursor
from pacifica.dispatcher.store import search
from pacifica.dispatcher.store.database import Database
from pacifica.dispatcher.store.jobs import JobStore

from .conftest import a_job

EVERYTHING = JobFilter()


@pytest.fixture
def jobs(database_url: str) -> Iterator[JobStore]:
    """Twenty jobs; every two of them were created in the same microsecond."""
    with closing(Database(database_url)) as database:
        database.wait_until_up(1, 0.0)
        store = JobStore(database)
        store.add(
            [
                a_job(
                    uuid=new_uuid(),
                    task="add" if number % 2 else "mul",
                    created=1000 + number // 2,
                    caller="lab" if number < 5 else "",
                    labels={"run": str(number // 10), "Site": "Köln"} if number % 4 == 0 else None,
                )
                for number in range(20)
            ]
        )
        yield store


def test_pages_show_every_job_once_newest_first(jobs: JobStore) -> None:
    seen: list[PageCursor] = []
    while found := jobs.search(EVERYTHING, seen[-1] if seen else None, 3)[0]:
        seen += [PageCursor(job.created, job.uuid) for job in found]
    assert len(seen) == 20
    assert seen == sorted(seen, reverse=True)


def test_a_new_job_does_not_shift_the_next_page(jobs: JobStore) -> None:
    first = jobs.search(EVERYTHING, None, 5)[0]
    rest = jobs.search(EVERYTHING, PageCursor(first[-1].created, first[-1].uuid), 50)[0]
    jobs.add([a_job(created=5000)])
    assert jobs.search(EVERYTHING, PageCursor(first[-1].created, first[-1].uuid), 50)[0] == rest
    assert len(first + rest) == 20


@pytest.mark.parametrize(
    ("filters", "count"),
    [
        (JobFilter(task="add"), 10),
        (JobFilter(task="ADD"), 0),
        (JobFilter(states=[State.PENDING, State.FAILURE]), 20),
        (JobFilter(states=[State.PENDING, State.STARTED, State.PENDING], task="mul"), 10),
        (JobFilter(states=[State.PENDING, State.RETRY], caller="lab", since=1001), 3),
        (JobFilter(states=[State.SUCCESS]), 0),
        (JobFilter(caller="lab"), 5),
        (JobFilter(since=1002, until=1004), 4),
        (JobFilter(labels=[LabelFilter("run", "0")]), 3),
        (JobFilter(labels=[LabelFilter("run", None)]), 5),
        (JobFilter(labels=[LabelFilter("Site", "Köln"), LabelFilter("run", "1")]), 2),
        (JobFilter(labels=[LabelFilter("site", "Köln")]), 0),
        (JobFilter(labels=[LabelFilter("run", "0")], task="mul", since=1004), 1),
        (JobFilter(labels=[LabelFilter("run", "' OR 1=1 --")]), 0),
    ],
)
def test_a_job_must_satisfy_all_filters(jobs: JobStore, filters: JobFilter, count: int) -> None:
    found = jobs.search(filters, None, 100)[0]
    assert len({job.uuid for job in found}) == len(found) == count


def test_labels_are_stored_unchanged(jobs: JobStore) -> None:
    found = jobs.search(JobFilter(labels=[LabelFilter("run", "1")]), None, 1)[0]
    assert found[0].labels == {"run": "1", "Site": "Köln"}


@pytest.mark.parametrize(
    ("filters", "index"),
    [
        (EVERYTHING, "job_created_uuid"),
        (JobFilter(task="add"), "job_task_created_uuid"),
        (JobFilter(states=[State.FAILURE]), "job_state_created_uuid"),
        (JobFilter(queue="slow"), "job_queue"),
        (JobFilter(labels=[LabelFilter("run", "1")]), "label_name_value_created_job"),
        (JobFilter(labels=[LabelFilter("run", None)]), "label_name_created_job"),
    ],
)
def test_each_filter_reads_an_index_in_its_order(sqlite_url: str, filters: JobFilter, index: str) -> None:
    executed: list[tuple[str, Any]] = []
    with closing(Database(sqlite_url)) as database:
        database.wait_until_up(1, 0.0)
        run = database.peewee.execute_sql
        database.peewee.execute_sql = lambda sql, values=None: (executed.append((sql, values)), run(sql, values))[1]
        JobStore(database).search(filters, PageCursor(5, "x"), 3)[0]
        database.peewee.execute_sql = run
        ((sql, values),) = [each for each in executed if "SELECT" in each[0]]
        plan = database.read(lambda db: [row[3] for row in db.execute_sql(f"EXPLAIN QUERY PLAN {sql}", values)])
    assert index in plan[0]
    assert not [step for step in plan if "TEMP B-TREE" in step]


def test_page_of_large_jobs_is_shorter_and_the_next_continues(jobs: JobStore, monkeypatch: pytest.MonkeyPatch) -> None:
    jobs.add([a_job(created=9000 + number, args=["x" * 10_000]) for number in range(5)])
    monkeypatch.setattr(search, "MAX_PAGE", 25_000)
    sizes: list[int] = []
    seen: list[PageCursor] = []
    following: PageCursor | None = None
    while not sizes or following is not None:
        found, following = jobs.search(EVERYTHING, following, 50)
        sizes.append(len(found))
        seen += [PageCursor(job.created, job.uuid) for job in found]
    assert (sizes[:2], len(seen), seen) == ([2, 2], 25, sorted(seen, reverse=True))
    monkeypatch.setattr(search, "MAX_PAGE", 1)
    found, following = jobs.search(EVERYTHING, None, 50)
    assert [PageCursor(job.created, job.uuid) for job in found] == [following]


def test_exact_last_page_has_no_next(jobs: JobStore) -> None:
    assert [jobs.search(EVERYTHING, None, limit)[1] is None for limit in (19, 20, 21)] == [False, True, True]


def test_several_rare_states_are_found_without_reading_the_other_jobs(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    jobs = JobStore(database)
    jobs.add([a_job(state=State.SUCCESS, due=None, created=number) for number in range(3000)])
    few = [a_job(state=state, created=5) for state in (State.PENDING, State.STARTED)]
    jobs.add(few)
    database.read(lambda db: db.execute_sql("ANALYZE TABLE job" if database.mysql else "ANALYZE job"))
    executed: list[tuple[str, Any]] = []
    run = database.peewee.execute_sql
    with monkeypatch.context() as patch:
        patch.setattr(database.peewee, "execute_sql", lambda *query: (executed.append(query), run(*query))[1])
        found, following = jobs.search(JobFilter(states=[State.PENDING, State.STARTED, State.RETRY]), None, 1)
    assert [job.uuid for job in found] == [max(job.uuid for job in few)]
    assert following == PageCursor(5, found[0].uuid)
    explain = "EXPLAIN QUERY PLAN " if database.sqlite else "EXPLAIN "
    *by_state, _ = [(explain + sql, values) for sql, values in executed]
    plans = [str(database.read(lambda db, each=each: db.execute_sql(*each).fetchall())) for each in by_state]
    assert len(plans) == 3
    assert not [plan for plan in plans if "job_created_uuid" in plan or "Seq Scan" in plan]


def test_jobs_are_found_by_the_beginning_of_their_uuid(database: Database) -> None:
    jobs = JobStore(database)
    uuids = [f"0a{second}00000-0000-7000-8000-0000000000{last}" for second in "9af" for last in ("09", "0f")]
    jobs.add([a_job(uuid=uuid) for uuid in uuids])
    assert [job.uuid for job in jobs.beginning_with("0aa00000", 9)] == uuids[3:1:-1]
    assert [job.uuid for job in jobs.beginning_with("0aa00000-0000-", 9)] == uuids[3:1:-1]
    assert [job.uuid for job in jobs.beginning_with(uuids[5][:35], 9)] == uuids[:3:-1]
    assert [job.uuid for job in jobs.beginning_with("0a", 3)] == uuids[:2:-1]
    assert jobs.beginning_with("0ab", 9) == jobs.beginning_with("0aa00001", 9) == []
