"""Workers with running jobs that die, freeze, or get SIGTERM."""

import signal

import pytest

from ..eventually import eventually
from .cluster import MakeCluster

PAIRS = [("rabbitmq", "postgresql"), ("redis", "sqlite"), ("database", "sqlite"), ("database", "mysql")]


@pytest.mark.parametrize(("broker", "database"), PAIRS)
def test_job_of_a_killed_worker_runs_on_another(make_cluster: MakeCluster, broker: str, database: str) -> None:
    cluster = make_cluster(broker, database)
    first = cluster.worker()
    uuid = cluster.add("hold", "a")
    cluster.until_run("a")
    second = cluster.worker()
    first.kill()
    cluster.until_run_by(second, "a")
    cluster.release("a")
    job = cluster.ended(uuid)
    assert (job.state, job.result, job.attempt) == ("SUCCESS", "a", 2)
    assert [kind for kind in cluster.history(uuid) if kind != "DROPPED"] == [
        "PENDING",
        "STARTED",
        "LOST",
        "STARTED",
        "SUCCESS",
    ]
    cluster.check_final([uuid])


def test_all_jobs_of_a_killed_worker_run_on_the_next(make_cluster: MakeCluster) -> None:
    cluster = make_cluster("rabbitmq")
    first = cluster.worker()
    held = [cluster.add("hold", "a") for _ in range(2)]
    cluster.until_run("a", 2)
    prefetched = [cluster.add("note", f"n{number}") for number in range(6)]
    eventually(lambda: all(cluster.job(uuid).published for uuid in prefetched))
    first.kill()
    cluster.release("a")
    cluster.worker()
    uuids = [*held, *prefetched]
    assert [cluster.ended(uuid, 60).attempt for uuid in uuids] == [2] * 2 + [1] * 6
    assert [len(cluster.runs(f"n{number}")) for number in range(6)] == [1] * 6
    cluster.check_final(uuids)


def test_kill_of_the_main_process_alone_loses_no_job(make_cluster: MakeCluster) -> None:
    cluster = make_cluster()
    first = cluster.worker()
    uuid = cluster.add("hold", "a")
    cluster.until_run("a")
    first.send(signal.SIGKILL)
    second = cluster.worker()
    cluster.until_run_by(second, "a")
    cluster.release("a")
    job = cluster.ended(uuid)
    assert (job.state, job.attempt) == ("SUCCESS", 2)
    cluster.check_final([uuid])


def test_job_that_loses_every_worker_fails(make_cluster: MakeCluster) -> None:
    cluster = make_cluster()
    uuid = cluster.add("hold", "a", max_attempts=2)
    for attempt in (1, 2):
        worker = cluster.worker(concurrency=1)
        cluster.until_run("a", attempt)
        worker.kill()
    cluster.worker(concurrency=1)
    job = cluster.ended(uuid)
    assert (job.state, job.attempt) == ("FAILURE", 2)
    assert job.error is not None
    assert (job.error.type, len(cluster.runs("a"))) == ("WorkerLostError", 2)
    cluster.check_final([uuid])


POOLS = ["prefork", "threads", "solo"]


@pytest.mark.parametrize("pool", POOLS)
def test_sigterm_lets_a_running_job_finish(make_cluster: MakeCluster, pool: str) -> None:
    cluster = make_cluster()
    worker = cluster.worker("-P", pool, concurrency=1)
    uuid = cluster.add("hold", "a")
    cluster.until_run("a")
    worker.send(signal.SIGTERM)
    worker.wait_until_it_says("Warm shutdown")
    worker.send(signal.SIGTERM)
    cluster.release("a")
    assert worker.wait(10) == 0
    assert (cluster.job(uuid).state, cluster.job(uuid).attempt) == ("SUCCESS", 1)
    assert cluster.workers.beats() == {}
    cluster.check_final([uuid])


@pytest.mark.parametrize("pool", POOLS)
def test_sigterm_puts_back_a_job_that_exceeds_stop_seconds(make_cluster: MakeCluster, pool: str) -> None:
    cluster = make_cluster(lease_seconds=20, stop_seconds=0.5)
    worker = cluster.worker("-P", pool, concurrency=1)
    uuid = cluster.add("hold", "a")
    cluster.until_run("a")
    worker.send(signal.SIGTERM)
    worker.wait(8)
    job = cluster.job(uuid)
    assert (job.state, job.attempt) == ("PENDING", 1)
    assert (job.due is not None, job.published) == (True, None), "it must wait in the outbox"
    assert cluster.history(uuid)[-1] == "LOST"
    cluster.release("a")
    cluster.worker(concurrency=1)
    job = cluster.ended(uuid, 5)
    assert (job.state, job.attempt) == ("SUCCESS", 2)
    cluster.check_final([uuid])


def test_sigterm_to_worker_and_children_puts_jobs_back(make_cluster: MakeCluster) -> None:
    """systemd does so by default: the children end at once, which is not a failure of their jobs."""
    cluster = make_cluster(lease_seconds=20)
    worker = cluster.worker()
    uuids = [cluster.add("hold", "a") for _ in range(2)]
    cluster.until_run("a", 2)
    worker.send_to_all(signal.SIGTERM)
    cluster.worker()
    cluster.until_run("a", 4)
    cluster.release("a")
    assert [(cluster.ended(uuid).state, cluster.job(uuid).attempt) for uuid in uuids] == [("SUCCESS", 2)] * 2
    cluster.check_final(uuids)


@pytest.mark.parametrize(("how", "stop_seconds"), [(signal.SIGTERM, 0.5), (signal.SIGQUIT, 60)])
def test_task_that_ignores_sigterm_does_not_delay_the_stop_of_its_worker(
    make_cluster: MakeCluster, how: signal.Signals, stop_seconds: float
) -> None:
    cluster = make_cluster(lease_seconds=20, stop_seconds=stop_seconds)
    worker = cluster.worker(concurrency=1)
    uuid = cluster.add("stubborn", "a")
    cluster.until_run("a")
    worker.send(how)
    worker.wait(15)
    assert cluster.job(uuid).state == "PENDING"
    cluster.release("a")
    cluster.worker(concurrency=1)
    assert cluster.ended(uuid, 5).attempt == 2
    cluster.check_final([uuid])


@pytest.mark.parametrize("broker", ["rabbitmq", "redis"])
def test_prefetched_jobs_of_a_stopped_worker_run_elsewhere(make_cluster: MakeCluster, broker: str) -> None:
    cluster = make_cluster(broker, lease_seconds=20, republish_seconds=600)
    first = cluster.worker(concurrency=1)
    held = cluster.add("hold", "a")
    cluster.until_run("a")
    prefetched = [cluster.add("note", f"n{number}") for number in range(3)]
    eventually(lambda: all(cluster.job(uuid).published for uuid in prefetched))
    first.send(signal.SIGTERM)
    first.wait_until_it_says("Warm shutdown")
    cluster.worker(concurrency=1)  # While the job still runs.
    assert [cluster.ended(uuid).state for uuid in prefetched] == ["SUCCESS"] * 3
    cluster.release("a")
    assert first.wait(10) == 0
    assert cluster.ended(held).state == "SUCCESS"
    assert [len(cluster.runs(f"n{number}")) for number in range(3)] == [1] * 3
    cluster.check_final([held, *prefetched])


@pytest.mark.parametrize("broker", ["rabbitmq", "database"])
def test_late_report_of_a_frozen_worker_is_refused(make_cluster: MakeCluster, broker: str) -> None:
    cluster = make_cluster(broker)
    first = cluster.worker(concurrency=1)
    uuid = cluster.add("hold", "a")
    cluster.until_run("a")
    cluster.freeze(first.send_to_all, first)
    second = cluster.worker(concurrency=1)
    cluster.until_run_by(second, "a")
    cluster.release("a")
    assert cluster.ended(uuid).attempt == 2
    first.send_to_all(signal.SIGCONT)
    eventually(lambda: "LATE" in cluster.history(uuid))
    job = cluster.job(uuid)
    assert (job.state, job.result, job.attempt) == ("SUCCESS", "a", 2)
    other = [cluster.add("hold", "b") for _ in range(2)]
    cluster.until_run_by(first, "b")
    cluster.release("b")
    assert [cluster.ended(one).attempt for one in other] == [1, 1]
    cluster.check_final([uuid, *other])


@pytest.mark.parametrize("pool", ["threads", "solo"])
def test_worker_of_any_pool_is_alive_during_a_long_job(make_cluster: MakeCluster, pool: str) -> None:
    cluster = make_cluster(lease_seconds=0.5)
    worker = cluster.worker("-P", pool, concurrency=1)
    uuid = cluster.add("hold", "a")
    cluster.until_run_by(worker, "a")
    (holder, beat), *_ = cluster.workers.beats().items()
    eventually(lambda: cluster.workers.beats()[holder] > beat + 12)
    cluster.release("a")
    assert (cluster.ended(uuid).attempt, cluster.history(uuid)) == (
        1,
        ["PENDING", "STARTED", "SUCCESS"],
    )
