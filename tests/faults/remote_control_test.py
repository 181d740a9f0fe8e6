"""Celery's remote control and events, as its users know them; the tests for a broker share one worker."""

import re
import threading
import uuid
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest

from pacifica.dispatcher.config.load import load_settings
from pacifica.dispatcher.container import Container

from ..eventually import eventually
from ..processes import Processes, Running
from ..services import RABBITMQ, TABLE, forget_queue, require
from .cluster import Cluster
from .worker_batch_test import ROUNDS, SHORT, add_at_once, warm_up


class Controlled:
    """A worker of two processes, and an application that controls it."""

    def __init__(self, cluster: Cluster, worker: Running, app: Any, *, rows: bool) -> None:
        self.cluster = cluster
        self.rows = rows
        self.worker = worker
        self.app = app
        found = re.search(r"(\S+@\S+) ready", worker.output())
        assert found is not None
        self.name = found[1]

    def ask(self, command: str, **arguments: Any) -> Any:
        """Send a command, and return the worker's answer."""
        asked = self.app.control.broadcast(
            command, arguments=arguments, reply=True, destination=[self.name], limit=1, timeout=20
        )
        return asked[0][self.name]

    def until_active(self, job: str, pid: int) -> None:
        """Wait until the worker answers that it runs this job alone, in this process."""
        eventually(lambda: [(one["id"], one["worker_pid"]) for one in self.ask("active")] == [(job, pid)])


@pytest.fixture(scope="module", params=[TABLE, RABBITMQ])
def controlled(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Controlled]:
    """A worker for the tests of a broker."""
    folder, queue = tmp_path_factory.mktemp("controlled"), f"test-{uuid.uuid4().hex}"
    broker = "database://" if request.param == TABLE else require(RABBITMQ)
    database = f"sqliteext:///{folder}/db.sqlite3"
    with Processes(folder, measured=False) as processes:
        cluster = Cluster.set_up(processes, database, broker, queue, lease_seconds=20)
        worker = cluster.worker(concurrency=2)
        container = Container(lambda: load_settings(environ={"PEEWEE_URL": database, "BROKER_URL": broker}))
        with closing(cluster), closing(container.database):
            yield Controlled(cluster, worker, container.app, rows=request.param == TABLE)
            container.app.close()
        for process in processes.running:
            process.kill()  # The tests are over, and a clean stop takes seconds.
    if request.param == RABBITMQ:
        forget_queue(queue, "")
        forget_queue(f"{queue}-other", "")


def test_pool_grows_and_shrinks_between_jobs(controlled: Controlled) -> None:
    cluster = controlled.cluster
    uuids = [cluster.add("hold", "grown") for _ in range(4)]
    cluster.until_run("grown", 2)
    assert controlled.ask("pool_grow", n=2) == {"ok": "pool will grow"}
    cluster.until_run("grown", 4)
    assert "All processes busy" in controlled.ask("pool_shrink", n=1)["error"]
    cluster.release("grown")
    for one in uuids:
        cluster.ended(one)
    assert controlled.ask("pool_shrink", n=2) == {"ok": "pool will shrink"}
    eventually(lambda: len(controlled.ask("stats")["pool"]["processes"]) == 2)
    uuids += [cluster.add(*SHORT) for _ in range(20)]
    assert {(job.state, job.attempt) for job in map(cluster.ended, uuids)} == {("SUCCESS", 1)}
    cluster.check_final(uuids)


def test_rate_limit_is_changed_for_jobs_that_wait(controlled: Controlled) -> None:
    cluster = controlled.cluster
    assert controlled.ask("rate_limit", task_name="echo", rate_limit="10/s") == {
        "ok": "new rate limit set successfully"
    }
    uuids = [cluster.add("echo", "limited") for _ in range(16)]
    others = [cluster.add("note", "free") for _ in range(4)]
    jobs = [cluster.ended(one) for one in uuids]
    started = sorted(job.started or 0 for job in jobs)
    assert 1.3 < (started[-1] - started[0]) / 1_000_000 < 6
    assert {(job.state, job.attempt) for job in [*jobs, *map(cluster.ended, others)]} == {("SUCCESS", 1)}
    if controlled.rows:
        assert max(cluster.job(one).finished or 0 for one in others) < started[8], "they wait for no limit"
    assert controlled.ask("rate_limit", task_name="echo", rate_limit=0) == {"ok": "rate limit disabled successfully"}


def test_job_that_turned_long_in_a_shared_message_is_found_and_terminated(controlled: Controlled) -> None:
    cluster = controlled.cluster
    for number in range(ROUNDS):
        warm_up(cluster)
        total = controlled.ask("stats")["total"]["mixed"]
        name = f"long{number}"
        uuids = add_at_once(cluster, controlled.worker, [SHORT, ("mixed", name, "wait"), *[SHORT] * 30])
        cluster.until_run(name)
        controlled.until_active(uuids[1], cluster.runs(name)[0])
        assert controlled.ask("query_task", ids=uuids)[uuids[1]][0] == "active"
        assert controlled.ask("scheduled") == []
        for one in [*uuids[:1], *uuids[2:]]:
            assert cluster.ended(one).state == "SUCCESS"
        assert controlled.ask("stats")["total"]["mixed"] == total + len(uuids)
        assert controlled.ask("terminate", signal="SIGTERM", task_id=[uuids[1]]) == {"ok": f"terminate: {uuids[1]}"}
        assert cluster.ended(uuids[1]).state == "REVOKED"
        assert (controlled.ask("active"), controlled.ask("reserved")) == ([], [])
        cluster.check_final(uuids)
        if any("RETURNED" in cluster.history(one) for one in uuids):
            return
    raise AssertionError("no message was shared")


def test_consumption_of_a_queue_is_added_and_cancelled(controlled: Controlled) -> None:
    cluster, other = controlled.cluster, f"{controlled.cluster.queue}-other"
    there = {"queue": other, "target_queue": other}
    elsewhere = cluster.add("note", "elsewhere", **there)
    controlled.ask("add_consumer", queue=other)
    assert cluster.ended(elsewhere).attempt == 1
    controlled.ask("cancel_consumer", queue=cluster.queue)
    eventually(lambda: [one["name"] for one in controlled.ask("active_queues")] == [other])
    waiting = [cluster.add("note", "left") for _ in range(3)]
    cluster.ended(cluster.add("note", "elsewhere", **there))
    assert cluster.runs("left") == []
    controlled.ask("add_consumer", queue=cluster.queue)
    controlled.ask("cancel_consumer", queue=other)
    assert [cluster.ended(one).attempt for one in waiting] == [1] * 3
    cluster.check_final([elsewhere, *waiting])


def test_events_of_tasks_are_enabled_and_sent_for_each_step(controlled: Controlled) -> None:
    cluster, events = controlled.cluster, []
    assert controlled.ask("enable_events") == {"ok": "task events enabled"}
    with controlled.app.connection_for_read() as connection:
        receiver = controlled.app.events.Receiver(connection, handlers={"*": events.append})
        thread = threading.Thread(target=lambda: receiver.capture(limit=None, timeout=None, wakeup=False), daemon=True)
        thread.start()
        eventually(lambda: events)
        uuids = [cluster.add("note", "watched"), cluster.add("poison", "nothing"), cluster.add("raises", "local")]
        for one in uuids:
            cluster.ended(one)
        eventually(lambda: sum(event["type"] in {"task-succeeded", "task-failed"} for event in events) == 3)
        receiver.should_stop = True
        thread.join(20)
    kinds = [[event["type"] for event in events if event.get("uuid") == one] for one in uuids]
    assert kinds == [["task-received", "task-started", f"task-{end}"] for end in ("succeeded", "succeeded", "failed")]
    assert controlled.ask("disable_events") == {"ok": "task events disabled"}
