"""A record that holds a million jobs at rest, or a hundred thousand that wait, beside an empty one."""

import atexit
import json
import random
import time
from collections.abc import Mapping
from contextlib import ExitStack
from typing import ClassVar

from ..load import dispatch_for, rate, waiting_latencies
from ..paint import first_paint
from ..processes import memory
from ..requesting import Client, Request
from ..statistics import Comparison, percentile
from ..systems.pacifica import PacificaEmbedded, PacificaPostgresql
from ..systems.system import Running, prepared
from .scene import Figure, Round, Scene, Table

KINDS = {"SQLite": PacificaEmbedded, "PostgreSQL": PacificaPostgresql}
STATES = {"empty": "empty", "rest": "jobs at rest", "waiting": "jobs waiting"}
BATCH = 1000
"""Jobs of one request, at most."""
PARTS = 10
"""Jobs at rest are run in so many parts, the memory is looked at after each."""
PAGE, PAGES = 20, 40
VISITS = 9
LABELS = 20
"""Values of the label ``batch``, so that each has a page of jobs, also in the empty record."""
DAY = 86_400
DRAIN = 900.0
SEARCHES: Mapping[str, str] = {
    "by_task": f"/status?state=SUCCESS&task=add&limit={PAGE}",
    "by_label": f"/status?label=batch:7&limit={PAGE}",
}
RATES = ("dispatch", "done", "status")
FIGURES = (
    Figure("dispatch", "dispatch/s"),
    Figure("done", "done end to end/s"),
    Figure("wait_p50", "p50 ms with ?wait=", 1),
    Figure("wait_p95", "p95 ms with ?wait=", 1),
    Figure("status", "status/s, random jobs"),
    Figure("by_task", "page by state and task, ms", 1),
    Figure("by_label", "page by label, ms", 1),
)


class Million(Scene):
    """The first round fills the records, which serve in all rounds; those that are not measured are idle."""

    name = "million"
    title = "A million jobs in the record, as record and queue (`database://`)"
    tables = (
        Table("Two worker processes, the project's own web server", FIGURES),
        Table(
            "While the jobs at rest were run, in batches of 1,000; then the dashboard, in Chromium",
            (
                Figure("flow", "done/s"),
                Figure("early", "PSS MB after the first tenth"),
                Figure("late", "PSS MB after all"),
                Figure("bytes", "bytes per job on disk"),
                Figure("paint", "first paint of the dashboard's overview, ms"),
            ),
        ),
    )
    rows: ClassVar[Mapping[str, str]] = {
        f"{kind}-{state}": f"{kind}, {title}" for kind in KINDS for state, title in STATES.items()
    }
    comparisons = tuple(
        Comparison(
            *(figure.title, f"{kind}-{state}", figure.name, (f"{kind}-empty",)),
            better="higher" if figure.name in RATES else "lower",
            goal=0.83 if figure.name in RATES else 1.2,
        )
        for kind in KINDS
        for state in ("rest", "waiting")
        for figure in FIGURES
    )

    def __init__(self) -> None:
        self._stack = ExitStack()
        self._kept: dict[str, tuple[Running, tuple[str, ...]]] = {}
        atexit.register(self._stack.close)

    def measure(self, this: Round) -> None:
        for kind, system in KINDS.items():
            if not this.chosen or system.name in this.chosen:
                for state in list(STATES)[:: 1 if this.number % 2 else -1]:
                    row = f"{kind}-{state}"
                    this.attempt(row, system().missing(), lambda row=row: self._measure(this, row))
        if this.number == this.sizes.rounds:
            self._kept.clear()
            self._stack.close()

    def _measure(self, this: Round, row: str) -> None:
        if row not in self._kept:
            self._kept[row] = self._fill(this, row)
        running, paths = self._kept[row]
        seconds, connections = this.sizes.seconds, this.sizes.connections
        flow = dispatch_for(running, seconds, connections)
        p50, p95 = waiting_latencies(running, this.sizes.jobs)
        this.record(row, dispatch=flow.dispatch, done=flow.done, wait_p50=p50, wait_p95=p95)
        this.record(row, status=rate(running, Request("/"), seconds, connections, paths))
        with Client(running.url) as client:
            for name, path in SEARCHES.items():
                answers = [client.timed(Request(path)) for _ in range(PAGES)]
                jobs = len(json.loads(answers[-1][0].body)["jobs"])
                assert jobs == PAGE, f"{path} shows {jobs} jobs, not {PAGE}"
                this.record(row, **{name: percentile([milliseconds for _, milliseconds in answers], 50)})
        paint = first_paint(f"{running.url}/", min(VISITS, this.sizes.jobs)) if row.endswith("-rest") else None
        if paint is not None:
            this.record(row, paint=paint)

    def _fill(self, this: Round, row: str) -> tuple[Running, tuple[str, ...]]:
        """Start the service with its jobs; return it and the paths of some that have ended, in random order."""
        kind, state = row.split("-")
        system = KINDS[kind]()
        running = self._stack.enter_context(prepared(system, this.servers))
        running.start_workers()
        running.start_web()
        running.wait_for_web()
        running.wait_for_job()
        ended = _run(running, system, PAGE * LABELS)
        if state == "rest":
            begin, used, memories, jobs = time.monotonic(), system.size(running.place), [], this.sizes.table
            for _ in range(PARTS):
                ended += _run(running, system, jobs // PARTS)
                memories.append(memory(running.processes.pids()))
            flow, grown = jobs / (time.monotonic() - begin), system.size(running.place) - used
            this.record(row, flow=flow, early=memories[0], late=memories[-1], bytes=grown / jobs)
        elif state == "waiting":
            _dispatch(running, system, this.sizes.waiting // 2, countdown=DAY)
            _dispatch(running, system, this.sizes.waiting // 2, queue="without-a-worker")
        system.count_from_now()
        random.Random(1).shuffle(ended)
        return running, tuple(f"/status/{job}" for job in ended)


def _dispatch(running: Running, system: PacificaEmbedded, jobs: int, **options: object) -> list[str]:
    """Dispatch so many jobs in batches; return the ids of some of them."""
    sample, size = [], min(BATCH, jobs // LABELS)
    with Client(running.url, timeout=120) as client:
        for number in range(jobs // size):
            request = system.batch(size, labels={"batch": str(number % LABELS)}, **options)
            sample += [job["uuid"] for job in json.loads(client.ask(request).body)["jobs"][:4]]
    return sample


def _run(running: Running, system: PacificaEmbedded, jobs: int) -> list[str]:
    """Do the same, and wait until all have ended."""
    system.count_from_now()
    sample = _dispatch(running, system, jobs)
    running.wait(lambda: running.finished() >= jobs, "not all jobs ended", DRAIN)
    return sample
