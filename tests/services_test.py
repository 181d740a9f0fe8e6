"""The fixtures themselves: the servers answer, databases and queues are empty, and removed at the end."""

from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import psycopg
import pytest
import redis
from kombu.connection import Connection as Broker

from . import services
from .eventually import eventually


def test_rabbitmq_answers_and_its_queue_is_new(rabbitmq_url: str, queue_name: str) -> None:
    with Broker(rabbitmq_url) as broker, closing(broker.SimpleQueue(queue_name)) as queue:
        assert queue.qsize() == 0


def test_redis_answers_in_a_database_of_this_process(redis_url: str) -> None:
    with closing(redis.Redis.from_url(redis_url)) as client:
        assert client.ping()
        assert client.connection_pool.connection_kwargs["db"] > 0


def test_database_is_dropped_despite_open_connections(postgresql_url: str) -> None:
    with services.fresh_database(services.POSTGRESQL) as url:
        left_open = psycopg.connect(url)
    with psycopg.connect(postgresql_url) as connection:
        name = url.rpartition("/")[2]
        assert not connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", (name,)).fetchall()
    left_open.close()


@pytest.mark.slow
def test_each_database_is_another(make_database: Callable[[str], str]) -> None:
    assert make_database("postgresql") != make_database("postgresql")
    assert make_database("mysql") != make_database("mysql")


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
@pytest.mark.parametrize("broker_url", ["database", "redis"], indirect=True)
def test_a_test_may_ask_for_one_combination(database_url: str, broker_url: str, tmp_path: Path) -> None:
    assert database_url == f"sqliteext:///{tmp_path}/db.sqlite3"
    assert broker_url.startswith(("database://", "redis://"))


@pytest.fixture
def _no_redis(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TEST_REDIS_URL", "redis://:secret@127.0.0.1:1")
    services.refusal.cache_clear()
    yield
    services.refusal.cache_clear()


@pytest.mark.slow
@pytest.mark.usefixtures("_no_redis")
def test_a_missing_server_is_a_skip_that_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CI", raising=False)
    with pytest.raises(pytest.skip.Exception, match=r"no Redis at redis://127\.0\.0\.1:1 .*refused"):
        services.require(services.REDIS)


@pytest.mark.slow
@pytest.mark.usefixtures("_no_redis")
def test_a_missing_server_is_a_failure_in_ci(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CI", "true")
    with pytest.raises(pytest.fail.Exception, match="no Redis"):
        services.require(services.REDIS)


def test_eventually_returns_the_first_truthy_value() -> None:
    values = iter([0, "", 7])
    assert eventually(lambda: next(values)) == 7


def test_eventually_fails_with_the_last_value() -> None:
    with pytest.raises(AssertionError, match=r"no luck within 0 s; the last value was \[\]"):
        eventually(list, timeout=0, message="no luck")


def test_eventually_retries_a_failed_assertion_and_no_other_error() -> None:
    def fail() -> None:
        pytest.fail("no")

    def not_three() -> None:
        assert len("four") == 3, "not three"

    with pytest.raises(AssertionError, match="the last look failed: not three"):
        eventually(not_three, timeout=0)
    with pytest.raises(pytest.fail.Exception):
        eventually(fail)
