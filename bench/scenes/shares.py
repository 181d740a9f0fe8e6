"""What a job costs each part of a system, so that a reader sees by what its rate is bounded."""

import os
from collections.abc import Sequence

from ..load import dispatch_for
from ..parts import BROKER, CLIENT, MAIN, STORE, WEB, WORKER, bounds, each, parts_of, used
from ..systems.system import System, running
from .scene import Figure, Round, Scene, Table

SYSTEMS: Sequence[str] = ("pacifica", "fastapi-dramatiq", "fastapi-celery-redis", "flower")


class Shares(Scene):
    """The end-to-end load of the scene ``peers``, and the processor time that it takes."""

    name = "shares"
    title = "Processor time of a job, end to end"
    note = (
        "Milliseconds of a core for each job that ended, by part: one web process, two worker processes, `wrk` with\n"
        "16 connections while the workers work, until the last job has ended. *At best* is the rate at which these\n"
        "parts alone would keep all cores busy; where *of the cores* is near 100 %, the sum is the limit. *All else*\n"
        "is what the cores did beside: the kernel, this program's counting, and whatever else ran. – is a part that a\n"
        "system does not have, or that is not on this machine."
    )
    tables = (
        Table(
            "shares",
            "By part, in ms",
            (
                Figure(WEB, "web", "lower", 3),
                Figure(WORKER, "worker", "lower", 3),
                Figure(MAIN, "of which its main process", "lower", 3),
                Figure(BROKER, "RabbitMQ", "lower", 3),
                Figure(STORE, "Redis, PostgreSQL", "lower", 3),
                Figure(CLIENT, "client", "lower", 3),
                Figure("sum", "sum", "lower", 3),
                Figure("beside", "all else", "lower", 3),
            ),
        ),
        Table(
            "bounds",
            "What that allows",
            (
                Figure("done", "done end to end/s"),
                Figure("best", "at best/s (cores / sum)"),
                Figure("busy", "of the cores, %"),
            ),
        ),
    )

    def measure(self, this: Round) -> None:
        """Each system from a fresh start, in the order of the command line."""

        def one(system: System) -> None:
            _measure(this, system)

        this.take_turns(this.chosen or SYSTEMS, one)


def _measure(this: Round, system: System) -> None:
    sizes, name = this.sizes, system.name
    with running(system, this.servers) as live:
        dispatch_for(live, sizes.warm_up, sizes.connections)
        before = used(live, this.servers)
        flow = dispatch_for(live, sizes.seconds, sizes.connections)
        costs = each(before, used(live, this.servers), flow.finished)
    this.record(name, done=flow.done, accepted=flow.accepted, finished=flow.finished, **costs)
    this.record(name, **bounds(costs, parts_of(system), flow.done, len(os.sched_getaffinity(0))))
    if flow.refused or flow.broken:
        this.record(name, refused=flow.refused, broken=flow.broken)
