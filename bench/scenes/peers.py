"""All systems side by side: one web process, two worker processes, the same work, in turns."""

from ..load import batches, conditional, dispatch_for, latencies, one_status, status_rate, waited
from ..requesting import Request
from ..statistics import Comparison
from ..systems import ALL
from ..systems.pacifica import Pacifica
from ..systems.system import Live, System, running
from .scene import Figure, Round, Scene, Table

PEERS = tuple(name for name in ALL if ALL[name].peer)
SYSTEMS = (*PEERS, "pacifica", "pacifica-solo", "pacifica-server", "pacifica-embedded")

DISPATCH = Figure("dispatch", "dispatch/s")
DONE = Figure("done", "done end to end/s")
P50 = Figure("p50", "p50 ms, dispatch until seen done", "lower", 1)
P95 = Figure("p95", "p95 ms", "lower", 1)
STATUS = Figure("status", "status/s")
PSS = Figure("pss", "PSS MB, web and workers", "lower")


class Peers(Scene):
    """What issue 6 has in its table, and what only this project offers."""

    name = "peers"
    title = "Beside the peers: one web process, two worker processes"
    tables = (
        Table("peers", "The same work, one job per request", (DISPATCH, DONE, P50, P95, STATUS, PSS)),
        Table(
            "own",
            "What only Pacifica Dispatcher offers",
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
        Comparison("end to end, beside the best peer", "pacifica", "done", PEERS, "done", 1.1),
        Comparison("end to end with solo workers, beside the best peer", "pacifica-solo", "done", PEERS, "done", 1.1),
        Comparison("end to end, beside Flower", "pacifica", "done", ("flower",), "done", 4),
        Comparison(
            "batch accepted, beside the best peer's dispatch", "pacifica", "batch_accepted", PEERS, "dispatch", 8
        ),
        Comparison("batch end to end, beside the best peer", "pacifica", "batch_done", PEERS, "done", 1.6),
        Comparison(
            "batch end to end with solo workers, beside the best peer",
            "pacifica-solo",
            "batch_done",
            PEERS,
            "done",
            1.6,
        ),
        Comparison("p50 with ?wait=, beside the best peer's", "pacifica", "wait_p50", PEERS, "p50", 0.9, "lower"),
        Comparison("p95 with ?wait=, beside the best peer's", "pacifica", "wait_p95", PEERS, "p95", 1.0, "lower"),
        Comparison("status, beside the best peer", "pacifica", "status", PEERS, "status", 1.1),
        Comparison("status with If-None-Match, beside without", "pacifica", "unchanged", ("pacifica",), "status", 1.0),
        Comparison(
            "memory, beside FastAPI + Celery", "pacifica", "pss", ("fastapi-celery-redis",), "pss", 1.0, "lower"
        ),
    )

    def measure(self, this: Round) -> None:
        """Each system from a fresh start."""

        def one(system: System) -> None:
            with running(system, this.servers) as live:
                _measure(this, live)

        this.take_turns(SYSTEMS, one)


def _measure(this: Round, live: Live) -> None:
    sizes, name = this.sizes, live.system.name
    dispatch_for(live, sizes.warm_up, sizes.connections)
    p50, p95 = latencies(live, sizes.jobs)
    request = one_status(live)
    status = status_rate(live, request, sizes.seconds, sizes.connections)
    if isinstance(live.system, Pacifica):
        _measure_own(this, live, request)
    flow = dispatch_for(live, sizes.seconds, sizes.connections)
    this.record(name, dispatch=flow.dispatch, done=flow.done, accepted=flow.accepted, finished=flow.finished)
    this.record(name, p50=p50, p95=p95, status=status, pss=live.processes.pss())
    if flow.refused or flow.broken:
        this.record(name, refused=flow.refused, broken=flow.broken)
    if isinstance(live.system, Pacifica):
        _measure_batch(this, live)


def _measure_own(this: Round, live: Live, request: Request) -> None:
    p50, p95 = waited(live, this.sizes.jobs)
    unchanged = status_rate(live, conditional(live, request), this.sizes.seconds, this.sizes.connections)
    this.record(live.system.name, wait_p50=p50, wait_p95=p95, unchanged=unchanged)


def _measure_batch(this: Round, live: Live) -> None:
    accepted, done = batches(live, this.sizes.batch, this.sizes.batches)
    this.record(live.system.name, batch_accepted=accepted, batch_done=done)
