"""Idempotency keys on each database."""

from functools import partial

import pytest

from pacifica.dispatcher.core.errors import KeyReused
from pacifica.dispatcher.core.job import now
from pacifica.dispatcher.store.database import Database
from pacifica.dispatcher.store.idempotency import IdempotencyKey
from pacifica.dispatcher.store.jobs import JobStore

from .conftest import a_job, all_at_once


def key(request: str = "a", since: int = 0, name: str = "key", caller: str = "me") -> IdempotencyKey:
    """A key as a client sends it."""
    return IdempotencyKey(caller, name, request, since)


def test_the_same_key_returns_the_same_job(jobs: JobStore) -> None:
    first, second = a_job(), a_job()
    assert jobs.add([first], key()) is None
    assert jobs.add([second], key()) == first.uuid
    assert jobs.get(second.uuid) is None


def test_the_same_key_of_another_caller_is_another_job(jobs: JobStore) -> None:
    assert jobs.add([a_job()], key()) is None
    assert jobs.add([a_job()], key(caller="you")) is None


def test_the_same_key_with_another_request_is_refused(jobs: JobStore) -> None:
    second = a_job()
    jobs.add([a_job()], key())
    with pytest.raises(KeyReused):
        jobs.add([second], key(request="b"))
    assert jobs.get(second.uuid) is None


def test_an_expired_key_can_be_used_again(jobs: JobStore) -> None:
    second = a_job()
    jobs.add([a_job()], key())
    assert jobs.add([second], key(request="b", since=now() + 1)) is None
    assert jobs.get(second.uuid) == second


def test_old_keys_are_deleted_in_batches(jobs: JobStore) -> None:
    made = [a_job(created=at) for at in range(10, 15)]
    for job in made:
        jobs.add([job], key(name=str(job.created)))
    assert [jobs.forget_keys(13, 2) for _ in range(3)] == [2, 1, 0]
    assert jobs.add([a_job()], key(name="13")) == made[3].uuid
    assert jobs.add([a_job()], key(name="12")) is None


def test_only_one_of_eight_requests_with_one_key_creates_a_job(database: Database, jobs: JobStore) -> None:
    for round_ in range(3):
        made = [a_job() for _ in range(8)]
        answers = all_at_once(database, [partial(jobs.add, [job], key(name=f"key-{round_}")) for job in made])
        assert answers.count(None) == 1
        (winner,) = [job.uuid for job in made if jobs.get(job.uuid)]
        assert set(answers) == {None, winner}


def test_requests_with_different_keys_are_independent(database: Database, jobs: JobStore) -> None:
    actions = [lambda n=n: jobs.add([a_job()], key(name=f"key-{n}")) for n in range(8)]
    assert all_at_once(database, actions) == [None] * 8
