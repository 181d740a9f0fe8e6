"""Short jobs that share a message of the pool, when one of them takes long or ends its process, or the worker stops."""

import os
import signal
import time
from collections.abc import Sequence

import pytest

from pacifica.dispatcher.core.job import Job, now

from ..eventually import eventually
from ..processes import Running
from .cluster import Cluster, MakeCluster

SHORT = ("mixed", "s")
BROKERS = ["database", "rabbitmq"]
ROUNDS = 10
"""A busy machine may make short jobs look long, so that they go alone: a test tries again so often."""


def warm_up(cluster: Cluster) -> None:
    """Let the worker learn that the task is short; the first job of each process takes longer."""
    for _ in range(3):
        for uuid in [cluster.add(*SHORT) for _ in range(150)]:
            cluster.ended(uuid, 60)


def add_at_once(cluster: Cluster, worker: Running, jobs: Sequence[Sequence[str]]) -> list[str]:
    """Add jobs that the worker finds at one look."""
    cluster.freeze(worker.send, worker)
    try:
        return [cluster.add(*job) for job in jobs]
    finally:
        worker.send(signal.SIGCONT)


def test_child_killed_in_a_batch_takes_no_attempt_of_other_jobs(make_cluster: MakeCluster) -> None:
    cluster = make_cluster(lease_seconds=20)
    worker = cluster.worker(concurrency=1)
    returned = False
    for number in range(ROUNDS):
        warm_up(cluster)
        jobs = [SHORT, SHORT, ("mixed", f"k{number}", "kill"), *[("mixed", f"n{number}", "note")] * 6]
        uuids = add_at_once(cluster, worker, jobs)
        found = [cluster.ended(uuid, 30) for uuid in uuids]
        assert [job.state for job in found] == ["SUCCESS"] * 9
        assert cluster.history(uuids[2]).count("LOST") == 1
        assert [job.attempt for job in found] == [1, 1, 2] + [1] * 6
        assert len(cluster.runs(f"n{number}")) == 6
        returned = any("RETURNED" in cluster.history(uuid) for uuid in uuids[3:])
        cluster.check_final(uuids)
        if returned:
            return
    raise AssertionError("no batch was sent")


@pytest.mark.parametrize("broker", BROKERS)
@pytest.mark.parametrize("pool", ["prefork", "threads"])
def test_jobs_beside_one_that_turns_long_end_soon(make_cluster: MakeCluster, broker: str, pool: str) -> None:
    cluster = make_cluster(broker, lease_seconds=20)
    worker = cluster.worker("-P", pool, concurrency=2)
    warm_up(cluster)
    uuids = add_at_once(cluster, worker, [SHORT, ("mixed", "long", "wait"), *[SHORT] * 30])
    long = uuids.pop(1)
    found = [cluster.ended(uuid, 30) for uuid in uuids]
    assert cluster.job(long).state == "STARTED"
    assert seconds_after(cluster.job(long), found) < 1.5
    assert {job.attempt for job in found} == {1}
    cluster.release("long")
    cluster.ended(long)
    cluster.check_final([*uuids, long])


def seconds_after(first: Job, jobs: Sequence[Job]) -> float:
    """The seconds from the start of the first job to the end of the last of the others."""
    assert first.started is not None
    return (max(job.finished or 0 for job in jobs) - first.started) / 1_000_000


def test_long_job_delays_no_short_one_while_another_child_is_idle(make_cluster: MakeCluster) -> None:
    cluster = make_cluster(lease_seconds=20)
    cluster.worker(concurrency=2)
    warm_up(cluster)
    long = cluster.add("hold", "a")
    uuids = [cluster.add(*SHORT) for _ in range(100)]
    found = [cluster.ended(uuid, 30) for uuid in uuids]
    assert cluster.job(long).state == "STARTED"
    waits = [((job.finished or 0) - job.created) / 1_000_000 for job in found]
    assert max(waits) < 2
    cluster.release("a")
    cluster.check_final([*uuids, cluster.ended(long).uuid])


def test_batch_of_a_frozen_worker_runs_elsewhere_and_not_again_afterwards(make_cluster: MakeCluster) -> None:
    """The main process is stopped while its child runs the second job of a batch, for longer than the lease."""
    cluster = make_cluster(lease_seconds=1)
    worker = cluster.worker(concurrency=1)
    warm_up(cluster)
    uuids = add_at_once(cluster, worker, [SHORT, ("mixed", "long", "wait"), *[("mixed", "n", "note")] * 5])
    cluster.until_run("long")
    cluster.freeze(worker.send, worker)
    second = cluster.worker(concurrency=2)
    cluster.until_run("long", 2)
    eventually(lambda: len(cluster.runs("n")) >= 5, 20)
    cluster.release("long")
    found = [cluster.ended(uuid, 30) for uuid in uuids]
    worker.send(signal.SIGCONT)
    eventually(lambda: "LATE" in cluster.history(uuids[1]), 20, "the report of the frozen worker did not come")
    assert cluster.ended(cluster.add("mixed", "n", "note")).state == "SUCCESS"
    assert [job.state for job in found] == ["SUCCESS"] * 7
    assert (len(cluster.runs("long")), len(cluster.runs("n"))) == (2, 6)
    assert second.popen.poll() is None
    cluster.check_final(uuids)


@pytest.mark.parametrize("how", ["SIGTERM", "SIGQUIT"])
def test_worker_that_stops_during_a_batch_returns_what_has_not_begun(make_cluster: MakeCluster, how: str) -> None:
    cluster = make_cluster(lease_seconds=20, stop_seconds=20)
    worker = cluster.worker(concurrency=1)
    warm_up(cluster)
    uuids = add_at_once(cluster, worker, [("mixed", "long", "wait"), *[("mixed", "n", "note")] * 5])
    cluster.until_run("long")
    worker.send(signal.Signals[how])
    eventually(lambda: {cluster.job(uuid).state for uuid in uuids[1:]} == {"PENDING"}, 20)
    if how == "SIGTERM":
        cluster.release("long")
    worker.wait(30)
    cluster.release("long")
    assert [cluster.job(uuid).attempt for uuid in uuids[1:]] == [0] * 5
    assert cluster.job(uuids[0]).state == ("SUCCESS" if how == "SIGTERM" else "PENDING")
    cluster.worker(concurrency=1)
    assert [cluster.ended(uuid).state for uuid in uuids] == ["SUCCESS"] * 6
    assert len(cluster.runs("n")) == 5
    cluster.check_final(uuids)


@pytest.mark.parametrize("broker", BROKERS)
def test_cancelled_job_of_a_batch_is_stopped_and_the_others_end(make_cluster: MakeCluster, broker: str) -> None:
    cluster = make_cluster(broker, lease_seconds=3)
    worker = cluster.worker(concurrency=1)
    warm_up(cluster)
    uuids = add_at_once(cluster, worker, [SHORT, ("mixed", "long", "wait"), *[SHORT] * 5])
    cluster.until_run("long")
    assert cluster.jobs.ask_to_cancel(uuids[1], at=now())
    assert cluster.ended(uuids[1]).state == "REVOKED"
    assert [cluster.ended(uuids[number]).state for number in (0, 2, 3, 4, 5, 6)] == ["SUCCESS"] * 6
    assert len(cluster.runs("long")) == 1
    cluster.check_final(uuids)


def test_backlog_of_jobs_that_kill_their_child_fails_no_other_job(make_cluster: MakeCluster) -> None:
    cluster = make_cluster(lease_seconds=20)
    worker = cluster.worker(concurrency=2)
    warm_up(cluster)
    killers = [("mixed", f"k{number}", "kill") for number in range(3)]
    jobs = [job for killer in killers for job in [*[SHORT] * 20, killer, *[SHORT] * 20]]
    uuids = add_at_once(cluster, worker, jobs)
    found = [cluster.ended(uuid, 60) for uuid in uuids]
    assert {job.state for job in found} == {"SUCCESS"}
    assert sorted(job.attempt for job in found) == [1] * 120 + [2] * 3
    cluster.check_final(uuids)


def test_batches_of_two_workers_that_are_killed_lose_and_double_no_job(make_cluster: MakeCluster) -> None:
    cluster = make_cluster(lease_seconds=1)
    workers = [cluster.worker(concurrency=2) for _ in range(2)]
    warm_up(cluster)
    uuids = [cluster.add(*SHORT) for _ in range(600)]
    workers[0].kill()
    os.kill(workers[1].popen.pid, signal.SIGKILL)
    cluster.worker(concurrency=2)
    begin = time.monotonic()
    assert {cluster.ended(uuid, 60).state for uuid in uuids} == {"SUCCESS"}
    assert time.monotonic() - begin < 60
    cluster.check_final(uuids)
