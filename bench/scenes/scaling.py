"""One worker process and two, on the same backlog: what doubles, and what the machine has no core for."""

import time
from collections.abc import Mapping, Sequence
from typing import ClassVar

from ..processes import Process, machine_cpu
from ..servers import POSTGRESQL
from ..statistics import Comparison
from ..systems.ours import Parts, fresh_parts, store_missing, told
from .scene import Figure, Round, Scene, Table

WORK: Mapping[str, tuple[str, Sequence[int], int, str]] = {
    "empty": ("add", (2, 2), 5000, "empty jobs"),
    "busy-5": ("busy", (5,), 1500, "jobs of 5 ms processor time"),
    "busy-20": ("busy", (20,), 400, "jobs of 20 ms processor time"),
}
"""By row, without the number of processes: task, arguments, how many, title."""
ROUNDS = 3


class Scaling(Scene):
    """Reach 9 of issue 6."""

    name = "scaling"
    title = "One worker process and two, PostgreSQL and RabbitMQ"
    tables = (
        Table(
            "scaling",
            "A backlog is drained; the web server, PostgreSQL and RabbitMQ share the machine's cores",
            (
                Figure("rate", "done/s"),
                Figure("cores", "cores busy, all processes of the machine", digits=2),
                Figure("worker_ms", "ms processor time per job, worker and its processes", "lower", 2),
                Figure("web_ms", "the same, web server", "lower", 2),
                Figure("other_ms", "the same, all else: databases, broker, kernel", "lower", 2),
            ),
        ),
    )
    rows: ClassVar[Mapping[str, str]] = {
        f"{row}-{number}": f"{title}, `-c {number}`" for row, (*_, title) in WORK.items() for number in (1, 2)
    }
    comparisons = tuple(
        Comparison(f"two worker processes, beside one: {title}", f"{row}-2", "rate", (f"{row}-1",), "rate", 1.8)
        for row, (*_, title) in WORK.items()
    )

    def measure(self, this: Round) -> None:
        """All from one start of the web server, in three rounds at most."""
        if this.number > ROUNDS:
            return
        row = next(iter(self.rows))
        if missing := store_missing(this.servers, POSTGRESQL):
            this.leave_out(row, missing)
        else:
            this.attempt(row, lambda: self._measure(this))

    def _measure(self, this: Round) -> None:
        part = min(1.0, this.sizes.seconds / 5)
        with fresh_parts(this.servers, POSTGRESQL, settings=told({"dispatcher": {"tasks": "busy"}})) as one:
            web = one.start_web()
            one.await_ready()
            for row in WORK:
                for number in (1, 2) if this.number % 2 else (2, 1):
                    this.record(f"{row}-{number}", **_drained(one, web, row, part, number))


def _drained(one: Parts, web: Process, row: str, part: float, number: int) -> Mapping[str, float]:
    task, arguments, whole, _ = WORK[row]
    jobs = round(whole * part)
    begun = one.backlog(jobs, task, arguments)
    worker = one.start_worker(number)
    one.wait(lambda: one.store.since(begun) > 0, "no job had ended")
    before, at, done = _used(one, web, worker), time.monotonic(), one.store.since(begun)
    one.await_end()
    after, took, done = _used(one, web, worker), time.monotonic() - at, one.store.since(begun) - done
    one.stop(worker)
    machine, served, worked = (late - early for late, early in zip(after, before, strict=True))
    return {
        "rate": jobs / one.store.working_time(begun),
        "cores": machine / took,
        "worker_ms": worked / done * 1e3,
        "web_ms": served / done * 1e3,
        "other_ms": (machine - served - worked) / done * 1e3,
    }


def _used(one: Parts, web: Process, worker: Process) -> tuple[float, float, float]:
    """Seconds of processor time: of the machine, the web server, the worker."""
    return machine_cpu(), one.alone(web).cpu(), one.alone(worker).cpu()
