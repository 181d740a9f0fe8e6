"""All systems side by side: one web process, two worker processes, the same work, in turns."""

from .. import processor_time
from ..load import batches, conditional, dispatch_for, finished_job, latencies, rate, waiting_latencies
from ..processes import memory
from ..statistics import Comparison
from ..systems import ALL, PEERS
from ..systems.pacifica import Pacifica
from ..systems.system import Running, System, started
from .scene import Figure, Round, Scene, Table

THEIRS = tuple(PEERS)
OURS = "pacifica"


def _beside(title: str, figure: str, of_figure: str, row: str = OURS, others: tuple[str, ...] = THEIRS) -> Comparison:
    return Comparison(f"{title}, beside the best peer", row, figure, others, of_figure)


def _less(title: str, figure: str, of_figure: str, others: tuple[str, ...], beside: str) -> Comparison:
    return Comparison(f"{title}, beside {beside}", OURS, figure, others, of_figure, "lower")


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
                Figure("p50", "p50 ms, dispatch until seen done", "lower", 1),
                Figure("p95", "p95 ms", "lower", 1),
                Figure("status", "status/s"),
                Figure("pss", "PSS MB, web and workers", "lower"),
            ),
        ),
        Table(
            "Processor time per job, end to end, in milliseconds of a core",
            (
                Figure(processor_time.WEB, "web", "lower", 3),
                Figure(processor_time.WORKER, "workers", "lower", 3),
                Figure("cpu_rabbitmq", "RabbitMQ", "lower", 3),
                Figure("cpu_redis", "Redis", "lower", 3),
                Figure(processor_time.CLIENT, "client", "lower", 3),
                Figure(processor_time.SUM, "sum", "lower", 3),
                Figure("cpu_batch", "sum in batches of 1,000", "lower", 3),
            ),
        ),
        Table(
            "Only Pacifica Dispatcher offers this",
            (
                Figure("wait_p50", "p50 ms with ?wait=", "lower", 1),
                Figure("wait_p95", "p95 ms with ?wait=", "lower", 1),
                Figure("unchanged", "status/s with If-None-Match"),
                Figure("batch_accepted", "accepted/s, 1,000 per request"),
                Figure("batch_done", "done end to end/s, 1,000 per request"),
            ),
        ),
    )
    comparisons = (
        _beside("end to end", "done", "done"),
        _beside("end to end with solo workers", "done", "done", "pacifica-solo"),
        Comparison("end to end, beside Flower", OURS, "done", ("flower",), "done"),
        _beside("batch accepted", "batch_accepted", "dispatch"),
        _beside("batch end to end", "batch_done", "done"),
        _beside("batch end to end with solo workers", "batch_done", "done", "pacifica-solo"),
        _less("p50 with ?wait=", "wait_p50", "p50", THEIRS, "the best peer's p50"),
        _less("p95 with ?wait=", "wait_p95", "p95", THEIRS, "the best peer's p95"),
        _beside("status", "status", "status"),
        Comparison("status with If-None-Match, beside without", OURS, "unchanged", (OURS,), "status"),
        _less("memory", "pss", "pss", ("fastapi-celery-redis",), "FastAPI + Celery"),
        _less("processor time", processor_time.SUM, processor_time.SUM, THEIRS, "the best peer"),
    )

    def measure(self, this: Round) -> None:
        def one(system: System) -> None:
            with started(system, this.servers) as running:
                _measure(this, running)

        this.take_turns(tuple(ALL), one)


def _measure(this: Round, running: Running) -> None:
    sizes, row = this.sizes, running.system.name
    dispatch_for(running, sizes.warm_up, sizes.connections)
    p50, p95 = latencies(running, sizes.jobs)
    request = finished_job(running)
    status = rate(running, request, sizes.seconds, sizes.connections)
    this.record(row, p50=p50, p95=p95, status=status)
    if isinstance(running.system, Pacifica):
        p50, p95 = waiting_latencies(running, sizes.jobs)
        unchanged = rate(running, conditional(running, request), sizes.seconds, sizes.connections)
        this.record(row, wait_p50=p50, wait_p95=p95, unchanged=unchanged)
    before = processor_time.used(running, this.servers)
    flow = dispatch_for(running, sizes.seconds, sizes.connections)
    this.record(row, **processor_time.per_job(before, processor_time.used(running, this.servers), flow.finished))
    this.record(row, dispatch=flow.dispatch, done=flow.done, accepted=flow.accepted, finished=flow.finished)
    this.record(row, pss=memory(running.processes.pids()))
    if flow.refused or flow.broken:
        this.record(row, refused=flow.refused, broken=flow.broken)
    if isinstance(running.system, Pacifica):
        _measure_batches(this, running)


def _measure_batches(this: Round, running: Running) -> None:
    before, jobs = processor_time.used(running, this.servers), this.sizes.batch * this.sizes.batches
    accepted, done = batches(running, this.sizes.batch, this.sizes.batches)
    cost = processor_time.per_job(before, processor_time.used(running, this.servers), jobs)
    name = running.system.name
    this.record(name, batch_accepted=accepted, batch_done=done, cpu_batch=cost[processor_time.SUM])
