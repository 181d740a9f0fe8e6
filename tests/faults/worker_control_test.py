"""Celery's remote control, limits and pools, with a worker that claims jobs from their rows."""

import json
from typing import Any

import pytest

from pacifica.dispatcher.core.job import now

from ..eventually import eventually
from .cluster import Cluster, MakeCluster


def celery(cluster: Cluster, *arguments: str) -> Any:
    """Run a command of Celery's that answers JSON, and return what the only worker answers."""
    answer = cluster.processes.run("-m", "celery", "-q", "-A", "pacifica.dispatcher.tasks", *arguments)
    assert answer.returncode == 0, answer.stdout + answer.stderr
    answers = json.loads(answer.stdout)
    (of_worker,) = answers.values() if isinstance(answers, dict) else answers
    return of_worker


def test_rate_limit_holds_for_claimed_rows(make_cluster: MakeCluster) -> None:
    cluster = make_cluster()
    cluster.worker()
    uuids = [cluster.add("limited") for _ in range(21)]
    jobs = [cluster.ended(uuid) for uuid in uuids]
    started = sorted(job.started or 0 for job in jobs)
    assert 1.8 < (started[-1] - started[0]) / 1_000_000 < 8
    assert {job.attempt for job in jobs} == {1}
    claims = sum(cluster.history(uuid).count("STARTED") for uuid in uuids)
    assert claims < 6 * len(uuids), "jobs that wait for their turn are claimed again and again"


def test_job_starts_at_its_eta(make_cluster: MakeCluster) -> None:
    cluster = make_cluster()
    cluster.worker()
    cluster.ended(cluster.add("note", "warm"))
    eta = now() + 1_500_000
    job = cluster.ended(cluster.add("note", "a", eta=eta, due=eta))
    assert job.started is not None
    assert 0 <= job.started - eta < 500_000


def test_retry_to_another_queue_runs_there(make_cluster: MakeCluster) -> None:
    cluster = make_cluster()
    other = f"{cluster.queue}-other"
    cluster.worker()
    uuid = cluster.add("moves", other)
    eventually(lambda: cluster.job(uuid).state == "RETRY")
    cluster.ended(cluster.add("note", "a"))
    assert cluster.job(uuid).state == "RETRY"
    cluster.worker("-Q", other)
    assert cluster.ended(uuid).result == other


def test_inspect_and_control_answer_while_jobs_run(make_cluster: MakeCluster) -> None:
    cluster = make_cluster(lease_seconds=20)
    cluster.worker(concurrency=1)
    running = cluster.add("hold", "a")
    cluster.until_run("a")
    waiting = cluster.add("note", "b")
    assert [one["id"] for one in celery(cluster, "inspect", "active", "--json")] == [running]
    assert celery(cluster, "inspect", "stats", "--json")["pool"]["max-concurrency"] == 1
    other = f"{cluster.queue}-other"
    elsewhere = cluster.add("note", "c", target_queue=other)
    celery(cluster, "control", "pool_grow", "1", "--json")
    assert cluster.ended(waiting).result == "b", "the new process runs it"
    assert cluster.job(elsewhere).state == "PENDING"
    celery(cluster, "control", "add_consumer", other, "--json")
    assert cluster.ended(elsewhere).result == "c"
    celery(cluster, "control", "cancel_consumer", other, "--json")
    second = cluster.add("note", "d", target_queue=other)
    cluster.ended(cluster.add("note", "e"))
    assert cluster.job(second).state == "PENDING"
    cluster.release("a")
    cluster.ended(running)
    eventually(lambda: celery(cluster, "inspect", "active", "--json") == [])


def test_autoscaled_pool_grows_for_jobs_that_wait(make_cluster: MakeCluster) -> None:
    cluster = make_cluster(lease_seconds=20)
    cluster.worker("--autoscale", "3,1", concurrency=1)
    uuids = [cluster.add("hold", "a") for _ in range(3)]
    cluster.until_run("a", 3)
    assert len(set(cluster.runs("a"))) == 3
    cluster.release("a")
    assert [cluster.ended(uuid).attempt for uuid in uuids] == [1] * 3


def test_child_is_replaced_after_its_number_of_tasks(make_cluster: MakeCluster) -> None:
    cluster = make_cluster(lease_seconds=20)
    cluster.worker("--max-tasks-per-child", "3", concurrency=1)
    uuids = [cluster.add("mixed", "n", "note") for _ in range(12)]
    assert {(job.state, job.attempt) for job in map(cluster.ended, uuids)} == {("SUCCESS", 1)}
    pids = cluster.runs("n")
    assert max(pids.count(pid) for pid in pids) <= 3


@pytest.mark.parametrize("pool", ["threads", "solo", "gevent"])
def test_burst_of_short_jobs_runs_in_any_pool(make_cluster: MakeCluster, pool: str) -> None:
    if pool == "gevent":
        pytest.importorskip("gevent")
    cluster = make_cluster()
    cluster.worker("-P", pool, concurrency=2)
    uuids = [cluster.add("mixed", "s") for _ in range(300)]
    jobs = [cluster.ended(uuid, 60) for uuid in uuids]
    assert {(job.state, job.attempt) for job in jobs} == {("SUCCESS", 1)}
    cluster.check_final(uuids)
