"""A message that is delivered several times: the claim in the row accepts one of them."""

import json

import pytest

from pacifica.dispatcher.core.job import new_uuid, now

from ..eventually import eventually
from .cluster import PROGRAMS, Cluster, MakeCluster


def publish_ten_times(cluster: Cluster, uuid: str, task: str) -> None:
    cluster.processes.run_program(PROGRAMS / "publish_ten_times.py", uuid, task)


@pytest.mark.parametrize(("broker", "database"), [("rabbitmq", "postgresql"), ("redis", "mysql"), ("redis", "sqlite")])
def test_ten_messages_to_two_workers_are_one_run(make_cluster: MakeCluster, broker: str, database: str) -> None:
    """The other job has no row, and its messages are from another program."""
    cluster = make_cluster(broker, database, lease_seconds=20, republish_seconds=600)
    uuid = cluster.add("hold", "a", due=None, published=now())
    publish_ten_times(cluster, uuid, "hold")
    other, rowless = cluster.other_program(), new_uuid()
    for _ in range(10):
        other.send_task("hold", ["b"], task_id=rowless, priority=3)
    cluster.worker(concurrency=3), cluster.worker(concurrency=3)  # A message waits while its worker is full.
    for job, name in ((uuid, "a"), (rowless, "b")):
        eventually(lambda job=job: cluster.history(job).count("DROPPED") == 9)
        cluster.release(name)
        ended = cluster.ended(job)
        assert (ended.state, ended.attempt, len(cluster.runs(name))) == ("SUCCESS", 1, 1)
    assert cluster.job(rowless).priority == (6 if broker == "redis" else 3)
    cluster.check_final([uuid, rowless])


def test_job_longer_than_the_visibility_timeout_of_redis_runs_once(make_cluster: MakeCluster) -> None:
    """Redis delivers the message again after a second, the other worker drops it, and the job takes three."""
    every_second = {"visibility_timeout": 1, "unacked_restore_interval": 1, "unacked_restore_throttle": 1}
    cluster = make_cluster(
        "redis", celery={"broker_transport_options": json.dumps(every_second)}, republish_seconds=600
    )
    cluster.worker(), cluster.worker()
    uuid = cluster.add("nap", 3.0)
    job = cluster.ended(uuid)
    assert (job.state, job.result, job.attempt) == ("SUCCESS", 3.0, 1)
    record = cluster.check_final([uuid])
    assert record.times_run(uuid) == 1
    assert record.history[uuid] == ["PENDING", "STARTED", "DROPPED", "SUCCESS"], (
        "the second delivery must start nothing"
    )


def test_messages_held_beside_long_jobs_go_to_another_worker(make_cluster: MakeCluster) -> None:
    """A worker holds many messages while jobs are short; then jobs are long, and a second worker comes."""
    cluster = make_cluster("rabbitmq", republish_seconds=600)
    first = cluster.worker(concurrency=1)
    uuids = cluster.add_many(["echo"] * 1500 + ["hold"] * 100, "h")
    cluster.until_run_by(first, "h")
    second = cluster.worker(concurrency=1)
    cluster.until_run_by(second, "h")
    cluster.release("h")
    assert {(job.state, job.attempt) for job in map(cluster.ended, uuids)} == {("SUCCESS", 1)}
    assert len(cluster.runs("h")) == 100
    cluster.check_final(uuids)


def test_messages_for_a_final_job_run_nothing(make_cluster: MakeCluster) -> None:
    cluster = make_cluster("redis")
    cluster.worker()
    uuid = cluster.add("note", "a")
    cluster.ended(uuid)
    publish_ten_times(cluster, uuid, "note")
    eventually(lambda: cluster.history(uuid).count("DROPPED") == 10)
    assert (cluster.job(uuid).state, len(cluster.runs("a"))) == ("SUCCESS", 1)
    cluster.check_final([uuid])


def test_message_from_before_a_retry_starts_nothing(make_cluster: MakeCluster) -> None:
    cluster = make_cluster("redis")
    uuid = cluster.add("backoff", "a", 1)
    cluster.release("a")
    cluster.worker()
    eventually(lambda: cluster.job(uuid).state == "RETRY")
    publish_ten_times(cluster, uuid, "backoff")
    assert (cluster.ended(uuid).result, len(cluster.runs("a"))) == (1, 2)
    cluster.check_final([uuid])


def test_message_without_a_job_is_dropped_and_the_worker_lives(make_cluster: MakeCluster) -> None:
    cluster = make_cluster("redis")
    cluster.worker()
    publish_ten_times(cluster, "00000000-0000-7000-8000-000000000000", "note")
    assert cluster.ended(cluster.add("note", "a")).result == "a"


@pytest.mark.parametrize("broker", ["redis", "database"])
def test_chain_whose_worker_dies_between_steps_runs_each_step_once(make_cluster: MakeCluster, broker: str) -> None:
    """The child dies after it has dispatched the next step and before it reports its own end."""
    cluster = make_cluster(broker)
    once = cluster.processes.cwd / "once"
    once.touch()
    # A second child would run the next step, and could be the one that is killed.
    cluster.worker(concurrency=1, env={"DISPATCHER_FAILPOINTS": f"before-finish@{once}"})
    steps = json.loads(cluster.processes.run_program(PROGRAMS / "dispatch_chain.py").stdout)
    assert cluster.ended(steps[2]).result == 8
    assert [cluster.ended(step).result for step in steps] == [2, 4, 8]
    assert (cluster.job(steps[0]).attempt, once.exists()) == (2, False)
    cluster.check_final(steps)
