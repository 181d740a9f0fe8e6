"""Messages that are not ours on the dispatcher's queue: plain Celery messages are jobs, and others end no worker."""

from pathlib import Path
from typing import Any

import pytest
from celery import Celery
from kombu import Producer

from pacifica.dispatcher.delivery.database_transport import DRIVER
from pacifica.dispatcher.store.event_counts import CountKey, EventCountStore

from ..eventually import eventually
from ..processes import Running
from ..services import BROKERS, RABBITMQ
from .cluster import Cluster, MakeCluster

EXTRA_TASK = """
from pacifica.dispatcher import task

@task(name="extra.double")
def double(number: int) -> int:
    return 2 * number
"""
KILL_FIRST_CHILD = """
import os, signal
from pathlib import Path
from celery.signals import worker_process_init

@worker_process_init.connect
def kill_the_first(**_):
    try:
        Path("killed").touch(exist_ok=False)
    except FileExistsError:
        return
    os.kill(os.getpid(), signal.SIGKILL)
"""


NO_JOB = "00000000-0000-4000-8000-000000000000"
POISON: list[tuple[bytes, dict[str, str]]] = [
    (b'"x"', {"id": NO_JOB, "task": "note"}),
    (b"null", {"id": NO_JOB, "task": "note"}),
    (b"\xff\xfe", {"id": NO_JOB, "task": "note"}),
    (b"[[], {}, {}]", {}),
    (b"[[], {}, {}]", {"task": "note"}),
    (b"[[], {}, {}]", {"id": NO_JOB, "task": "note", "timelimit": "soon"}),
    (b"[[], {}, {}]", {"id": NO_JOB, "task": "note"}),  # As the relay writes it, for a job that does not exist.
]
NO_MESSAGES = [b"x", b"{}", b'{"properties": {"delivery_tag": "1"}, "headers": "x", "body": "x"}']
"""Items of a Redis list that kombu cannot read."""


def other_program(cluster: Cluster, url: str) -> Celery:
    """An application with Celery's defaults, which knows nothing of the dispatcher but its broker."""
    app = Celery(broker=url, set_as_current=False)
    if app.connection_for_write().get_transport_cls().driver_name == DRIVER:
        app.conf.broker_transport_options = {"database": cluster.database}
    return app


def poison(app: Celery, queue: str) -> int:
    """Publish messages that no worker can use, and return how many."""
    with app.connection_for_write() as connection, connection.channel() as channel:
        producer = Producer(channel, auto_declare=False)
        for body, headers in POISON:
            content = {"content_type": "application/json", "content_encoding": "utf-8"}
            producer.publish(body, exchange="", routing_key=queue, headers=headers, **content)
        if connection.transport.driver_type != "redis":
            return len(POISON)
        for item in NO_MESSAGES:
            channel.client.lpush(queue, item)
        return len(POISON) + len(NO_MESSAGES)


def refused(cluster: Cluster) -> int:
    counts = EventCountStore(cluster.database).load().counts
    found = counts.get(CountKey(None, "REFUSED_MESSAGE", None))
    return found.events if found else 0


@pytest.mark.parametrize("broker", BROKERS)
def test_plain_messages_are_jobs_and_poison_ends_no_worker(
    make_cluster: MakeCluster, make_broker: Any, queue_name: str, broker: str
) -> None:
    """On RabbitMQ the other program is the first, and declares the queue without priorities."""
    url = make_broker(broker)
    cluster = make_cluster(url)
    app = other_program(cluster, url)
    calls = {"note": ["a"], "nap": ["long"]}
    uuids = {name: app.send_task(name, args, queue=queue_name, ignore_result=True).id for name, args in calls.items()}
    uuids["later"] = app.send_task("note", ["later"], queue=queue_name, countdown=600).id
    unusable = poison(app, queue_name)
    app.close()
    worker = cluster.worker()
    note, bad = cluster.ended(uuids["note"]), cluster.ended(uuids["nap"])
    assert (note.state, note.result, note.args, note.attempt) == ("SUCCESS", "a", ["a"], 1)
    assert (bad.state, bad.error and bad.error.type) == ("FAILURE", "BadArguments")
    later = eventually(lambda: cluster.jobs.get(uuids["later"]), 20)
    assert (later.state, later.eta, worker.popen.poll()) == ("PENDING", later.due, None), "it waits in the record"
    # One that the worker had received before it connected again is delivered, and counted, twice.
    eventually(lambda: refused(cluster) >= unusable, 20, "not every message was refused")
    assert cluster.ended(cluster.add("note", "last")).result == "last"
    assert worker.popen.poll() is None
    assert ("exists with other arguments" in worker.output()) == (broker == RABBITMQ)
    cluster.check_final([uuids["note"], uuids["nap"]])


def add_task_module(cluster: Cluster, text: str) -> None:
    """Give the workers that start from now on one more module of tasks."""
    folder: Path = cluster.processes.cwd
    (folder / "extra.py").write_text(text)
    config = folder / "config.ini"
    config.write_text(config.read_text().replace("tasks = fault_tasks", "tasks = fault_tasks, extra"))


def test_job_says_that_no_worker_has_its_task_and_runs_on_one_that_has(make_cluster: MakeCluster) -> None:
    cluster = make_cluster(republish_seconds=0.5)
    lacking: Running = cluster.worker("-P", "solo")
    uuid = cluster.add("extra.double", 4)
    job = eventually(lambda: found if (found := cluster.job(uuid)).error else None, 20, "the job does not say why")
    assert job.error is not None
    assert (job.state, job.error.type) == ("PENDING", "UnknownTask")
    assert "has no task extra.double. The job waits for a worker that has it." in job.error.message
    due = job.due or 0
    eventually(lambda: (cluster.job(uuid).due or 0) > due, 20, "no worker has looked at it again")
    lacking.stop()
    add_task_module(cluster, EXTRA_TASK)
    cluster.worker("-P", "solo")
    job = cluster.ended(uuid)
    assert (job.state, job.result, job.error) == ("SUCCESS", 8, None)
    assert cluster.history(uuid) == ["PENDING", "LACKS_TASK", "STARTED", "SUCCESS"], "it is said once"


def test_child_killed_while_a_worker_starts_is_replaced(make_cluster: MakeCluster) -> None:
    cluster = make_cluster()
    add_task_module(cluster, KILL_FIRST_CHILD)
    worker = cluster.worker(concurrency=1)
    assert cluster.ended(cluster.add("note", "a")).result == "a"
    assert "signal 9" in worker.output()
