"""Messages that are not ours on the dispatcher's queue: plain Celery messages are jobs, and others end no worker."""

import json
import signal
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from celery import Celery, chain, group
from kombu import Producer

from pacifica.dispatcher.core.job import new_uuid
from pacifica.dispatcher.store.event_counts import CountKey, EventCountStore

from ..eventually import eventually
from ..processes import Running
from ..services import BROKERS, RABBITMQ, REDIS
from .cluster import Cluster, MakeCluster

EXTRA_TASK = """
from pacifica.dispatcher import task

@task(name="extra.double")
def double(number: int) -> int:
    return 2 * number
"""
PLAIN_TASK = """
from celery import shared_task
from fault_tasks import hold as own

@shared_task(name="extra.hold")
def hold(name):
    return own.run(name)
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
LOSE_CONNECTION = """
from celery.worker import loops

asynloop, calls = loops.asynloop, []

def lose_the_first(*args, **options):
    calls.append(1)
    if len(calls) == 1:
        raise ConnectionResetError
    return asynloop(*args, **options)

loops.asynloop = lose_the_first
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


class Trap:
    """Loading its pickle leaves the file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return Path.touch, (self.path,)


def poison(app: Celery, queue: str, trap: Trap) -> int:
    """Publish messages that no worker can use, and return how many."""
    app.send_task("note", [trap], queue=queue, serializer="pickle", argsrepr="")
    with app.connection_for_write() as connection, connection.channel() as channel:
        producer = Producer(channel, auto_declare=False)
        for body, headers in POISON:
            content = {"content_type": "application/json", "content_encoding": "utf-8"}
            producer.publish(body, exchange="", routing_key=queue, headers=headers, **content)
        if connection.transport.driver_type != "redis":
            return len(POISON) + 1
        for item in NO_MESSAGES:
            channel.client.lpush(queue, item)
        return len(POISON) + 1 + len(NO_MESSAGES)


def refused(cluster: Cluster) -> int:
    counts = EventCountStore(cluster.database).load().counts
    found = counts.get(CountKey(None, "REFUSED_MESSAGE", None))
    return found.events if found else 0


@pytest.mark.parametrize("broker", BROKERS)
def test_plain_messages_are_jobs_and_poison_ends_no_worker(
    make_cluster: MakeCluster, queue_name: str, broker: str
) -> None:
    """On RabbitMQ the other program is the first, and declares the queue without priorities."""
    cluster = make_cluster(broker)
    app, trap = cluster.other_program(), Trap(cluster.processes.cwd / "loaded")
    app.conf.task_queue_max_priority = None
    calls = {"note": ["a"], "nap": ["long"], "measure": ["x" * 1_500_000], "double": [1, 2], "backoff": ["b", 1]}
    uuids = {name: app.send_task(name, args, ignore_result=True).id for name, args in calls.items()}
    later_uuid = app.send_task("note", ["later"], countdown=600).id
    double = partial(app.signature, "double", queue=queue_name)
    linked = double([3], link=double(task_id=new_uuid())).apply_async()
    chained = chain(double([4]), double(), double()).apply_async()
    both = group(double([5]), double([6])).apply_async()
    unusable = poison(app, queue_name, trap)
    app.close()
    cluster.release("b")
    worker = cluster.worker()
    ended = {name: cluster.ended(uuid) for name, uuid in uuids.items()}
    note, retried = ended["note"], ended["backoff"]
    assert (note.state, note.result, note.args, note.attempt) == ("SUCCESS", "a", ["a"], 1)
    assert (retried.state, retried.result, retried.attempt, len(cluster.runs("b"))) == ("SUCCESS", 1, 2, 2)
    for name in ("nap", "measure", "double"):
        assert (ended[name].state, ended[name].error and ended[name].error.type) == ("FAILURE", "BadArguments")
    eventually(lambda: cluster.jobs.get(chained.id), 20, "the chain was not continued")
    results = [cluster.ended(uuid).result for uuid in (linked.id, chained.parent.parent.id, chained.id)]
    assert results == [6, 8, 32]
    assert [cluster.ended(member.id).result for member in both.results] == [10, 12]
    assert cluster.jobs.events(note.uuid)[0].data == {"origin": "message"}
    later = eventually(lambda: cluster.jobs.get(later_uuid), 20)
    assert (later.state, later.eta, worker.popen.poll()) == ("PENDING", later.due, None), "it waits in the record"
    # One that the worker had received before it connected again is delivered, and counted, twice.
    eventually(lambda: refused(cluster) >= unusable, 20, "not every message was refused")
    assert cluster.ended(cluster.add("note", "last")).result == "last"
    assert worker.popen.poll() is None
    output = worker.output()
    assert ("exists with other arguments" in output) == (broker == RABBITMQ)
    assert "its content type 'application/x-python-serialize' is not read" in output
    assert not trap.path.exists()
    cluster.check_final([*uuids.values(), linked.id, chained.id])


@pytest.mark.parametrize(
    ("broker", "database"), [("rabbitmq", "sqlite"), ("redis", "postgresql"), ("rabbitmq", "mysql")]
)
def test_message_of_a_worker_killed_before_its_commit_runs_once_on_another(
    make_cluster: MakeCluster, broker: str, database: str
) -> None:
    soon = {"visibility_timeout": 1, "unacked_restore_interval": 1, "unacked_restore_throttle": 1}
    own = {"celery": {"broker_transport_options": json.dumps(soon)}} if broker == REDIS else {}
    cluster = make_cluster(broker, database, **own)
    once = cluster.processes.cwd / "once"
    once.touch()
    worker = cluster.worker(concurrency=1, env={"DISPATCHER_FAILPOINTS": f"after-insert@{once}"})
    uuid = cluster.other_program().send_task("note", ["a"]).id
    assert worker.popen.wait(15) == -signal.SIGKILL
    assert cluster.jobs.get(uuid) is None
    cluster.worker(concurrency=1)
    eventually(lambda: cluster.jobs.get(uuid), 20, "the message was not delivered again")
    job = cluster.ended(uuid)
    assert (job.state, job.attempt, len(cluster.runs("a"))) == ("SUCCESS", 1, 1)
    assert cluster.jobs.events(uuid)[0].data == {"origin": "message", "redelivered": True}
    cluster.check_final([uuid])


def test_plain_task_without_acks_late_never_runs_twice(make_cluster: MakeCluster) -> None:
    """As with Celery, whose worker acknowledges the message before it begins; here the job says so."""
    cluster = make_cluster("rabbitmq")
    add_task_module(cluster, PLAIN_TASK)
    worker = cluster.worker(concurrency=1)
    uuid = cluster.other_program().send_task("extra.hold", ["a"]).id
    cluster.until_run("a")
    worker.kill()
    cluster.release("a")
    cluster.worker(concurrency=1)
    job = cluster.ended(uuid)
    assert (job.state, job.error and job.error.type, job.max_attempts) == ("FAILURE", "WorkerLostError", 1)
    eventually(lambda: "DROPPED" in cluster.history(uuid), 20, "the message was not delivered again")
    assert len(cluster.runs("a")) == 1
    cluster.check_final([uuid])


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


def test_worker_whose_connection_is_lost_before_its_event_loop_begins_runs_jobs(make_cluster: MakeCluster) -> None:
    cluster = make_cluster("rabbitmq")
    add_task_module(cluster, LOSE_CONNECTION)
    worker = cluster.worker(concurrency=1)
    assert cluster.ended(cluster.add("note", "a")).result == "a"
    assert "Connection to broker lost" in worker.output()
