"""Tasks that end their process, exceed a time limit, or raise exceptions that mean something else to Celery."""

import pytest

from ..services import BROKERS
from .cluster import MakeCluster

DEADLY = ["kill", "segfault", "os._exit", "os._exit 0"]
RAISED = {
    "sys.exit": "SystemExit",
    "memory": "MemoryError",
    "interrupt": "KeyboardInterrupt",
    "memory in the result": "MemoryError",
    "exit in the result": "SystemExit",
}

LIMITED = {
    "soft": ("FAILURE", "SoftTimeLimitExceeded", None),
    "hard": ("FAILURE", "TimeLimitExceeded", None),
    "tidy": ("SUCCESS", None, "tidy"),
    "async_soft": ("FAILURE", "SoftTimeLimitExceeded", None),
    "async_hard": ("FAILURE", "TimeLimitExceeded", None),
}
"""The tasks with a time limit, each with its state, type of error and result."""


@pytest.mark.parametrize("broker", BROKERS)
def test_poison_jobs_fail_in_the_end_and_delay_no_other_job(make_cluster: MakeCluster, broker: str) -> None:
    cluster = make_cluster(broker, lease_seconds=20)
    worker = cluster.worker(concurrency=4)  # A worker checks for dead children once a second.
    deadly = {how: cluster.add("poison", how) for how in DEADLY}
    raised = {how: cluster.add("poison", how) for how in RAISED}
    forks = [cluster.add("fork", "fork") for _ in range(2)]
    others = [cluster.add("note", f"n{number}") for number in range(30)]
    assert [cluster.ended(uuid, 30).state for uuid in others] == ["SUCCESS"] * 30
    for how, uuid in deadly.items():
        job = cluster.ended(uuid, 30)
        assert job.error is not None
        assert (how, job.state, job.error.type, job.attempt) == (how, "FAILURE", "WorkerLostError", 3)
        assert len(cluster.runs(how)) == 3
    for how, uuid in raised.items():
        job = cluster.ended(uuid)
        assert job.error is not None
        assert (how, job.state, job.error.type, job.attempt) == (how, "FAILURE", RAISED[how], 1)
    assert [(cluster.ended(uuid).result, cluster.history(uuid)[-2:]) for uuid in forks] == [
        (3, ["STARTED", "SUCCESS"])
    ] * 2
    assert worker.popen.poll() is None
    assert cluster.ended(cluster.add("note", "last")).result == "last"
    cluster.check_final([*deadly.values(), *raised.values(), *others, *forks])


def test_processes_in_a_task_start_as_documented_or_fail_with_a_hint(make_cluster: MakeCluster) -> None:
    cluster = make_cluster()
    cluster.worker()
    ways = ("billiard", "capture", "multiprocessing", "stdout")
    jobs = [cluster.ended(cluster.add("start", how)) for how in ways]
    assert [job.result for job in jobs[:2]] == [[1], "hi\n"]
    hints = [job.error.message for job in jobs[2:] if job.error is not None]
    assert ["use billiard" in hints[0], "use capture_output=True" in hints[1]] == [True, True]


@pytest.mark.parametrize("pool", ["threads", "solo"])
def test_exit_exceptions_in_a_pool_without_children_are_failures(make_cluster: MakeCluster, pool: str) -> None:
    cluster = make_cluster()
    worker = cluster.worker("-P", pool, concurrency=1)
    uuids = [cluster.add("poison", how) for how in RAISED]
    errors = [cluster.ended(uuid).error for uuid in uuids]
    assert [error.type for error in errors if error is not None] == list(RAISED.values())
    assert cluster.ended(cluster.add("note", "last")).result == "last"
    assert worker.popen.poll() is None
    cluster.check_final(uuids)


def test_job_that_kills_a_worker_without_children_fails_in_the_end(make_cluster: MakeCluster) -> None:
    """Such a job ends the worker at each attempt; after ``max_attempts`` a restarted worker stays up."""
    cluster = make_cluster()
    uuid = cluster.add("poison", "kill", max_attempts=2)
    for _ in range(2):
        cluster.worker("-P", "threads", concurrency=1).popen.wait(15)
    cluster.worker("-P", "threads", concurrency=1)
    job = cluster.ended(uuid)
    assert job.error is not None
    assert (job.state, job.error.type, len(cluster.runs("kill"))) == ("FAILURE", "WorkerLostError", 2)
    cluster.check_final([uuid])


def test_time_limits_end_a_job_softly_or_hard(make_cluster: MakeCluster) -> None:
    cluster = make_cluster(lease_seconds=20)
    cluster.worker()
    uuids = {task: cluster.add(task, task) for task in LIMITED}
    for task, uuid in uuids.items():
        job = cluster.ended(uuid)
        assert (job.state, job.error and job.error.type, job.result) == LIMITED[task]
        assert job.error is None or job.error.at.startswith("fault_tasks.py:")
        assert job.attempt == 1
    assert len(cluster.runs("async_soft-left")) == 1
    assert cluster.ended(cluster.add("note", "last")).result == "last"
    cluster.check_final(uuids.values())


def test_retry_with_backoff_survives_its_worker(make_cluster: MakeCluster) -> None:
    cluster = make_cluster()
    first = cluster.worker()
    uuid = cluster.add("backoff", "a", 2)
    cluster.until_run("a", 2)
    first.kill()
    cluster.release("a")
    cluster.worker()
    job = cluster.ended(uuid)
    assert (job.state, job.result, job.retries) == ("SUCCESS", 2, 2)
    assert cluster.history(uuid).count("RETRY") == 2
    cluster.check_final([uuid])
