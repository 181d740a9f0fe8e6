"""More jobs at once than anybody has memory for, and more than can be sent in the time that a relay has for its own."""

import os
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import requests

from pacifica.dispatcher import orm

from ..eventually import eventually
from ..processes import Running
from ..services import RABBITMQ
from .cluster import Cluster, MakeCluster
from .invariants import unfinished

BURST = int(os.environ.get("TEST_BURST", "1500"))
"""Jobs in one request; ``make burst`` takes 10,000, as many as are allowed."""
WARM = 300
"""Jobs before the first burst: a forked process comes to have for itself what it touches of its parent's memory."""
LIMIT = 10_000
"""Jobs that one request may dispatch."""
HAND_OVER = 5.0
"""Seconds for which a fresh job is the accepting process's own (docs/architecture.md); then any relay may send it."""
EVERY = 0.5
"""Seconds between two looks at the memory."""
GROWTH = 8 * 1024
"""kB by which the second burst's peak may exceed the first one's: 10,000 jobs that leave 1 kB each are more."""

ONE_HEAP = {"MALLOC_ARENA_MAX": "1"}
"""glibc keeps for each thread what it once needed; which of ten threads takes a request would be seen, and no leak."""

RecordFigure = Callable[[str, object], None]


def memory(process: Running) -> int:
    """The kilobytes that a process and its children have for themselves, with their part of what they share."""
    pids = [process.popen.pid]
    for pid in pids:
        pids += [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    rolled = [Path(f"/proc/{pid}/smaps_rollup").read_text() for pid in pids]
    return sum(int(found[1]) for text in rolled if (found := re.search(r"^Pss: +(\d+) kB$", text, re.MULTILINE)))


@dataclass
class Peak:
    """The most memory that each process was seen to have, in kB, by its name."""

    processes: list[Running]
    of: dict[str, int] = field(default_factory=dict)

    def look(self) -> None:
        """Look once."""
        for process in self.processes:
            self.of[process.name] = max(self.of.get(process.name, 0), memory(process))

    @contextmanager
    def watched(self) -> Iterator["Peak"]:
        """Look every now and then, from before to after what is done meanwhile."""
        over = threading.Event()

        def watch() -> None:
            while not over.wait(EVERY):
                self.look()

        thread = threading.Thread(target=watch)
        self.look()
        thread.start()
        try:
            yield self
        finally:
            over.set()
            thread.join()
        self.look()


def dispatch_at_once(url: str, jobs: int) -> list[str]:
    """One request for so many jobs of about a kilobyte; their UUIDs."""
    batch = [{"task": "measure", "args": [f"{number} {'x' * 900}"]} for number in range(jobs)]
    answer = requests.post(f"{url}/dispatch", json=batch, timeout=120)
    assert answer.status_code == 202, answer.text[:1000]
    return [job["uuid"] for job in answer.json()["jobs"]]


def longest_wait(cluster: Cluster) -> float:
    """The most seconds between a job's acceptance and the broker's word that it has its message."""
    query = orm.Job.select(orm.Job.published - orm.Job.created).tuples()
    return max(row[0] for row in cluster.database.read(lambda db: list(query.execute(db)))) / 1_000_000


def test_jobs_of_a_burst_are_published_once_and_memory_stays_flat(
    make_cluster: MakeCluster, record_figure: RecordFigure
) -> None:
    """Two bursts, one after the other: what stays in memory of each job would make the second one's peak higher.

    The relay sends one job at a time, so that it is at it for longer than a fresh job is its own.
    """
    cluster = make_cluster(RABBITMQ, republish_seconds=600, lease_seconds=10, relay_batch=1)
    web = cluster.processes.start_web(env=ONE_HEAP)
    worker = cluster.worker(env=ONE_HEAP)
    uuids: list[str] = []

    def burst(jobs: int) -> dict[str, int]:
        with Peak([web, worker]).watched() as peak:
            uuids.extend(dispatch_at_once(web.url, jobs))
            eventually(lambda: unfinished(cluster.database, uuids) == 0, 240, "jobs do not end")
        return peak.of

    burst(WARM)
    first, second, size = burst(BURST), burst(BURST), BURST
    while longest_wait(cluster) <= HAND_OVER and size < LIMIT:
        burst(size := min(2 * size, LIMIT))
    record_figure("longest wait for the relay, s", round(longest_wait(cluster), 1))
    for name in first:
        record_figure(f"{name}, peaks in MB", f"{first[name] / 1024:.1f}, {second[name] / 1024:.1f}")
    record = cluster.check_final(uuids)
    more = {uuid: kinds for uuid in uuids if (kinds := record.history[uuid]) != ["PENDING", "STARTED", "SUCCESS"]}
    assert not more, f"{len(more)} of {len(uuids)} jobs were sent twice: {list(more.items())[:3]}"
    for name, peak in first.items():
        assert second[name] < peak + GROWTH, f"{name} grew from {peak} to {second[name]} kB"
