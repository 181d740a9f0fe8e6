"""The visibility of jobs: SQL and Python agree on it, and a page reads one index in its order."""

from collections.abc import Sequence
from contextlib import closing
from itertools import count
from typing import Any

import peewee
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from pacifica.dispatcher import orm
from pacifica.dispatcher.core.job import Job, new_uuid
from pacifica.dispatcher.core.job_filter import JobFilter, LabelFilter, PageCursor
from pacifica.dispatcher.core.permissions import Visibility, parse_grant
from pacifica.dispatcher.store.database import Database
from pacifica.dispatcher.store.jobs import JobStore
from pacifica.dispatcher.store.visibility import task_names, within

from .conftest import a_job

LETTERS = "abAB.-_!ßé"
CALLERS = ("", "token:a", "token:A", "token:a%")
tasks = st.text(LETTERS + "[]*?%\\'", min_size=1, max_size=5)
globs = st.text(LETTERS + "[]*?-*?", min_size=1, max_size=6)
visibilities = st.builds(
    Visibility, st.lists(globs | st.sampled_from(["*", "a*", "[ab]*", "[!a]?"]), max_size=3).map(tuple), st.none()
) | st.builds(Visibility, st.sampled_from([("*",), ("a*", "*b"), ()]), st.sampled_from(CALLERS))
many = settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def stored(database: Database, rows: Sequence[tuple[str, str]]) -> list[Job]:
    """Store only jobs of these tasks and callers; returns them newest first; each time is shared by two jobs."""
    for model in (orm.Job, orm.Label, orm.Event):
        database.write(model.delete().execute)
    created = count(2000)
    jobs = [
        a_job(uuid=new_uuid(), task=task, caller=caller, created=next(created) // 2, labels={"run": "1"})
        for task, caller in rows
    ]
    JobStore(database).add(jobs) if jobs else None
    return sorted(jobs, key=lambda job: (job.created, job.uuid), reverse=True)


def pages(jobs: JobStore, filters: JobFilter, visibility: Visibility, size: int) -> list[list[str]]:
    """The UUIDs of all pages of a search."""
    found: list[list[str]] = []
    after = None
    while page := jobs.search(filters, after, size, visibility)[0]:
        found.append([job.uuid for job in page])
        after = PageCursor(page[-1].created, page[-1].uuid)
    return found


@pytest.mark.parametrize("filters", [JobFilter(), JobFilter(labels=[LabelFilter("run", "1")])], ids=["all", "labelled"])
@many
@given(rows=st.lists(st.tuples(tasks, st.sampled_from(CALLERS)), max_size=10), visibility=visibilities)
@example(rows=[("a", "token:a"), ("a", "")], visibility=Visibility(("a*", "*b"), ""))
def test_search_shows_the_visible_jobs_page_by_page(
    database: Database, filters: JobFilter, rows: Sequence[tuple[str, str]], visibility: Visibility
) -> None:
    covered = [job.uuid for job in stored(database, rows) if visibility.covers(job.task, job.caller)]
    assert pages(JobStore(database), filters, visibility, 3) == [covered[n : n + 3] for n in range(0, len(covered), 3)]


@many
@given(rows=st.lists(st.tuples(tasks, st.sampled_from(CALLERS)), max_size=10), visibility=visibilities)
def test_events_are_limited_to_the_visible_jobs(
    database: Database, rows: Sequence[tuple[str, str]], visibility: Visibility
) -> None:
    covered = {job.uuid for job in stored(database, rows) if visibility.covers(job.task, job.caller)}

    def read(db: peewee.Database) -> set[str]:
        query = orm.Event.select(orm.Event.job).join(orm.Job, on=orm.Event.job == orm.Job.uuid)
        return {row[0] for row in within(query, visibility, task_names(db, visibility)).tuples().execute(db)}

    assert database.read(read) == covered


@pytest.mark.parametrize("filters", [JobFilter(caller="token:a"), JobFilter(task="ab"), JobFilter(queue="q")])
def test_filters_and_visibility_must_both_hold(database: Database, filters: JobFilter) -> None:
    stored(database, [(task, caller) for task in ("ab", "aB", "b") for caller in CALLERS])
    for visibility in (
        Visibility(("a*",)),
        Visibility(("*",), "token:a"),
        Visibility(("b",), "token:A"),
        Visibility(()),
    ):
        plain, narrowed = (JobStore(database).search(filters, None, 50, *more)[0] for more in ((), (visibility,)))
        assert narrowed == [job for job in plain if visibility.covers(job.task, job.caller)]


def test_every_generated_glob_is_valid_for_a_token() -> None:
    for sign in LETTERS + "[]*?":
        assert parse_grant(f"read:{sign}").tasks == sign


@pytest.mark.parametrize(
    ("filters", "visibility", "index"),
    [
        (JobFilter(caller="token:a"), Visibility(), "job_caller"),
        (JobFilter(), Visibility(caller="token:a"), "job_caller"),
        (JobFilter(), Visibility(("a*",), "token:a"), "job_caller"),
        (JobFilter(labels=[LabelFilter("run", "1")]), Visibility(("a*",)), "label_name_value_created_job"),
        (JobFilter(), Visibility(("a*",)), "job_task_created_uuid"),
    ],
)
def test_each_visibility_reads_an_index_in_its_order(
    sqlite_url: str, filters: JobFilter, visibility: Visibility, index: str
) -> None:
    seen: list[tuple[str, Any]] = []
    with closing(Database(sqlite_url)) as database:
        stored_database(database)
        run = database.peewee.execute_sql
        database.peewee.execute_sql = lambda sql, values=None: (seen.append((sql, values)), run(sql, values))[1]
        JobStore(database).search(filters, PageCursor(5000, "x"), 3, visibility)[0]
        database.peewee.execute_sql = run
        plans = [plan(database, sql, values) for sql, values in seen if "SELECT" in sql]
    assert any(index in step for steps in plans for step in steps)
    assert not [step for steps in plans[:-1] for step in steps if "TEMP B-TREE" in step or step.startswith("SCAN job")]
    assert not [step for step in plans[-1] if "SCAN" in step]


def stored_database(database: Database) -> None:
    """Create the tables, with a job of each of two tasks."""
    database.wait_until_up(1, 0.0)
    stored(database, [("ab", "token:a"), ("ac", "")])


def plan(database: Database, sql: str, values: Any) -> list[str]:
    """The steps of SQLite's query plan."""
    return database.read(lambda db: [row[3] for row in db.execute_sql(f"EXPLAIN QUERY PLAN {sql}", values)])
