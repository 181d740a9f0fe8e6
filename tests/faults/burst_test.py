"""More jobs at once than should be held in memory, and more than one relay can publish while they are its own."""

import os
import re
import threading
from collections.abc import Callable, Iterator, Sequence
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

BURST = int(os.environ.get("TEST_BURST", "1000"))
"""Jobs in one request; ``make burst`` dispatches 10,000, the most that are allowed."""
WARM = 300
"""Jobs before the first burst: a forked process copies the pages of its parent that it writes to."""
LIMIT = 10_000
"""Jobs that one request may dispatch."""
HAND_OVER = 5.0
"""Seconds for which only the process that accepted a job publishes it (docs/architecture.md)."""
EVERY = 0.5
"""Seconds between two measurements of the memory."""
GROWTH = 8 * 1024
"""kB by which the second peak may exceed the first one: less than 10,000 jobs that leave 1 kB each."""

ONE_HEAP = {"MALLOC_ARENA_MAX": "1"}
"""glibc keeps freed memory per thread, so the thread that serves the request would change the figure."""

RecordFigure = Callable[[str, object], None]


def memory(process: Running) -> int:
    """Return the kilobytes of a process and its children (PSS)."""
    pids = [process.popen.pid]
    for pid in pids:
        pids += [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    rolled = [Path(f"/proc/{pid}/smaps_rollup").read_text() for pid in pids]
    return sum(int(found[1]) for text in rolled if (found := re.search(r"^Pss: +(\d+) kB$", text, re.MULTILINE)))


@dataclass
class Peak:
    """The highest measured memory of each process, in kB, by its name."""

    processes: list[Running]
    of: dict[str, int] = field(default_factory=dict)

    def measure(self) -> None:
        """Measure once."""
        for process in self.processes:
            self.of[process.name] = max(self.of.get(process.name, 0), memory(process))

    @contextmanager
    def watched(self) -> Iterator["Peak"]:
        """Measure at intervals, from before to after the body."""
        stopped = threading.Event()

        def watch() -> None:
            while not stopped.wait(EVERY):
                self.measure()

        thread = threading.Thread(target=watch)
        self.measure()
        thread.start()
        try:
            yield self
        finally:
            stopped.set()
            thread.join()
        self.measure()


def dispatch_at_once(url: str, jobs: int) -> list[str]:
    """Dispatch so many jobs of about a kilobyte in one request, and return their UUIDs."""
    batch = [{"task": "measure", "args": [f"{number} {'x' * 900}"]} for number in range(jobs)]
    answer = requests.post(f"{url}/dispatch", json=batch, timeout=120)
    assert answer.status_code == 202, answer.text[:1000]
    return [job["uuid"] for job in answer.json()["jobs"]]


def longest_wait(cluster: Cluster) -> float:
    """Return the longest time in seconds from the acceptance of a job to the broker's confirm."""
    query = orm.Job.select(orm.Job.published - orm.Job.created).tuples()
    return max(row[0] for row in cluster.database.read(lambda db: list(query.execute(db)))) / 1_000_000


def test_jobs_of_a_burst_are_published_once_and_memory_stays_flat(
    make_cluster: MakeCluster, record_figure: RecordFigure
) -> None:
    """If something of each job stayed in memory, the second burst would have a higher peak than the first.

    The relay publishes one job at a time, so that it takes longer than the jobs are its own.
    """
    cluster = make_cluster(RABBITMQ, republish_seconds=600, lease_seconds=10, relay_batch=1)
    web = cluster.processes.start_web(env=ONE_HEAP)
    worker = cluster.worker(env=ONE_HEAP)
    uuids: list[str] = []

    def burst(jobs: int) -> dict[str, int]:
        with Peak([web, worker]).watched() as peak:
            uuids.extend(dispatch_at_once(web.url, jobs))
            eventually(lambda: unfinished(cluster.database, uuids) == 0, 240, "jobs did not end")
        return peak.of

    burst(WARM)
    first, second, size = burst(BURST), burst(BURST), BURST
    while longest_wait(cluster) <= HAND_OVER and size < LIMIT:
        burst(size := min(2 * size, LIMIT))
    record_figure("longest wait for the relay, s", round(longest_wait(cluster), 1))
    for name in first:
        record_figure(f"{name}, peaks in MB", f"{first[name] / 1024:.1f}, {second[name] / 1024:.1f}")
    record = cluster.check_final(uuids)
    kinds_of = {uuid: without_returns(record.history[uuid]) for uuid in uuids}
    more = {uuid: kinds for uuid, kinds in kinds_of.items() if kinds != ["PENDING", "STARTED", "SUCCESS"]}
    assert not more, f"{len(more)} of {len(uuids)} jobs were published twice: {list(more.items())[:3]}"
    for name, peak in first.items():
        assert second[name] < peak + GROWTH, f"{name} grew from {peak} to {second[name]} kB"


def without_returns(kinds: Sequence[str]) -> list[str]:
    """The history without claims that were given back before the job began, as on a busy machine."""
    following = [*kinds[1:], ""]
    return [kind for kind, then in zip(kinds, following, strict=True) if "RETURNED" not in {kind, then}]
