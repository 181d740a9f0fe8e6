"""Relays that are killed, and relays that share an outbox."""

from collections.abc import Callable
from pathlib import Path

import pytest
import requests
from kombu.connection import Connection

from pacifica.dispatcher import orm
from pacifica.dispatcher.core.job import now

from ..e2e.stack import Stack
from ..eventually import eventually
from ..processes import Running
from ..services import DATABASES
from .cluster import Cluster, MakeCluster
from .invariants import unfinished

WAITING = 150
"""Jobs in the outbox when the relays start."""


def all_jobs(cluster: Cluster) -> list[str]:
    """Return the UUIDs of all jobs, including those whose dispatch was not answered."""
    query = orm.Job.select(orm.Job.uuid).order_by(orm.Job.created).tuples()
    return [row[0] for row in cluster.database.read(lambda db: list(query.execute(db)))]


def in_queue(url: str, queue: str) -> int:
    """Return the number of waiting messages."""
    with Connection(url, connect_timeout=5) as connection:
        return int(connection.default_channel.queue_declare(queue, passive=True).message_count)


def kill_web_at(cluster: Cluster, point: str) -> str:
    """Dispatch to a web server that is killed at this failpoint, and return the UUID of the job that it accepted."""
    once = cluster.processes.cwd / "once"
    once.touch()
    web = cluster.processes.start_web(env={"DISPATCHER_FAILPOINTS": f"{point}@{once}"})
    try:
        answer = requests.get(f"{web.url}/dispatch/note/a", timeout=30)
    except requests.RequestException:
        pass  # After publishing, the process may be killed before or during its answer.
    else:
        assert (point, answer.status_code) == ("after-publish", 200)
    assert web.popen.wait(20) == -9
    (uuid,) = all_jobs(cluster)
    assert cluster.job(uuid).published is None
    return uuid


@pytest.mark.parametrize("point", ["after-commit", "after-publish"])
def test_job_accepted_by_a_killed_web_process_is_published_and_runs_once(
    make_cluster: MakeCluster, make_broker: Callable[[str], str], queue_name: str, point: str
) -> None:
    cluster = make_cluster("rabbitmq")
    uuid = kill_web_at(cluster, point)
    cluster.processes.start_web()
    eventually(lambda: cluster.job(uuid).published, 20)
    assert in_queue(make_broker("rabbitmq"), queue_name) == (1 if point == "after-commit" else 2)
    cluster.worker()
    assert cluster.ended(uuid).result == "a"
    if point == "after-publish":
        eventually(lambda: "DROPPED" in cluster.history(uuid))
    record = cluster.check_final([uuid])
    assert (record.times_run(uuid), len(cluster.runs("a"))) == (1, 1)


def test_worker_runs_jobs_that_a_killed_web_process_accepted(make_cluster: MakeCluster) -> None:
    """No web process is up: the worker claims the row. Of a broker, worker_result_test.py shows the same."""
    cluster = make_cluster()
    uuid = kill_web_at(cluster, "after-commit")
    cluster.worker()
    assert cluster.ended(uuid).result == "a"
    assert cluster.check_final([uuid]).times_run(uuid) == 1


def children(process: Running) -> list[int]:
    """Return the ids of the process's children."""
    path = Path(f"/proc/{process.popen.pid}/task/{process.popen.pid}/children")
    return [int(pid) for pid in path.read_text().split()]


def threads(pid: int) -> int:
    """Return the number of threads of a process."""
    return len(list(Path(f"/proc/{pid}/task").iterdir()))


def wake(web: Running) -> bool:
    """Return whether each gunicorn worker has started its relay and its upkeep, which its first request does."""
    requests.get(f"{web.url}/health/live", timeout=30)
    return all(threads(pid) >= 3 for pid in children(web))


@pytest.mark.parametrize(("broker", "database"), [("rabbitmq", kind) for kind in DATABASES])
def test_relays_with_one_outbox_publish_each_job_once(
    make_cluster: MakeCluster, make_broker: Callable[[str], str], queue_name: str, broker: str, database: str
) -> None:
    cluster = make_cluster(broker, database, republish_seconds=60, relay_batch=10)
    web = cluster.processes.start_gunicorn(workers=2)
    eventually(lambda: wake(web), 20)
    eta = now() + 2_000_000
    uuids = [cluster.add("double", number, due=eta, eta=eta) for number in range(WAITING)]
    assert len(children(web)) == 2
    unpublished = orm.Job.select().where(orm.Job.published.is_null())
    eventually(lambda: cluster.database.read(unpublished.count) == 0, 40)
    assert in_queue(make_broker(broker), queue_name) == WAITING
    cluster.worker()
    eta = now()
    uuids += [cluster.add("double", number, due=eta, eta=eta) for number in range(WAITING)]
    eventually(lambda: unfinished(cluster.database, uuids) == 0, 60, "jobs did not end")
    record = cluster.check_final(uuids)
    assert {(record.times_run(uuid), "DROPPED" in record.history[uuid]) for uuid in uuids} == {(1, False)}


def test_relays_with_one_outbox_publish_each_http_dispatch_once(make_cluster: MakeCluster) -> None:
    cluster = make_cluster("redis", republish_seconds=60)
    web = cluster.processes.start_gunicorn(workers=2)
    cluster.worker()
    stack = Stack(cluster.processes, web)
    uuids = [stack.dispatch("double", number) for number in range(WAITING)]
    eventually(lambda: unfinished(cluster.database, uuids) == 0, 60, "jobs did not end")
    record = cluster.check_final(uuids)
    assert {(record.times_run(uuid), "DROPPED" in record.history[uuid]) for uuid in uuids} == {(1, False)}
