"""Results and exceptions that cannot be stored, and a record that cannot be reached."""

import signal
import time

import pytest
import requests

from ..eventually import eventually
from .cluster import Cluster, MakeCluster
from .refusals import locked

UNSTORABLE = ["odd", "loop", "deep", "generator", "lambda", "bytes", "keys", "inf", "exception"]


def test_result_that_cannot_be_stored_is_a_failure_with_a_reason(make_cluster: MakeCluster) -> None:
    cluster = make_cluster(result_limit=1000)
    worker = cluster.worker()
    uuids = {what: cluster.add("returns", what) for what in UNSTORABLE}
    for what, uuid in uuids.items():
        job = cluster.ended(uuid)
        if job.state == "SUCCESS":  # Pydantic converts some of them to JSON.
            assert what in {"generator", "bytes", "keys", "inf"}, (what, job.result)
            continue
        assert job.error is not None
        assert (what, job.state, job.error.type, job.attempt) == (what, "FAILURE", "BadResult", 1)
        assert job.error.message
    assert cluster.ended(cluster.add("echo", "x" * 998)).result == "x" * 998
    large = cluster.ended(cluster.add("echo", "x" * 999))
    assert large.error is not None
    assert "result_limit allows 1000" in large.error.message
    assert worker.popen.poll() is None
    cluster.check_final([*uuids.values(), large.uuid])


RAISED = {
    "mute": ("Mute", "<Mute whose text cannot be made>"),
    "mute exit": ("MuteExit", "<MuteExit whose text cannot be made>"),
    "closed": ("Closed", "closed"),
    "twofold": ("TwoFold", "one and two"),
    "local": ("raises.<locals>.Local", "of a function"),
    "nested": ("Nested", ""),
    "large": ("ValueError", "xxx"),
    "nul": ("ValueError", "a\0b\ud800"),
    "group": ("ExceptionGroup", "many (2 sub-exceptions)"),
}


@pytest.mark.parametrize(
    ("database", "pool"),
    [("sqlite", "prefork"), ("sqlite", "threads"), ("postgresql", "prefork"), ("mysql", "prefork")],
)
def test_any_exception_of_a_body_is_recorded_by_its_name(make_cluster: MakeCluster, database: str, pool: str) -> None:
    cluster = make_cluster(database=database)
    worker = cluster.worker("-P", pool)
    uuids = {what: cluster.add("raises", what) for what in RAISED}
    for what, uuid in uuids.items():
        job = cluster.ended(uuid)
        assert job.error is not None
        assert (job.state, job.error.type, job.attempt) == ("FAILURE", RAISED[what][0], 1)
        assert RAISED[what][1] in job.error.message
        assert len(job.error.message) < 70_000
    assert cluster.ended(cluster.add("note", "last")).result == "last"
    assert worker.popen.poll() is None
    cluster.check_final(uuids.values())


@pytest.mark.parametrize("pool", ["prefork", "threads", "solo"])
@pytest.mark.parametrize("broker", ["redis", "database"])
def test_report_waits_in_the_worker_until_it_can_be_stored(make_cluster: MakeCluster, pool: str, broker: str) -> None:
    cluster = make_cluster(broker, report_patience=0.2, busy_timeout=0.1, lease_seconds=20)
    worker = cluster.worker("-P", pool, concurrency=1)
    uuid = cluster.add("hold", "a")
    cluster.until_run("a")
    with locked(cluster):
        cluster.release("a")
        worker.wait_until_it_says("The worker waits to claim and to report")
    job = cluster.ended(uuid)
    assert (job.state, job.result, job.attempt, len(cluster.runs("a"))) == ("SUCCESS", "a", 1, 1)
    assert cluster.history(uuid) == ["PENDING", "STARTED", "SUCCESS"]
    cluster.check_final([uuid])


def lock_until_suspected(cluster: Cluster) -> None:
    """Lock the file until every heartbeat has stopped for more than a lease, then wait until all move again."""
    stopped = cluster.workers.beats()
    with locked(cluster):
        since = time.monotonic()
        eventually(lambda: time.monotonic() > since + 1.5)
    eventually(lambda: all(cluster.workers.beats()[holder] > beat + 1 for holder, beat in stopped.items()))


def test_no_worker_counts_as_dead_while_the_database_is_locked(make_cluster: MakeCluster) -> None:
    """No heartbeat can move; after the lock, an observer must give the workers time to move it."""
    cluster = make_cluster("redis", busy_timeout=30, lease_seconds=0.6)
    for _ in range(2):
        cluster.worker(concurrency=1)
    uuids = [cluster.add("hold", "a") for _ in range(2)]
    cluster.until_run("a", 2)
    for _ in range(3):
        lock_until_suspected(cluster)
    cluster.release("a")
    assert [cluster.ended(uuid).attempt for uuid in uuids] == [1, 1]
    assert ["LOST" in cluster.history(uuid) for uuid in uuids] == [False, False]
    cluster.check_final(uuids)


@pytest.mark.parametrize(
    ("point", "pool", "broker", "task"),
    [
        *(
            (point, *case)
            for point in ("before-finish", "after-finish")
            for case in (
                ("prefork", "rabbitmq", "note"),
                ("prefork", "redis", "fail"),
                ("prefork", "rabbitmq", "backoff"),
                ("threads", "database", "note"),
                ("threads", "redis", "backoff"),
            )
        ),
        ("before-turn", "prefork", "database", "note"),
        ("before-turn", "prefork", "rabbitmq", "note"),
    ],
)
def test_worker_killed_at_a_failpoint_ends_its_job_once(
    make_cluster: MakeCluster, point: str, pool: str, broker: str, task: str
) -> None:
    """The points of a turn kill the worker's main process, before or after its commit; in a threads pool all do."""
    cluster = make_cluster(broker)
    once = cluster.processes.cwd / "once"
    once.touch()
    cluster.release("a")
    worker = cluster.worker("-P", pool, concurrency=1, env={"DISPATCHER_FAILPOINTS": f"{point}@{once}"})
    uuid = cluster.add(task, *(("a", 1) if task == "backoff" else ("a",)))
    if pool == "threads" or point in {"before-turn", "after-finish"}:
        assert worker.popen.wait(15) == -signal.SIGKILL
        cluster.worker("-P", pool, concurrency=1)
    job = cluster.ended(uuid)
    assert job.state == ("FAILURE" if task == "fail" else "SUCCESS")
    eventually(lambda: not once.exists(), 10, "the failpoint was not reached")
    runs = 2 if task == "backoff" else 1
    assert job.attempt == runs + (0 if point == "after-finish" else 1)
    cluster.check_final([uuid])


@pytest.mark.parametrize("point", ["after-commit", "after-publish"])
def test_web_process_killed_at_a_failpoint_leaves_jobs_that_end_once(make_cluster: MakeCluster, point: str) -> None:
    cluster = make_cluster("redis")
    once = cluster.processes.cwd / "once"
    cluster.worker()
    web = cluster.processes.start_web(env={"DISPATCHER_FAILPOINTS": f"{point}@{once}"})
    before = requests.get(f"{web.url}/dispatch/note/a", timeout=30).text
    cluster.ended(before)
    once.touch()
    try:
        answered = [requests.get(f"{web.url}/dispatch/note/b", timeout=30).text]
    except requests.RequestException:  # It may be killed during its answer.
        answered = []
    assert web.popen.wait(10) == -signal.SIGKILL
    cluster.until_run("b")
    stored = [uuid for (uuid,) in cluster.database.read(lambda db: list(db.execute_sql("SELECT uuid FROM job")))]
    assert set(stored) >= {before, *answered}
    assert [cluster.ended(uuid).state for uuid in stored] == ["SUCCESS"] * 2
    assert len(cluster.runs("b")) == 1
    cluster.check_final(stored)
