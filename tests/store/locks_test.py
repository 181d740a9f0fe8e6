"""Locks between transactions on a database server: a transaction locks only the rows that it writes."""

import threading
import uuid
from collections.abc import Callable, Iterator
from contextlib import closing
from functools import partial

import peewee
import pytest

from pacifica.dispatcher import orm
from pacifica.dispatcher.core.job import State, new_uuid, now
from pacifica.dispatcher.store import database as database_module
from pacifica.dispatcher.store.database import Database
from pacifica.dispatcher.store.idempotency import IdempotencyKey, take_key
from pacifica.dispatcher.store.jobs import JobStore
from pacifica.dispatcher.store.outbox import Outbox
from pacifica.dispatcher.store.workers import WorkerStore

from ..services import MYSQL, POSTGRESQL
from .conftest import a_job, all_at_once
from .job_steps import succeed

DAY = 86_400_000_000


@pytest.fixture(params=[POSTGRESQL, MYSQL])
def url(request: pytest.FixtureRequest, make_database: Callable[[str], str]) -> str:
    """A fresh database on each server."""
    return make_database(request.param)


@pytest.fixture
def server(url: str) -> Iterator[Database]:
    """A database with its tables."""
    with closing(Database(url)) as opened:
        opened.wait_until_up(1, 0.0)
        yield opened


def fresh_key() -> IdempotencyKey:
    """A key that was not used before."""
    return IdempotencyKey("me", uuid.uuid4().hex, "request", now() - DAY)


def test_two_deadlocked_transactions_both_commit_once(server: Database) -> None:
    workers = WorkerStore(server)
    for holder in "ab":
        workers.beat(holder, holder, at=1)
    first, both = {"a": True, "b": True}, threading.Barrier(2)

    def change(db: peewee.Database, mine: str, other: str) -> None:
        for holder in (mine, other):
            orm.Worker.update(beat=orm.Worker.beat + 1).where(orm.Worker.id == holder).execute(db)
            if first.pop(mine, False):
                both.wait(10)

    crossed = [partial(change, mine="a", other="b"), partial(change, mine="b", other="a")]
    all_at_once(server, [partial(server.write, one) for one in crossed])
    assert workers.beats() == {"a": 3, "b": 3}


def test_a_transaction_that_deadlocks_again_and_again_is_an_error(
    server: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database_module, "DEADLOCK_RETRIES", 2)
    tries: list[int] = []

    def change(_: peewee.Database) -> None:
        tries.append(1)
        raise peewee.OperationalError(1213, "Deadlock found")

    with pytest.raises(database_module.DatabaseUnavailable, match="it reported an error"):
        server.write(change)
    assert len(tries) == 3


@pytest.mark.parametrize("table", ["idempotency", "worker"])
def test_a_locking_read_of_a_missing_row_blocks_no_insert(server: Database, table: str) -> None:
    both, tries = threading.Barrier(2), []

    def take(db: peewee.Database) -> None:
        key = fresh_key()
        orm.Idempotency.delete().where(orm.Idempotency.digest == key.digest()).execute(db)
        both.wait(10)
        tries.append(take_key(db, key, a_job()))

    def register(db: peewee.Database) -> None:
        holder = new_uuid()
        orm.Worker.update(beat=2).where(orm.Worker.id == holder).execute(db)
        both.wait(10)
        tries.append(orm.Worker.insert(id=holder, name="w", beat=1, since=1).execute(db))

    change = take if table == "idempotency" else register
    all_at_once(server, [partial(server.write, change)] * 2)
    assert len(tries) == 2


def test_ten_threads_with_keys_never_deadlock(server: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database_module, "DEADLOCK_RETRIES", 0)
    jobs = JobStore(server)

    def dispatch() -> list[str | None]:
        return [jobs.add([a_job()], fresh_key()) for _ in range(40)]

    assert all_at_once(server, [dispatch] * 10) == [[None] * 40] * 10


def test_a_relay_that_takes_jobs_locks_no_other_job(url: str, server: Database) -> None:
    jobs, outbox = JobStore(server), Outbox(server)
    due, running = a_job(), a_job(due=None, state=State.STARTED)
    jobs.add([due, *[a_job(due=None, state=State.SUCCESS) for _ in range(50)]])
    jobs.add([running])
    server.write(orm.Job.update(claim="token").where(orm.Job.uuid == running.uuid).execute)
    with closing(Database(url, answer_timeout=2.0)) as other:

        def change(_: peewee.Database) -> None:
            assert [taken.uuid for taken in outbox.take(at=now(), lease=DAY, limit=10)] == [due.uuid]
            JobStore(other).add([a_job()])
            assert succeed(JobStore(other), running, result=1)

        server.write(change)
