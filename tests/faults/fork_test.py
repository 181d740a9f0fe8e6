"""Processes that fork: no child uses or holds a connection of its parent."""

import re
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from ..e2e.stack import Stack
from ..eventually import eventually
from ..processes import Running
from ..services import POSTGRESQL, RABBITMQ, REDIS, server_url
from .cluster import PROGRAMS, TASKS, Cluster, MakeCluster
from .invariants import unfinished

PORTS = {RABBITMQ: 5672, REDIS: 6379, POSTGRESQL: 5432}
ESTABLISHED = "01"


def port_of(kind: str) -> int:
    """Return the TCP port of a server that the tests share."""
    found = re.search(r":(\d+)(/|$)", server_url(kind).partition("//")[2])
    return int(found[1]) if found else PORTS[kind]


def sockets(pid: int, kind: str) -> set[str]:
    """Return the inodes of a process's connections to a server; processes that share a socket have the same inode."""
    lines = [line.split() for line in Path(f"/proc/{pid}/net/tcp").read_text().splitlines()[1:]]
    connected = {
        line[9] for line in lines if int(line[2].partition(":")[2], 16) == port_of(kind) and line[3] == ESTABLISHED
    }
    held = set()
    for descriptor in Path(f"/proc/{pid}/fd").iterdir():
        try:
            held |= set(re.findall(r"^socket:\[(\d+)\]$", str(descriptor.readlink())))
        except FileNotFoundError:
            continue
    return held & connected


def children(process: Running) -> list[int]:
    """Return the ids of the process's children."""
    path = Path(f"/proc/{process.popen.pid}/task/{process.popen.pid}/children")
    return [int(pid) for pid in path.read_text().split()]


def shared(pids: list[int], kind: str) -> dict[str, list[int]]:
    """Return the connections to a server that more than one of these processes hold."""
    holders = defaultdict(list)
    for pid in pids:
        for inode in sockets(pid, kind):
            holders[inode].append(pid)
    return {inode: pids for inode, pids in holders.items() if len(pids) > 1}


def test_gunicorn_with_preload_shares_no_connection_and_doubles_no_job(
    make_cluster: MakeCluster,
) -> None:
    cluster = make_cluster(RABBITMQ, POSTGRESQL, republish_seconds=600)
    web = cluster.processes.start_gunicorn("--preload", workers=3)
    stack = Stack(cluster.processes, web)
    cluster.worker()
    uuids: list[str] = []

    def all_have_published() -> bool:
        with ThreadPoolExecutor(6) as clients:
            uuids.extend(clients.map(lambda number: stack.dispatch("double", number), range(20)))
        return len(uuids) >= 100 and all(sockets(pid, RABBITMQ) for pid in children(web))

    eventually(all_have_published, 40, "not every worker has published a job")
    workers = children(web)
    assert len(workers) == 3
    assert all(sockets(pid, POSTGRESQL) for pid in workers)
    for kind in (RABBITMQ, POSTGRESQL):
        assert sockets(web.popen.pid, kind) == set(), "the process that forks is connected itself"
        assert shared([web.popen.pid, *workers], kind) == {}
    eventually(lambda: unfinished(cluster.database, uuids) == 0, 60, "jobs did not end")
    record = cluster.check_final(uuids)
    assert {tuple(record.history[uuid]) for uuid in uuids} == {("PENDING", "STARTED", "SUCCESS")}


@pytest.mark.parametrize("broker", [RABBITMQ, REDIS])
def test_pool_children_share_no_broker_connection_with_their_parent(make_cluster: MakeCluster, broker: str) -> None:
    cluster: Cluster = make_cluster(broker, republish_seconds=600, tasks=f"{TASKS.stem}, early_publisher")
    cluster.processes.add_module(PROGRAMS / "early_publisher.py")
    worker = cluster.worker(concurrency=3)
    spreading = [cluster.add("spread", "a", 40) for _ in range(3)]
    cluster.until_run("a", 3)
    cluster.release("a")
    uuids = [uuid for one in spreading for uuid in cluster.ended(one).result]
    pids = [worker.popen.pid, *cluster.runs("a")]
    assert len(set(pids)) == 4
    assert all(sockets(pid, broker) for pid in pids), "each has published a job"
    assert shared(pids, broker) == {}
    eventually(lambda: unfinished(cluster.database, uuids) == 0, 40, "jobs did not end")
    record = cluster.check_final([*spreading, *uuids])
    assert len(uuids) == 120
    assert {tuple(record.history[uuid]) for uuid in uuids} == {("PENDING", "STARTED", "SUCCESS")}
