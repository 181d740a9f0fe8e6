"""A broker that is away, silent, full, killed, or that has lost what it was given."""

import socket
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager

import pytest
import redis
from kombu.connection import Connection

from pacifica.dispatcher import orm
from pacifica.dispatcher.core.job import now

from ..e2e.stack import Stack
from ..eventually import eventually
from ..services import RABBITMQ, REDIS, TABLE
from .bench import Bench, Make
from .invariants import unfinished
from .servers import Server

Own = Callable[[str], Server]
Note = Callable[[str, object], None]


@contextmanager
def down(server: Server) -> Iterator[None]:
    """Nobody listens."""
    server.stop()
    yield
    server.start()


@contextmanager
def silent(server: Server) -> Iterator[None]:
    """Somebody accepts connections and never says a word."""
    server.stop()
    port = int(server.url.split("127.0.0.1:")[1].split("/")[0])
    with socket.create_server(("127.0.0.1", port)):
        yield
    server.start()


@contextmanager
def suspended(server: Server) -> Iterator[None]:
    """The process is stopped in the middle of what it does."""
    server.suspend()
    yield
    server.resume()


@contextmanager
def alarmed(server: Server) -> Iterator[None]:
    """RabbitMQ takes nothing more, as its memory is used up."""
    server.run("rabbitmqctl", "set_vm_memory_high_watermark", "0.00001")
    yield
    server.run("rabbitmqctl", "set_vm_memory_high_watermark", "0.4")


AWAY = [
    *((RABBITMQ, fault) for fault in (down, silent, suspended, alarmed)),
    *((REDIS, fault) for fault in (down, silent, suspended)),
]


def waiting(stack: Stack) -> int:
    """How many accepted jobs wait for the broker."""
    return int(stack.get("/health/ready").json()["outbox"]["waiting"])


AT_ONCE = 250
"""Milliseconds in which a dispatch is answered, whatever the broker does."""
SPARED = 0.95
"""How many of them must be: the others may wait for a processor or a disk that is busy with other tests."""
AFTER_RETURN = 5
"""Seconds after the broker's return in which all that waited for it is sent."""


def sent_after(bench: Bench, uuids: list[str], back: int) -> float:
    """The seconds from a moment (in microseconds) until the record says that the last of these jobs was sent."""
    sent = [bench.job(uuid).published for uuid in uuids]
    assert None not in sent
    return (max(moment for moment in sent if moment is not None) - back) / 1_000_000


def dispatch_timed(stack: Stack, times: int) -> tuple[list[str], list[float]]:
    """Dispatch so often; the UUIDs, and how long each answer took, in milliseconds."""
    uuids, took = [], []
    for number in range(times):
        begin = time.perf_counter()
        uuids.append(stack.dispatch("double", number))
        took.append((time.perf_counter() - begin) * 1000)
    return uuids, took


def test_who_has_nothing_to_send_sees_the_broker_go_and_return(make_bench: Make, own_broker: Own) -> None:
    server = own_broker("redis")
    bench = make_bench(server.url)
    server.stop()
    stack = Stack(bench.processes, bench.processes.start_gunicorn(workers=2))

    def seen() -> set[str]:
        """What several looks find: each is answered by one of the two processes."""
        return {stack.get("/health/ready").json()["checks"]["broker"]["verdict"] for _ in range(8)}

    eventually(lambda: seen() == {"degraded"}, 20)
    server.start()
    eventually(lambda: seen() == {"ok"}, 20)


@pytest.mark.parametrize(("kind", "fault"), AWAY)
def test_jobs_accepted_while_the_broker_is_away_wait_and_are_sent_on_its_return(
    make_bench: Make, own_broker: Own, kind: str, fault: Callable[[Server], Iterator[None]], note: Note
) -> None:
    server = own_broker(kind)
    bench = make_bench(server.url, relay_interval=1)
    stack = Stack(bench.processes, bench.processes.start_web())
    before = stack.dispatch("double", 1)
    eventually(lambda: bench.job(before).published, 20)
    with fault(server):
        uuids, took = dispatch_timed(stack, 20)
        ready = eventually(lambda: seen if (seen := stack.get("/health/ready").json())["broker"] != "ok" else None, 20)
        assert (ready["status"], ready["database"]) == ("degraded", "ok")
        more, again = dispatch_timed(stack, 20)
        eventually(lambda: waiting(stack) == 40)
        assert {bench.job(uuid).state for uuid in uuids + more} == {"PENDING"}
    back = now()
    took += again
    note("dispatch ms, median", round(statistics.median(took), 1))
    note("dispatch ms, longest", round(max(took), 1))
    assert sum(one < AT_ONCE for one in took) >= SPARED * len(took), sorted(took)
    assert max(took) < 4 * AT_ONCE, sorted(took)
    eventually(lambda: waiting(stack) == 0, 15, "the outbox is not sent")
    note("sent after s", round(sent_after(bench, uuids + more, back), 2))
    assert sent_after(bench, uuids + more, back) < AFTER_RETURN
    eventually(lambda: stack.get("/health/ready").json()["broker"] == "ok")
    bench.worker("-P", "solo")
    uuids += [before, *more]
    eventually(lambda: unfinished(bench.database, uuids) == 0, 40, "jobs do not end")
    assert {job.state for job in bench.once_final(uuids).jobs.values()} == {"SUCCESS"}


@pytest.mark.parametrize("kind", [RABBITMQ, REDIS])
def test_jobs_that_were_sent_survive_a_broker_that_is_killed(
    make_bench: Make, own_broker: Own, queue_name: str, kind: str, note: Note
) -> None:
    server = own_broker(kind)
    bench = make_bench(server.url)
    uuids = [bench.add("double", number) for number in range(30)]
    bench.worker("-Q", f"{queue_name},{queue_name}-apart")
    held = [bench.add("hold", "held") for _ in range(2)]
    bench.until_run("held", 2)
    uuids += [bench.add("double", number) for number in range(40)]
    uuids += [bench.add("double", number, queue=f"{queue_name}-apart", priority=9) for number in range(40)]
    eventually(lambda: bench.job(uuids[-1]).published, 20)
    server.kill()
    server.start()
    back = time.monotonic()
    bench.let_go("held")
    for uuid in held + uuids:
        assert bench.ended(uuid, 40).state == "SUCCESS"
    note("all ended after s", round(time.monotonic() - back, 2))
    record = bench.once_final(held + uuids)
    assert {record.times_run(uuid) for uuid in held + uuids} == {1}
    assert len(bench.runs("held")) == 2


def lose_on_rabbitmq(url: str, queue: str, *, delete: bool) -> None:
    with Connection(url, connect_timeout=5) as connection, connection.channel() as channel:
        (channel.queue_delete if delete else channel.queue_purge)(queue)


def lose(bench: Bench, url: str, queue: str, how: str) -> None:
    """Take from the broker what waits in its queue, or the queue itself, and tell nobody."""
    if url.startswith("redis"):
        with closing(redis.Redis.from_url(url, socket_timeout=5)) as client:
            client.flushall()
    elif url.startswith("database"):
        bench.database.write(lambda db: db.execute_sql("DELETE FROM message"))
    else:
        lose_on_rabbitmq(url, queue, delete=how == "deleted")


@pytest.mark.parametrize(
    ("kind", "how", "busy"),
    [
        (RABBITMQ, "purged", False),
        (RABBITMQ, "deleted", True),
        (REDIS, "flushed", False),
        (REDIS, "flushed", True),
        (TABLE, "emptied", True),
    ],
)
def test_messages_that_the_broker_lost_are_sent_again(
    make_bench: Make, own_broker: Own, queue_name: str, kind: str, how: str, busy: bool, note: Note
) -> None:
    url = "database://" if kind == TABLE else own_broker(kind).url
    bench = make_bench(url, lease_seconds=3)
    held = []
    if busy:
        bench.worker()
        held = [bench.add("hold", "held") for _ in range(2)]
        bench.until_run("held", 2)
    else:
        bench.processes.start_web()
    uuids = [bench.add("double", number) for number in range(60)]
    eventually(lambda: all(bench.job(uuid).published for uuid in uuids), 20)
    lose(bench, url, queue_name, how)
    lost = time.monotonic()
    bench.let_go("held")
    if not busy:
        bench.worker()
    for uuid in held + uuids:
        assert bench.ended(uuid, 40).state == "SUCCESS"
    note("all ended after s", round(time.monotonic() - lost, 2))
    record = bench.once_final(held + uuids)
    assert {record.times_run(uuid) for uuid in held + uuids} == {1}
    assert len(bench.runs("held")) == len(held)


OWN_QUEUE = """

@task(name="apart", queue="%s")
def apart(x: int) -> int:
    return x
"""


def count_messages(bench: Bench, task: str = "") -> int:
    """How many messages there are, of a task or of all, on the broker that is the database."""
    query = orm.Message.select().where(orm.Message.payload.contains(f'"{task}"' if task else ""))
    return int(bench.database.read(query.count))


def test_lost_messages_are_sent_again_although_others_wait_in_the_same_queue(make_bench: Make) -> None:
    bench = make_bench()
    bench.processes.start_web()
    lost = [bench.add("note", "a") for _ in range(5)]
    others = [bench.add("double", number) for number in range(20)]
    eventually(lambda: all(bench.job(uuid).published for uuid in lost + others), 20)
    assert (count_messages(bench, "note"), count_messages(bench)) == (5, 25)
    forget = orm.Message.delete().where(orm.Message.payload.contains('"note"'))
    bench.database.write(forget.execute)
    eventually(lambda: count_messages(bench, "note") == 5, 20)
    assert count_messages(bench) == 25


def test_messages_that_wait_in_a_queue_of_their_own_are_not_sent_again(make_bench: Make, queue_name: str) -> None:
    bench = make_bench(republish_seconds=0.5, lease_seconds=0.6)
    lab = bench.processes.cwd / "lab.py"
    lab.write_text(lab.read_text() + OWN_QUEUE % f"{queue_name}-apart")
    bench.processes.start_web()
    uuids = [bench.add("apart", number) for number in range(5)]
    uuids += [bench.add("double", number, queue=f"{queue_name}-apart", priority=9) for number in range(5)]
    eventually(lambda: count_messages(bench) == 10, 20)
    # What is lost is noticed by the same look that would take these for lost.
    lost = bench.add("note", "a")
    eventually(lambda: count_messages(bench, "note"), 20)
    for _ in range(2):
        bench.database.write(orm.Message.delete().where(orm.Message.payload.contains('"note"')).execute)
        eventually(lambda: count_messages(bench, "note"), 20)
    assert count_messages(bench) == 11
    bench.worker("-Q", f"{queue_name},{queue_name}-apart")
    assert [bench.ended(uuid).state for uuid in (lost, *uuids)] == ["SUCCESS"] * 11
    bench.once_final([lost, *uuids])
