"""The embedded default, which needs no other server: a backlog, and a service that is mostly idle."""

import time
from typing import ClassVar

from ..load import send, waiting_latencies
from ..processes import processor_seconds
from ..stores import Store
from ..systems.pacifica import PacificaEmbedded
from ..systems.system import Running, prepared
from .scene import Figure, Round, Scene, Table

PAUSE = 0.1
"""Seconds for which the service is idle before each job whose latency is measured."""


class Embedded(Scene):
    """How fast a backlog is worked off, and how long a job takes in an idle service."""

    name = "embedded"
    title = "The embedded default: `database://` on SQLite, the project's own web server, two worker processes"
    tables = (
        Table(
            "Empty tasks of a backlog, from the start of the first to the end of the last; and an idle service",
            (
                Figure("rate", "done/s, a backlog of a fifth"),
                Figure("rate_large", "done/s, a backlog of 10,000"),
                Figure("p50", "idle, p50 ms with ?wait=", "lower", 1),
                Figure("p95", "idle, p95 ms", "lower", 1),
                Figure("idle", "idle, % of a core", "lower", 2),
            ),
        ),
    )
    rows: ClassVar = {"embedded": PacificaEmbedded.title}

    def measure(self, this: Round) -> None:
        system = PacificaEmbedded()
        this.attempt("embedded", system.missing(), lambda: _measure(this, system))


def _measure(this: Round, system: PacificaEmbedded) -> None:
    with prepared(system, this.servers) as running:
        running.start_web()
        running.wait_for_web()
        store = system.store(running.place)
        for figure, jobs in (("rate", this.sizes.backlog // 5), ("rate_large", this.sizes.backlog)):
            this.record("embedded", **{figure: jobs / _backlog(running, store, jobs)})
        running.start_workers()
        running.wait_for_job()
        p50, p95 = waiting_latencies(running, this.sizes.jobs // 5, PAUSE)
        this.record("embedded", p50=p50, p95=p95, idle=idle_share(running, 2 * this.sizes.seconds))


def _backlog(running: Running, store: Store, jobs: int) -> float:
    """Return the seconds in which two worker processes run the jobs, which wait when the workers start."""
    begin = int(time.time() * 1e6)
    send(running, jobs)
    running.wait(lambda: not store.unpublished(), "not all jobs were published")
    workers = running.start_workers()
    running.wait(lambda: not store.open_jobs(), "not all jobs ended")
    running.processes.stop(*workers)
    return store.working_time(begin)


def idle_share(running: Running, seconds: float) -> float:
    """Return the percentage of a core that all processes of an idle service use."""
    before, begin = processor_seconds(running.processes.pids()), time.monotonic()
    time.sleep(seconds)
    return (processor_seconds(running.processes.pids()) - before) / (time.monotonic() - begin) * 100
