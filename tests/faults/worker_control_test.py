"""Celery's remote control, limits and pools, with a worker that claims jobs from their rows."""

import json
import signal
from typing import Any

import pytest

from pacifica.dispatcher.core.job import now
from pacifica.dispatcher.store.present_jobs import PresentJobs

from ..eventually import eventually
from .cluster import Cluster, MakeCluster


def celery(cluster: Cluster, *arguments: str) -> Any:
    """Run a command of Celery's that answers JSON, and return what the only worker answers."""
    command = cluster.processes.start("celery", ("-m", "celery", "-q", "-A", "pacifica.dispatcher.tasks", *arguments))
    assert command.wait() == 0, command.output()
    answers = json.loads(command.output())
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


def test_heartbeat_keeps_how_many_jobs_a_worker_runs_and_its_queues(make_cluster: MakeCluster) -> None:
    cluster = make_cluster()
    cluster.worker(concurrency=3)
    present = PresentJobs(cluster.database)
    eventually(lambda: [(one.capacity, one.queues) for one in present.workers()] == [(3, [cluster.queue])])


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


def test_celerys_commands_answer_while_a_job_runs(make_cluster: MakeCluster) -> None:
    cluster = make_cluster(lease_seconds=20)
    cluster.worker(concurrency=1)
    running = cluster.add("hold", "a")
    cluster.until_run("a")
    waiting = cluster.add("note", "b")
    assert [one["id"] for one in celery(cluster, "inspect", "active", "--json")] == [running]
    celery(cluster, "control", "pool_grow", "1", "--json")
    assert cluster.ended(waiting).result == "b", "the new process runs it"
    cluster.release("a")
    cluster.ended(running)


def test_autoscaled_pool_grows_for_jobs_that_wait(make_cluster: MakeCluster) -> None:
    cluster = make_cluster(lease_seconds=20)
    cluster.worker("--autoscale", "2,1", concurrency=1)
    uuids = [cluster.add("hold", "a") for _ in range(3)]
    cluster.until_run("a", 2)
    assert [cluster.job(uuid).state for uuid in uuids].count("PENDING") == 1
    celery(cluster, "control", "autoscale", "3", "1", "--json")
    cluster.until_run("a", 3)
    assert len(set(cluster.runs("a"))) == 3
    cluster.release("a")
    assert [cluster.ended(uuid).attempt for uuid in uuids] == [1] * 3


def test_job_that_ends_during_a_soft_shutdown_is_reported_and_no_other_is_claimed(make_cluster: MakeCluster) -> None:
    """The event loop stands still meanwhile."""
    cluster = make_cluster(lease_seconds=20, celery={"worker_soft_shutdown_timeout": 2})
    worker = cluster.worker(concurrency=2)
    held = cluster.add("hold", "a")
    cluster.until_run("a")
    # Celery waits only for jobs whose beginning the main process has seen.
    eventually(lambda: celery(cluster, "inspect", "active", "--json"))
    worker.send(signal.SIGQUIT)
    worker.wait_until_it_says("Initiating Soft Shutdown")
    waiting = cluster.add("note", "b")
    cluster.release("a")
    worker.wait()
    assert (cluster.job(held).state, cluster.history(waiting)) == ("SUCCESS", ["PENDING"])
    assert len(cluster.runs("a")) == 1
    cluster.check_final([held])


def test_sigterm_that_is_remapped_puts_jobs_back_and_cancel_stops_them(make_cluster: MakeCluster) -> None:
    """Then the processes of the pool ignore SIGTERM."""
    cluster = make_cluster(lease_seconds=3)
    worker = cluster.worker(concurrency=2, env={"REMAP_SIGTERM": "SIGQUIT"})
    cancelled, held = cluster.add("hold", "a"), cluster.add("hold", "b")
    cluster.until_run("a")
    assert cluster.jobs.ask_to_cancel(cancelled, at=now())
    assert cluster.ended(cancelled).state == "REVOKED"
    cluster.until_run("b")
    worker.send(signal.SIGTERM)
    worker.wait()
    assert (cluster.job(held).state, cluster.history(held)[-1]) == ("PENDING", "LOST")
    assert len(cluster.runs("b-left")) == 1
    cluster.check_final([cancelled])


def test_child_is_replaced_after_its_number_of_tasks(make_cluster: MakeCluster) -> None:
    cluster = make_cluster(lease_seconds=20)
    cluster.worker("--max-tasks-per-child", "3", concurrency=1)
    uuids = [cluster.add("mixed", "n", "note") for _ in range(12)]
    assert {(job.state, job.attempt) for job in map(cluster.ended, uuids)} == {("SUCCESS", 1)}
    pids = cluster.runs("n")
    assert max(pids.count(pid) for pid in pids) <= 3


@pytest.mark.parametrize("pool", ["threads", "solo", "gevent"])
def test_burst_of_short_jobs_runs_in_any_pool(make_cluster: MakeCluster, pool: str) -> None:
    cluster = make_cluster()
    cluster.worker("-P", pool, concurrency=2)
    uuids = [cluster.add("mixed", "s") for _ in range(300)]
    jobs = [cluster.ended(uuid, 60) for uuid in uuids]
    assert {(job.state, job.attempt) for job in jobs} == {("SUCCESS", 1)}
    cluster.check_final(uuids)
