"""One job's message, delivered again and again: the claim in the row lets one of them through."""

import json
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest

from pacifica.dispatcher.core.job import now
from pacifica.dispatcher.store.database import Database
from pacifica.dispatcher.store.jobs import JobStore

from ..eventually import eventually
from .bench import Bench, Make

PUBLISH = """
import sys
from pacifica.dispatcher.tasks import CELERY_APP as app
from pacifica.dispatcher.core.job import Outgoing
app.registry
app.container.publisher.publish([Outgoing(sys.argv[1], sys.argv[2])] * 10)
"""


def publish_ten_times(bench: Bench, uuid: str, task: str) -> None:
    ran = bench.processes.run("-c", PUBLISH, uuid, task)
    assert ran.returncode == 0, ran.stderr


@pytest.mark.parametrize(
    ("broker", "database"), [("rabbitmq", "postgresql"), ("redis", "mysql"), ("database", "sqlite")]
)
def test_ten_messages_for_two_workers_are_one_run(make_bench: Make, broker: str, database: str) -> None:
    bench = make_bench(broker, database, lease_seconds=20, republish_seconds=600)
    uuid = bench.add("hold", "a", due=None, published=now())
    publish_ten_times(bench, uuid, "hold")
    bench.worker(), bench.worker()
    eventually(lambda: bench.history(uuid).count("DROPPED") == 9)
    bench.let_go("a")
    job = bench.ended(uuid)
    assert (job.state, job.attempt, len(bench.runs("a"))) == ("SUCCESS", 1, 1)
    bench.once_final([uuid])


def test_a_job_longer_than_the_visibility_timeout_of_redis_runs_once(make_bench: Make) -> None:
    """After a second Redis gives its message to the other worker, which drops it; the job takes five."""
    every_second = {"visibility_timeout": 1, "unacked_restore_interval": 1, "unacked_restore_throttle": 1}
    bench = make_bench("redis", celery={"broker_transport_options": json.dumps(every_second)}, republish_seconds=600)
    bench.worker(), bench.worker()
    uuid = bench.add("nap", 5.0)
    job = bench.ended(uuid)
    assert (job.state, job.result, job.attempt) == ("SUCCESS", 5.0, 1)
    record = bench.once_final([uuid])
    assert record.times_run(uuid) == 1
    assert record.history[uuid] == ["PENDING", "STARTED", "DROPPED", "SUCCESS"], "it came again, and started nothing"


def test_messages_for_a_job_that_has_ended_run_nothing(make_bench: Make) -> None:
    bench = make_bench()
    bench.worker()
    uuid = bench.add("note", "a")
    bench.ended(uuid)
    publish_ten_times(bench, uuid, "note")
    eventually(lambda: bench.history(uuid).count("DROPPED") == 10)
    assert (bench.job(uuid).state, len(bench.runs("a"))) == ("SUCCESS", 1)
    bench.once_final([uuid])


def test_a_message_from_before_a_retry_starts_nothing(make_bench: Make) -> None:
    bench = make_bench()
    uuid = bench.add("backoff", "a", 1)
    bench.let_go("a")
    bench.worker()
    eventually(lambda: bench.job(uuid).state == "RETRY")
    publish_ten_times(bench, uuid, "backoff")
    assert (bench.ended(uuid).result, len(bench.runs("a"))) == (1, 2)
    bench.once_final([uuid])


def test_a_message_for_no_job_is_dropped_and_the_worker_lives(make_bench: Make) -> None:
    bench = make_bench()
    bench.worker()
    publish_ten_times(bench, "00000000-0000-7000-8000-000000000000", "note")
    assert bench.ended(bench.add("note", "a")).result == "a"


@pytest.mark.parametrize("kind", ["sqlite", "postgresql", "mysql"])
def test_of_many_claims_at_one_moment_one_is_granted(make_bench: Make, kind: str) -> None:
    bench = make_bench(database=kind)
    store = JobStore(Database(bench.database_url))
    together = Barrier(8)

    def claim(number: int, uuid: str) -> bool:
        together.wait()
        try:
            granted = store.claim(uuid, token=f"{number}", worker="w", holder=f"h{number}", retries=0, at=now())
            return granted is not None
        finally:
            store._database.close()

    with ThreadPoolExecutor(8) as threads:
        for _ in range(10):
            uuid = bench.add("note", "a")
            assert sorted(threads.map(claim, range(8), [uuid] * 8)) == [False] * 7 + [True]
            assert sorted(bench.history(uuid)) == ["DROPPED"] * 7 + ["PENDING", "STARTED"]


CHAIN = """
import json, sys
from celery import chain
from pacifica.dispatcher.tasks import CELERY_APP as app
app.registry
double = app.tasks["double"]
last = chain(double.s(1), double.s(), double.s())()
print(json.dumps([last.parent.parent.id, last.parent.id, last.id]))
"""


@pytest.mark.parametrize("broker", ["redis", "database"])
def test_a_chain_whose_worker_dies_between_its_steps_ends_once_in_each(make_bench: Make, broker: str) -> None:
    """The child dies when the next step is in the record, and its own end is not."""
    bench = make_bench(broker)
    once = bench.processes.cwd / "once"
    once.touch()
    bench.worker(env={"DISPATCHER_FAILPOINTS": f"before-finish@{once}"})
    ran = bench.processes.run("-c", CHAIN)
    assert ran.returncode == 0, ran.stderr
    steps = json.loads(ran.stdout)
    assert bench.ended(steps[2]).result == 8
    assert [bench.ended(step).result for step in steps] == [2, 4, 8]
    assert (bench.job(steps[0]).attempt, once.exists()) == (2, False)
    bench.once_final(steps)
