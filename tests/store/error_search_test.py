"""Searching for the text of an error: what matches, how much a page looks at, and the cursor between pages."""

from collections.abc import Sequence
from contextlib import closing
from typing import Any

import pytest

from pacifica.dispatcher.core.job import Job, JobError, State
from pacifica.dispatcher.core.job_filter import JobFilter, LabelFilter, PageCursor
from pacifica.dispatcher.core.permissions import Visibility
from pacifica.dispatcher.store import search
from pacifica.dispatcher.store.database import Database
from pacifica.dispatcher.store.jobs import JobStore

from .conftest import a_job


def failed(number: int, message: str, kind: str = "ValueError", **columns: Any) -> Job:
    """A failed job."""
    error = JobError(kind, message, traceback="Traceback: deep inside", at="lab.py:54")
    return a_job(state=State.FAILURE, error=error, created=1000 + number, due=None, **columns)


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    """A page looks at three failures."""
    monkeypatch.setattr(search, "MOST_FAILURES", 3)


def found(jobs: JobStore, text: str, **others: Any) -> list[int]:
    """The numbers of the jobs that are found, in the order of the pages."""
    page = jobs.search(JobFilter(error=text, **others), None, 100)[0]
    return [job.created - 1000 for job in page]


def all_pages(jobs: JobStore, filters: JobFilter, limit: int, *visible: Visibility) -> list[Sequence[int]]:
    """The numbers of the jobs of each page."""
    pages: list[Sequence[int]] = []
    following: PageCursor | None = None
    while not pages or following is not None:
        page, following = jobs.search(filters, following, limit, *visible)
        pages.append([job.created - 1000 for job in page])
    return pages


def test_error_is_found_by_a_part_of_its_type_or_message(jobs: JobStore) -> None:
    messages = ["no such file: Straße.dat", "100% full", "a_b", 'say "no"\n\\here\\', "ÉTÉ 🧪", "x" * 5000]
    jobs.add([failed(number, message) for number, message in enumerate(messages)])
    jobs.add([failed(6, "", kind="KeyError"), a_job(created=1), a_job(created=2, state=State.SUCCESS, result="full")])
    assert found(jobs, "SUCH FILE") == [0]
    assert found(jobs, "STRASSE") == [0]
    assert found(jobs, "%") == [1]
    assert found(jobs, "_") == [2]
    assert found(jobs, "a%b") == found(jobs, "axb") == []
    assert found(jobs, '"no"\n\\HERE\\') == [3]
    assert found(jobs, "été 🧪") == [4]
    assert found(jobs, "valueerror: 100%") == [1]
    assert found(jobs, "keyERROR") == [6]
    assert found(jobs, "xxx") == [5]
    assert found(jobs, "deep inside") == found(jobs, "lab.py") == found(jobs, "' OR 1=1 --") == []


@pytest.mark.parametrize("end", ["\\", "\n", "é", "🧪", '"'])
def test_error_that_is_cut_within_an_escape_is_read_up_to_it(jobs: JobStore, end: str) -> None:
    jobs.add([failed(number, "needle" + "x" * (1955 + number) + end * 5) for number in range(14)])
    assert found(jobs, "needlexx") == list(range(13, -1, -1))


def test_error_and_all_other_filters_must_hold(jobs: JobStore) -> None:
    jobs.add(
        [
            failed(0, "disk full", task="mul", caller="lab", queue="slow", labels={"run": "1"}),
            failed(1, "disk full"),
            failed(2, "disk gone", task="mul"),
        ]
    )
    assert found(jobs, "disk", task="mul") == [2, 0]
    assert found(jobs, "full", task="mul", caller="lab", queue="slow", labels=[LabelFilter("run", "1")]) == [0]
    assert found(jobs, "disk", since=1001, until=1002) == [1]
    assert found(jobs, "full", labels=[LabelFilter("run", "2")]) == []


@pytest.mark.usefixtures("few")
def test_page_looks_at_a_bounded_number_of_failures_and_the_next_continues(jobs: JobStore) -> None:
    jobs.add([failed(number, "rare" if number in {0, 6} else "usual") for number in range(8)])
    assert all_pages(jobs, JobFilter(error="rare"), 5) == [[6], [], [0]]
    assert all_pages(jobs, JobFilter(error="usual"), 2) == [[7, 5], [4, 3], [2, 1]]
    assert all_pages(jobs, JobFilter(error="never"), 5) == [[], [], []]


@pytest.mark.usefixtures("few")
def test_other_jobs_are_neither_found_nor_named_by_the_cursor(jobs: JobStore) -> None:
    jobs.add([failed(number, "full", task="mul" if number == 2 else "add", caller="lab") for number in range(9)])
    assert all_pages(jobs, JobFilter(error="full"), 5, Visibility(("m*",))) == [[2]]
    assert all_pages(jobs, JobFilter(error="full"), 5, Visibility(("m*",), "other")) == [[]]
    assert all_pages(jobs, JobFilter(error="full", task="add"), 5, Visibility(("m*",))) == [[]]


def test_failures_are_read_by_the_index_of_states(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    jobs = JobStore(database)
    jobs.add([a_job(state=State.SUCCESS, due=None, created=number) for number in range(2000)])
    jobs.add([failed(number, "full") for number in range(20)])
    database.read(lambda db: db.execute_sql("ANALYZE TABLE job" if database.mysql else "ANALYZE job"))
    executed: list[tuple[str, Any]] = []
    run = database.peewee.execute_sql
    with monkeypatch.context() as patch:
        patch.setattr(database.peewee, "execute_sql", lambda *query: (executed.append(query), run(*query))[1])
        assert len(found(jobs, "full")) == 20
    sql, values = next(each for each in executed if "SUBSTR" in each[0])
    explain = "EXPLAIN QUERY PLAN " if database.sqlite else "EXPLAIN "
    plan = str(database.read(lambda db: db.execute_sql(explain + sql, values).fetchall()))
    assert "job_state_created_uuid" in plan


def test_rare_failures_of_some_tasks_are_read_alone_and_in_their_order(
    sqlite_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    executed: list[tuple[str, Any]] = []
    with closing(Database(sqlite_url)) as database:
        database.wait_until_up(1, 0.0)
        jobs = JobStore(database)
        tasks = [f"{kind}.{number}" for kind in ("mine", "other") for number in range(5)]
        jobs.add(
            [a_job(task=task, state=State.SUCCESS, due=None, created=1000 + n) for n in range(200) for task in tasks]
        )
        jobs.add([failed(number, "full", task=tasks[number % 10]) for number in range(200)])
        jobs.analyze()
        run = database.peewee.execute_sql
        with monkeypatch.context() as patch:
            patch.setattr(database.peewee, "execute_sql", lambda *query: (executed.append(query), run(*query))[1])
            patch.setattr(search, "MOST_FAILURES", 30)
            pages = all_pages(jobs, JobFilter(error="full"), 50, Visibility(("mine.*",)))
        assert [len(page) for page in pages] == [30, 30, 30, 10]
        assert [number for page in pages for number in page] == [
            number for number in range(199, -1, -1) if number % 10 < 5
        ]
        parts = [query for query in executed if "FAILURE" in query[0]]
        plans = [[row[3] for row in run(f"EXPLAIN QUERY PLAN {sql}", values)] for sql, values in parts]
    assert len(plans) == 5 * len(pages)
    assert all(len(steps) == 1 and "job_failed (task=?" in steps[0] for steps in plans), plans


@pytest.mark.parametrize(
    ("states", "numbers"), [((), [0]), (("FAILURE",), [0]), (("SUCCESS", "FAILURE"), [0]), (("SUCCESS", "PENDING"), [])]
)
def test_only_failed_jobs_have_an_error(jobs: JobStore, states: Sequence[str], numbers: list[int]) -> None:
    jobs.add([failed(0, "disk full"), a_job(created=1, state=State.SUCCESS, result="full")])
    assert found(jobs, "full", states=[State(state) for state in states]) == numbers
