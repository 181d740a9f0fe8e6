"""The embedded default: SQLite carries the messages, too."""

import json
import random
import re
import sqlite3
import time
from collections.abc import Mapping
from contextlib import closing
from typing import ClassVar, cast

from ..processes import Command
from ..requesting import Client, Request
from ..statistics import Comparison, percentile
from ..stores import Sqlite
from ..systems.ours import EMBEDDED, Parts, fresh_parts
from ..systems.system import OURS, ROOT
from .scene import Figure, Round, Scene, Table

ROW = "embedded"
SMALL, LARGE = 2000, 10_000
LATENCIES = 40
PAUSE = 0.2
"""Before each job of which the latency is taken, the service is idle for up to so many seconds."""
WATCHED = 5.0
HELD = 4.0
GOALS = {"goal_rate": 1000.0, "goal_p50": 10.0, "goal_locks": 1.0, "goal_idle": 1.0}
TROUBLE = re.compile(r"\b(WARNING|ERROR|CRITICAL)\b|^Traceback|locked", re.MULTILINE)


class Embedded(Scene):
    """Reach 7 of issue 6."""

    name = "embedded"
    title = "The embedded default: `database://` on SQLite, the project's own web server, two worker processes"
    tables = (
        Table(
            "embedded",
            "Empty tasks of a backlog, from the start of the first to the end of the last, and an idle service",
            (
                Figure("rate", f"done/s, backlog of {SMALL:,}"),
                Figure("rate_large", f"done/s, backlog of {LARGE:,}"),
                Figure("p50", "idle, p50 ms with ?wait=", "lower", 1),
                Figure("p95", "idle, p95 ms", "lower", 1),
                Figure("locks", "idle, write locks/s (leases)", "lower", 2),
                Figure("trouble", "log lines of trouble while the lock was held", "lower"),
                Figure("idle", "idle, % of a core", "lower", 2),
            ),
        ),
    )
    rows: ClassVar[Mapping[str, str]] = {ROW: "Pacifica Dispatcher, embedded"}
    comparisons = (
        Comparison("done/s, beside 1,000", ROW, "rate", (ROW,), "goal_rate", 1.0),
        Comparison("the large backlog, beside the small one", ROW, "rate_large", (ROW,), "rate", 0.85),
        Comparison("idle p50, beside 10 ms", ROW, "p50", (ROW,), "goal_p50", 1.0, "lower"),
        Comparison(
            "write locks of an idle service, beside one per second", ROW, "locks", (ROW,), "goal_locks", 1.0, "lower"
        ),
        Comparison("idle, beside 1 % of a core", ROW, "idle", (ROW,), "goal_idle", 1.0, "lower"),
    )

    def measure(self, this: Round) -> None:
        """From a fresh start."""
        this.attempt(ROW, lambda: self._measure(this))

    def _measure(self, this: Round) -> None:
        part = min(1.0, this.sizes.seconds / 5)
        with fresh_parts(this.servers, broker=EMBEDDED) as one:
            one.start_web()
            one.await_ready()
            for figure, jobs in (("rate", SMALL), ("rate_large", LARGE)):
                begun = one.backlog(round(jobs * part))
                worker = one.start_worker()
                one.await_end()
                this.record(ROW, **{figure: jobs * part / one.store.working_time(begun)})
                if figure == "rate":
                    one.stop(worker)
            this.record(ROW, **GOALS)
            this.record(ROW, **_latency(one, round(LATENCIES * part)))
            this.record(ROW, **_locks(one, WATCHED * part))
            this.record(ROW, trouble=_trouble(one, HELD * part))
            this.record(ROW, idle=idle_share(one, 2 * this.sizes.seconds))


def idle_share(one: Parts, seconds: float) -> float:
    """Percent of a core that all processes of an idle service take together."""
    before, begun = one.live.processes.cpu(), time.monotonic()
    time.sleep(seconds)
    return (one.live.processes.cpu() - before) / (time.monotonic() - begun) * 100


def _latency(one: Parts, jobs: int) -> Mapping[str, float]:
    """Of jobs that come now and then."""
    taken = []
    chance = random.Random(4)
    request = Request(f"{one.system.dispatch.path}?wait=10", headers={"Accept": "application/json"})
    with Client(one.place.url) as client:
        for _ in range(jobs):
            time.sleep(chance.random() * PAUSE)
            begun = time.perf_counter()
            answer = client.ask(request)
            taken.append((time.perf_counter() - begun) * 1e3)
            assert one.system.done(answer), "a job was not done within 10 s"
    return {"p50": percentile(taken, 50), "p95": percentile(taken, 95)}


def _locks(one: Parts, seconds: float) -> Mapping[str, float]:
    """How often an idle service takes the write lock; its leases must."""
    file = cast("Sqlite", one.store).file
    command = [OURS / "python", "-m", "bench.locks", file, str(seconds)]
    one.live.processes.run(Command("locks", command, {"PYTHONPATH": str(ROOT.parent)}), seconds + 30)
    told: Mapping[str, float] = json.loads((one.place.folder / "locks.log").read_text("utf-8").splitlines()[-1])
    return told


def _trouble(one: Parts, seconds: float) -> int:
    """Lines that complain in the logs of web server and worker while somebody else holds the write lock."""
    logs = [process.log for process in one.live.processes.processes]
    before = sum(len(TROUBLE.findall(log.read_text("utf-8", "replace"))) for log in logs)
    with closing(sqlite3.connect(cast("Sqlite", one.store).file, timeout=30, isolation_level=None)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        time.sleep(seconds)
        connection.execute("ROLLBACK")
    return sum(len(TROUBLE.findall(log.read_text("utf-8", "replace"))) for log in logs) - before
