"""A broker that is down, silent, full or killed, or that has lost its messages."""

import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager

import pytest
import redis
from kombu.connection import Connection

from pacifica.dispatcher.core.job import now

from ..e2e.stack import Stack
from ..eventually import eventually
from ..services import RABBITMQ, REDIS
from .cluster import PROGRAMS, TASKS, Cluster, MakeCluster
from .invariants import unfinished
from .servers import Server

Own = Callable[[str], Server]
RecordFigure = Callable[[str, object], None]


@contextmanager
def down(server: Server) -> Iterator[None]:
    """No process listens."""
    server.stop()
    yield
    server.start()


@contextmanager
def suspended(server: Server) -> Iterator[None]:
    """The server is frozen: the kernel accepts new connections, and neither they nor the old ones are answered."""
    server.suspend()
    yield
    server.resume()


@contextmanager
def alarmed(server: Server) -> Iterator[None]:
    """RabbitMQ accepts no messages, as its memory limit is reached."""
    server.run("rabbitmqctl", "set_vm_memory_high_watermark", "0.00001")
    yield
    server.run("rabbitmqctl", "set_vm_memory_high_watermark", "0.4")


AWAY = [
    *((RABBITMQ, fault) for fault in (down, suspended, alarmed)),
    *((REDIS, fault) for fault in (down, suspended)),
]


def waiting(stack: Stack) -> int:
    """Return how many accepted jobs wait for the broker."""
    return int(stack.get("/health/ready").json()["outbox"]["waiting"])


AT_ONCE = 250
"""Milliseconds in which a dispatch is answered, whatever the broker does."""
IN_TIME = 0.95
"""The share of dispatches for which this holds; the others may wait for a processor or a disk that other tests use."""
AFTER_RETURN = 5
"""Seconds after the broker's return in which all waiting jobs are published."""


def published_after(cluster: Cluster, uuids: list[str], back: int) -> float:
    """Return the seconds from a moment (in microseconds) until the last of these jobs was published."""
    published = [cluster.job(uuid).published for uuid in uuids]
    assert None not in published
    return (max(moment for moment in published if moment is not None) - back) / 1_000_000


def dispatch_timed(stack: Stack, times: int) -> tuple[list[str], list[float]]:
    """Dispatch so often; return the UUIDs and how many milliseconds each answer took."""
    uuids, took = [], []
    for number in range(times):
        begin = time.perf_counter()
        uuids.append(stack.dispatch("double", number))
        took.append((time.perf_counter() - begin) * 1000)
    return uuids, took


def test_idle_process_notices_that_the_broker_leaves_and_returns(make_cluster: MakeCluster, own_broker: Own) -> None:
    server = own_broker("redis")
    cluster = make_cluster(server.url)
    server.stop()
    stack = Stack(cluster.processes, cluster.processes.start_gunicorn(workers=2))

    def seen() -> set[str]:
        """Return the verdicts of several requests, each of which one of the two processes answers."""
        return {stack.get("/health/ready").json()["checks"]["broker"]["verdict"] for _ in range(8)}

    eventually(lambda: seen() == {"degraded"}, 20)
    server.start()
    eventually(lambda: seen() == {"ok"}, 20)


@pytest.mark.parametrize(("kind", "fault"), AWAY)
def test_jobs_accepted_while_the_broker_is_away_are_published_later(
    make_cluster: MakeCluster,
    own_broker: Own,
    kind: str,
    fault: Callable[[Server], Iterator[None]],
    record_figure: RecordFigure,
) -> None:
    server = own_broker(kind)
    cluster = make_cluster(server.url, relay_interval=1)
    stack = Stack(cluster.processes, cluster.processes.start_web())
    before = stack.dispatch("double", 1)
    eventually(lambda: cluster.job(before).published, 20)
    with fault(server):
        uuids, took = dispatch_timed(stack, 20)
        ready = eventually(lambda: seen if (seen := stack.get("/health/ready").json())["broker"] != "ok" else None, 20)
        assert (ready["status"], ready["database"]) == ("degraded", "ok")
        more, again = dispatch_timed(stack, 20)
        eventually(lambda: waiting(stack) == 40)
        assert {cluster.job(uuid).state for uuid in uuids + more} == {"PENDING"}
    back = now()
    took += again
    record_figure("dispatch ms, median", round(statistics.median(took), 1))
    record_figure("dispatch ms, longest", round(max(took), 1))
    assert sum(one < AT_ONCE for one in took) >= IN_TIME * len(took), sorted(took)
    assert max(took) < 4 * AT_ONCE, sorted(took)
    eventually(lambda: waiting(stack) == 0, 15, "the outbox is not published")
    record_figure("published after s", round(published_after(cluster, uuids + more, back), 2))
    assert published_after(cluster, uuids + more, back) < AFTER_RETURN
    eventually(lambda: stack.get("/health/ready").json()["broker"] == "ok")
    cluster.worker("-P", "solo")
    uuids += [before, *more]
    eventually(lambda: unfinished(cluster.database, uuids) == 0, 40, "jobs did not end")
    assert {job.state for job in cluster.check_final(uuids).jobs.values()} == {"SUCCESS"}


@pytest.mark.parametrize("kind", [RABBITMQ, REDIS])
def test_published_jobs_survive_a_killed_broker(
    make_cluster: MakeCluster, own_broker: Own, queue_name: str, kind: str, record_figure: RecordFigure
) -> None:
    server = own_broker(kind)
    cluster = make_cluster(server.url)
    uuids = [cluster.add("double", number) for number in range(30)]
    cluster.worker("-Q", f"{queue_name},{queue_name}-apart")
    held = [cluster.add("hold", "held") for _ in range(2)]
    cluster.until_run("held", 2)
    uuids += [cluster.add("double", number) for number in range(40)]
    uuids += [cluster.add("double", number, queue=f"{queue_name}-apart", priority=9) for number in range(40)]
    eventually(lambda: cluster.job(uuids[-1]).published, 20)
    server.kill()
    server.start()
    back = time.monotonic()
    cluster.release("held")
    for uuid in held + uuids:
        assert cluster.ended(uuid, 40).state == "SUCCESS"
    record_figure("all ended after s", round(time.monotonic() - back, 2))
    record = cluster.check_final(held + uuids)
    assert {record.times_run(uuid) for uuid in held + uuids} == {1}
    assert len(cluster.runs("held")) == 2


def test_running_job_ends_while_the_broker_is_away(make_cluster: MakeCluster, own_broker: Own) -> None:
    """The main process reads its outcome from the pool, and stores it, while it waits for the broker."""
    server = own_broker(RABBITMQ)
    cluster = make_cluster(server.url)
    worker = cluster.worker(concurrency=1)
    uuid = cluster.add("hold", "held")
    cluster.until_run("held")
    server.kill()
    worker.wait_until_it_says("Cannot connect to amqp")
    cluster.release("held")
    assert cluster.ended(uuid, 20).state == "SUCCESS"
    server.start()
    assert cluster.ended(cluster.add("note", "after"), 60).result == "after"
    cluster.check_final([uuid])


def lose_on_rabbitmq(url: str, queue: str, *, delete: bool) -> None:
    with Connection(url, connect_timeout=5) as connection, connection.channel() as channel:
        (channel.queue_delete if delete else channel.queue_purge)(queue)


def lose(url: str, queue: str, how: str) -> None:
    """Delete the messages in the queue, or the queue itself, without a notice to anyone."""
    if url.startswith("redis"):
        with closing(redis.Redis.from_url(url, socket_timeout=5)) as client:
            client.flushall()
    else:
        lose_on_rabbitmq(url, queue, delete=how == "deleted")


@pytest.mark.parametrize(
    ("kind", "how", "busy"),
    [
        (RABBITMQ, "purged", False),
        (RABBITMQ, "deleted", True),
        (REDIS, "flushed", False),
        (REDIS, "flushed", True),
    ],
)
def test_messages_that_the_broker_lost_are_published_again(
    make_cluster: MakeCluster,
    own_broker: Own,
    queue_name: str,
    kind: str,
    how: str,
    busy: bool,
    record_figure: RecordFigure,
) -> None:
    url = own_broker(kind).url
    cluster = make_cluster(url, lease_seconds=3)
    held = []
    if busy:
        cluster.worker()
        held = [cluster.add("hold", "held") for _ in range(2)]
        cluster.until_run("held", 2)
    else:
        cluster.processes.start_web()
    uuids = [cluster.add("double", number) for number in range(60)]
    eventually(lambda: all(cluster.job(uuid).published for uuid in uuids), 20)
    lose(url, queue_name, how)
    lost = time.monotonic()
    cluster.release("held")
    if not busy:
        cluster.worker()
    for uuid in held + uuids:
        assert cluster.ended(uuid, 40).state == "SUCCESS"
    record_figure("all ended after s", round(time.monotonic() - lost, 2))
    record = cluster.check_final(held + uuids)
    assert {record.times_run(uuid) for uuid in held + uuids} == {1}
    assert len(cluster.runs("held")) == len(held)


class RedisQueue:
    """The messages in the lists of a queue on Redis, one list for each priority."""

    def __init__(self, url: str, name: str) -> None:
        self._client = redis.Redis.from_url(url, socket_timeout=5)
        self._name = name

    def close(self) -> None:
        self._client.close()

    def count(self, task: str = "") -> int:
        """Return the number of messages, of a task or of all."""
        return len(self._messages(task))

    def forget(self, task: str) -> None:
        """Delete the messages of a task."""
        for key, message in self._messages(task):
            self._client.lrem(key, 1, message)

    def _messages(self, task: str) -> list[tuple[bytes, bytes]]:
        lists = {key: self._client.lrange(key, 0, -1) for key in self._client.scan_iter(f"{self._name}*")}
        return [(key, one) for key, found in lists.items() for one in found if f'"{task}"' in one.decode() or not task]


@pytest.fixture
def queue(redis_url: str, queue_name: str) -> Iterator[RedisQueue]:
    """The queue of the test on Redis."""
    with closing(RedisQueue(redis_url, queue_name)) as opened:
        yield opened


def test_lost_messages_of_a_busy_queue_are_published_again(make_cluster: MakeCluster, queue: RedisQueue) -> None:
    cluster = make_cluster("redis")
    cluster.processes.start_web()
    lost = [cluster.add("note", "a") for _ in range(5)]
    others = [cluster.add("double", number) for number in range(20)]
    eventually(lambda: all(cluster.job(uuid).published for uuid in lost + others), 20)
    assert (queue.count("note"), queue.count()) == (5, 25)
    queue.forget("note")
    eventually(lambda: queue.count("note") == 5, 20)
    assert queue.count() == 25


def test_messages_that_wait_in_another_queue_are_not_published_again(
    make_cluster: MakeCluster, queue: RedisQueue, queue_name: str
) -> None:
    cluster = make_cluster("redis", republish_seconds=0.5, lease_seconds=0.6, tasks=f"{TASKS.stem}, queue_tasks")
    cluster.processes.add_module(PROGRAMS / "queue_tasks.py")
    cluster.processes.env["TEST_QUEUE"] = f"{queue_name}-apart"
    cluster.processes.start_web()
    uuids = [cluster.add("apart", number) for number in range(5)]
    uuids += [cluster.add("double", number, queue=f"{queue_name}-apart", priority=9) for number in range(5)]
    eventually(lambda: queue.count() == 10, 20)
    # The check that finds this lost message would also republish the others, if it counted them as lost.
    lost = cluster.add("note", "a")
    eventually(lambda: queue.count("note"), 20)
    for _ in range(2):
        queue.forget("note")
        eventually(lambda: queue.count("note"), 20)
    assert queue.count() == 11
    cluster.worker("-Q", f"{queue_name},{queue_name}-apart")
    assert [cluster.ended(uuid).state for uuid in (lost, *uuids)] == ["SUCCESS"] * 11
    cluster.check_final([lost, *uuids])
