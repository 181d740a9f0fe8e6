"""All systems side by side: one web process, two worker processes, the same work, in turns."""

import time

from .. import processor_time
from ..load import (
    backlog,
    batches,
    conditional,
    dispatch_for,
    finished_job,
    idle_share,
    latencies,
    rate,
    waiting_latencies,
    write_lock_share,
)
from ..processes import memory
from ..statistics import Comparison
from ..systems import ALL, DURABLE, PEERS
from ..systems.pacifica import PacificaEmbedded
from ..systems.system import Running, System, prepared
from .scene import Figure, Round, Scene, Table

THEIRS, RECORDS = tuple(PEERS), tuple(DURABLE)
SQLITE, POSTGRESQL, RABBITMQ = "pacifica-embedded", "pacifica-postgresql", "pacifica-rabbitmq"


class Peers(Scene):
    """How fast each system dispatches and works, how long a client waits, and what a job costs."""

    name = "peers"
    title = "Beside the peers: one web process, two worker processes"
    tables = (
        Table(
            "The same work, one job per request",
            (
                Figure("dispatch", "dispatch/s"),
                Figure("done", "done end to end/s"),
                Figure("backlog", "done/s of a backlog"),
                Figure("status", "status/s"),
                Figure("p50", "p50 ms, polled", 1),
                Figure("p95", "p95 ms, polled", 1),
                Figure("wait_p50", "p50 ms, waiting", 1),
                Figure("wait_p95", "p95 ms, waiting", 1),
            ),
        ),
        Table(
            "Processor time per job, end to end, in milliseconds of a core",
            (
                Figure(processor_time.WEB, "web", 3),
                Figure(processor_time.WORKER, "workers", 3),
                *(Figure(name, server, 3) for server, name in processor_time.SERVERS.items()),
                Figure(processor_time.CLIENT, "client", 3),
                Figure(processor_time.SUM, "sum", 3),
                Figure("cpu_batch", "sum in batches", 3),
            ),
        ),
        Table(
            "Start, memory, and an idle service",
            (
                Figure("ready", "s until the server answers", 2),
                Figure("first", "s until the first job is done", 2),
                Figure("pss", "PSS MB, web and workers"),
                Figure("idle", "idle, % of a core", 2),
                Figure("locked", "idle, % of the time with SQLite's write lock", 2),
            ),
        ),
        Table(
            "Only Pacifica Dispatcher offers this",
            (
                Figure("batch_accepted", "accepted/s in batches"),
                Figure("batch_done", "done end to end/s in batches"),
                Figure("unchanged", "status/s with If-None-Match"),
            ),
        ),
    )
    comparisons = (
        Comparison("end to end", SQLITE, "done", THEIRS, goal=1.1),
        Comparison("dispatch", SQLITE, "dispatch", THEIRS, goal=0.9),
        Comparison("accepted in batches, beside dispatch", SQLITE, "batch_accepted", THEIRS, "dispatch", goal=8),
        Comparison("end to end in batches", SQLITE, "batch_done", THEIRS, "done", goal=2),
        Comparison("backlog", SQLITE, "backlog", THEIRS, goal=3),
        Comparison("p50, waiting", SQLITE, "wait_p50", THEIRS, better="lower", goal=0.9),
        Comparison("p95, waiting", SQLITE, "wait_p95", THEIRS, better="lower", goal=1),
        Comparison("status", SQLITE, "status", THEIRS, goal=1.1),
        Comparison("processor time", SQLITE, processor_time.SUM, THEIRS, better="lower"),
        Comparison("memory", SQLITE, "pss", ("fastapi-celery-redis",), better="lower", goal=1),
        Comparison("end to end, durable records", POSTGRESQL, "done", RECORDS, goal=2),
        Comparison("dispatch, durable records", POSTGRESQL, "dispatch", RECORDS, goal=2),
        Comparison("backlog, durable records", POSTGRESQL, "backlog", RECORDS, goal=2),
        Comparison("end to end", RABBITMQ, "done", ("fastapi-dramatiq",), goal=0.8),
        Comparison("end to end", RABBITMQ, "done", ("flower",), goal=3),
    )

    def measure(self, this: Round) -> None:
        def one(system: System) -> None:
            with prepared(system, this.servers) as running:
                begin = time.monotonic()
                running.start_workers()
                running.start_web()
                running.wait_for_web()
                ready = time.monotonic() - begin
                running.wait_for_job()
                this.record(system.name, ready=ready, first=time.monotonic() - begin)
                _measure(this, running)

        this.take_turns(tuple(ALL), one)


def _measure(this: Round, running: Running) -> None:
    sizes, system = this.sizes, running.system
    row = system.name
    if sizes.warm_up:
        dispatch_for(running, sizes.warm_up, sizes.connections)
    this.record(row, idle=idle_share(running, sizes.seconds))
    polled = latencies(running, sizes.jobs)
    waiting = min(polled, waiting_latencies(running, sizes.jobs)) if system.waiting else polled
    this.record(row, p50=polled[0], p95=polled[1], wait_p50=waiting[0], wait_p95=waiting[1])
    status = finished_job(running)
    this.record(row, status=rate(running, status, sizes.seconds, sizes.connections))
    before = processor_time.used(running, this.servers)
    flow = dispatch_for(running, sizes.seconds, sizes.connections)
    this.record(row, **processor_time.per_job(before, processor_time.used(running, this.servers), flow.finished))
    this.record(row, dispatch=flow.dispatch, done=flow.done, accepted=flow.accepted, finished=flow.finished)
    this.record(row, pss=memory(running.processes.pids()))
    if flow.refused or flow.broken:
        this.record(row, refused=flow.refused, broken=flow.broken)
    if isinstance(system, PacificaEmbedded):
        _measure_ours(this, running, system)
    this.record(row, backlog=backlog(running, sizes.backlog))


def _measure_ours(this: Round, running: Running, system: PacificaEmbedded) -> None:
    sizes, row = this.sizes, system.name
    unchanged = conditional(running, finished_job(running))
    this.record(row, unchanged=rate(running, unchanged, sizes.seconds, sizes.connections))
    before = processor_time.used(running, this.servers)
    accepted, done = batches(running, system, sizes.batch, sizes.batches)
    cost = processor_time.per_job(before, processor_time.used(running, this.servers), sizes.batch * sizes.batches)
    this.record(row, batch_accepted=accepted, batch_done=done, cpu_batch=cost[processor_time.SUM])
    if (file := running.folder / system.file).exists():
        this.record(row, locked=write_lock_share(file, sizes.seconds))
