"""Periodic queries use an index on each database, however many finished jobs there are."""

import re
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any

import peewee
import pytest

from pacifica.dispatcher import orm
from pacifica.dispatcher.core.job import State
from pacifica.dispatcher.core.job_filter import JobFilter
from pacifica.dispatcher.core.permissions import EVERY_JOB
from pacifica.dispatcher.core.work import WantedJobs
from pacifica.dispatcher.store.database import Database
from pacifica.dispatcher.store.jobs import JobStore
from pacifica.dispatcher.store.mapping import job_to_row
from pacifica.dispatcher.store.outbox import Kind, Outbox
from pacifica.dispatcher.store.present_jobs import PresentJobs
from pacifica.dispatcher.store.purge import PurgeStore
from pacifica.dispatcher.store.ready_jobs import ready_jobs
from pacifica.dispatcher.store.stats import unfinished_jobs
from pacifica.dispatcher.store.work_queue import WorkQueue
from pacifica.dispatcher.store.workers import WorkerStore

from .conftest import a_job

Statement = tuple[str, Any]
NOW = 10_000_000
ENDED = 4_000
UNFINISHED = 20

KIND = Kind("add", None)
OF_WAITING = "job_sent|job_state_created_uuid|job_expires"
OF_STARTED = "job_holder|job_state_created_uuid"
OF_FAILED = "job_state_created_uuid|job_failed"
"""The indexes that are equally good for the few jobs in these states."""

BY_STATE, BY_TASK = "job_state_created_uuid", "job_task_created_uuid"


def claim_ready(database: Database) -> None:
    """Find due jobs as a worker does that claims them; then the transaction is rolled back."""

    def change(db: peewee.Database) -> None:
        with db.atomic() as transaction:
            ready_jobs(database).take(db, WantedJobs(["fast"], 10), "uuid", NOW)
            transaction.rollback()

    database.write(change)


QUERIES: dict[str, tuple[Callable[[Database], object], tuple[str, ...]]] = {
    "take": (lambda database: Outbox(database).take(at=NOW, lease=1, limit=10), ("job_due", "job_due")),
    "backlog": (lambda database: Outbox(database).backlog(at=NOW, limit=10), ("job_due",)),
    "unfinished": (
        lambda database: unfinished_jobs(database, at=NOW, limit=10),
        (OF_WAITING, OF_STARTED, OF_WAITING),
    ),
    "recall": (
        lambda database: Outbox(database).recall(at=NOW, lease=1),
        ("job_due|job_ready", "job_due|job_ready", OF_WAITING),
    ),
    "waiting": (lambda database: Outbox(database).waiting(), (OF_WAITING,)),
    "count_sent": (lambda database: Outbox(database).count_sent(KIND, since=1, until=NOW, limit=9), (OF_WAITING,)),
    "sent_first": (lambda database: Outbox(database).sent_first(KIND, until=NOW, limit=9), (OF_WAITING,)),
    "revoke_expired": (
        lambda database: JobStore(database).revoke_expired(at=NOW, limit=10),
        ("job_expires", "job_expires"),
    ),
    "purge": (lambda database: next(PurgeStore(database).pages({State.SUCCESS: NOW}, 10)), (BY_STATE,)),
    "purge a task": (lambda database: next(PurgeStore(database).pages({State.SUCCESS: NOW}, 10, "add")), (BY_TASK,)),
    "queue": (lambda database: JobStore(database).search(JobFilter(queue="slow"), None, 10), ("job_queue",)),
    "ready": (lambda database: WorkQueue(database).ready(["fast"], NOW), ("job_ready",)),
    "next_due": (lambda database: WorkQueue(database).next_due(["fast"], NOW), ("job_ready",)),
    "claim": (claim_ready, ("job_ready",)),
    "queues": (lambda database: PresentJobs(database).queues(EVERY_JOB, at=NOW), (OF_WAITING, OF_WAITING)),
    "running": (lambda database: PresentJobs(database).running(EVERY_JOB), (OF_STARTED,)),
    "failures of a task": (
        lambda database: JobStore(database).search(JobFilter(task="add", states=[State.FAILURE]), None, 10),
        (OF_FAILED,),
    ),
    "failures": (lambda database: PresentJobs(database).failures(EVERY_JOB), (OF_FAILED,)),
    "held": (lambda database: WorkerStore(database).held("holder-1", limit=10), ("job_holder",)),
}
"""Each query, and the index of each of its statements; statements by primary key do not count."""


def some_jobs() -> Iterator[dict[str, Any]]:
    """Many finished jobs, and a few of each unfinished kind."""
    for number in range(ENDED):
        ended = {"published": number, "expires": number, "started": number, "finished": number}
        yield {"state": State.SUCCESS.value, "due": None, "holder": f"holder-{number % 50}", **ended}
        if number < UNFINISHED:
            yield {"state": State.SUCCESS.value, "due": None, "queue": "slow", **ended}
    for number in range(UNFINISHED):
        yield {"state": State.PENDING.value, "due": number}
        yield {"state": State.PENDING.value, "due": 2 * NOW + number, "target_priority": 9, "target_queue": "fast"}
        yield {"state": State.PENDING.value, "due": None, "published": number, "expires": number}
        yield {"state": State.STARTED.value, "due": None, "published": number, "holder": f"holder-{number}"}


def fill(database: Database) -> None:
    """Store them, and refresh the statistics of the database."""
    rows = [{**job_to_row(a_job(created=1)), **columns} for columns in some_jobs()]

    def change(db: peewee.Database) -> None:
        for start in range(0, len(rows), 500):
            orm.Job.insert_many(rows[start : start + 500]).execute(db)

    database.write(change)
    database.read(lambda db: db.execute_sql("ANALYZE TABLE job" if database.mysql else "ANALYZE job"))


@pytest.fixture(scope="module")
def filled(shared_database: Database) -> Database:
    """A database with all these jobs; the queries change only a few of them."""
    for model in orm.MODELS:
        shared_database.write(model.delete().execute)
    fill(shared_database)
    return shared_database


def statements(database: Database, action: Callable[[Database], object], patch: pytest.MonkeyPatch) -> list[Statement]:
    """The statements of the action that find jobs, without those by UUID."""
    executed: list[Statement] = []
    execute = database.peewee.execute_sql

    def record(sql: str, params: Any = None) -> Any:
        executed.append((sql, params))
        return execute(sql, params)

    with patch.context() as recording:
        recording.setattr(database.peewee, "execute_sql", record)
        action(database)
    return [one for one in executed if re.search(r"\bjob\b", one[0]) and not re.search(r"INSERT|uuid\W+ IN \(", one[0])]


def plan(database: Database, statement: Statement) -> str:
    """The query plan of a statement, in the words of the database."""
    explain = "EXPLAIN QUERY PLAN " if database.sqlite else "EXPLAIN "
    found = database.read(lambda db: db.execute_sql(explain + statement[0], statement[1]).fetchall())
    return "\n".join(" ".join(map(str, row)) for row in found)


def is_full_scan(database: Database, steps: str) -> bool:
    """Whether a plan scans the whole table, or one of its indexes."""
    if database.mysql:
        return re.search(r"^\d+ \w+ (t1|job) (ALL|index) ", steps, re.MULTILINE) is not None
    return re.search(r"SCAN (t1|job)$" if database.sqlite else r"Seq Scan", steps, re.MULTILINE) is not None


@pytest.mark.parametrize("query", QUERIES)
def test_periodic_queries_use_an_index_and_read_no_final_job(
    filled: Database, query: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    action, indexes = QUERIES[query]
    plans = [plan(filled, statement) for statement in statements(filled, action, monkeypatch)]
    if query == "claim":  # On MySQL, another statement for each priority with due jobs, which "recall" makes.
        indexes *= len(plans)
    assert len(plans) == len(indexes)
    for steps, index in zip(plans, indexes, strict=True):
        assert any(name in steps for name in index.split("|")), steps
        assert not is_full_scan(filled, steps), steps


@pytest.mark.parametrize("query", ["ready", "next_due", "claim"])
def test_waiting_jobs_of_one_queue_and_priority_are_not_read_for_the_others(
    database: Database, query: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    JobStore(database).add([a_job(target_queue="fast") for _ in range(1000)])
    database.read(lambda db: db.execute_sql("ANALYZE TABLE job" if database.mysql else "ANALYZE job"))
    for statement in statements(database, QUERIES[query][0], monkeypatch):
        steps = plan(database, statement)
        assert "job_ready" in steps
        assert "job_due" not in steps


def test_sqlite_finds_expired_jobs_by_their_index_with_any_statistics(
    sqlite_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with closing(Database(sqlite_url)) as database:
        database.wait_until_up(1, 0.0)
        database.write(lambda db: db.execute_sql("ANALYZE job"))
        statistics = "INSERT INTO sqlite_stat1 VALUES ('job', 'job_state_created_uuid', '1008900 1001 1 1')"
        database.write(lambda db: db.execute_sql(statistics))
    with closing(Database(sqlite_url)) as database:
        (expired,) = statements(database, lambda of: JobStore(of).revoke_expired(at=NOW, limit=1), monkeypatch)
        assert "job_expires" in plan(database, expired)


def test_analyze_makes_sqlite_choose_the_best_index(sqlite_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with closing(Database(sqlite_url)) as database, closing(Database(sqlite_url)) as other:
        for each in (database, other):
            each.wait_until_up(1, 0.0)
        JobStore(database).add([a_job() for _ in range(2000)])
        assert JobStore(other).revoke_expired(at=NOW, limit=1) == 0  # It has read the schema before the analysis.
        JobStore(database).analyze()
        for each in (database, other):
            (expired,) = statements(each, lambda of: JobStore(of).revoke_expired(at=NOW, limit=1), monkeypatch)
            (waiting,) = statements(each, lambda of: Outbox(of).waiting(), monkeypatch)
            assert "job_expires" in plan(each, expired)
            assert "job_sent" in plan(each, waiting)


def test_sqlite_claims_rows_by_their_key_with_any_statistics(sqlite_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before the first ANALYZE, an index of states seems better to SQLite, and all waiting jobs would be read."""
    seen: list[Statement] = []
    with closing(Database(sqlite_url)) as database:
        database.wait_until_up(1, 0.0)
        jobs, queue = JobStore(database, row_queue=True), WorkQueue(database, row_queue=True)
        jobs.add([a_job(due=1, target_queue="fast") for _ in range(3)])
        execute = database.peewee.execute_sql

        def note(sql: str, params: Any = None, *more: Any) -> Any:
            seen.append((sql, params))
            return execute(sql, params, *more)

        monkeypatch.setattr(database.peewee, "execute_sql", note)
        wanted = WantedJobs(["fast"], 10, tasks={"other"}, defer=5)
        for each in (wanted, wanted._replace(tasks=None)):
            queue.turn([], each, [], token="t", worker="w", holder="h", at=NOW)
            jobs.add([a_job(due=1, target_queue="fast")])
        updates = [(sql, params) for sql, params in seen if sql.lstrip().startswith("UPDATE job")]
        assert len(updates) == 2
        for sql, params in updates:
            plan = " ".join(row[3] for row in execute(f"EXPLAIN QUERY PLAN {sql}", params).fetchall())
            assert "SEARCH job USING INDEX sqlite_autoindex_job_1 (uuid=?)" in plan
