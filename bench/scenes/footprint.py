"""What the service takes where nobody asks for anything, and whether its memory stays flat."""

import time
from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar, cast

from ..servers import RABBITMQ
from ..statistics import Comparison
from ..stores import SQLITE, Sqlite
from ..systems.ours import EMBEDDED, Parts, fresh_parts, store_missing
from .embedded import idle_share
from .scene import Figure, Round, Scene, Table

SERVED, EMBEDDED_ROW = "gunicorn", "embedded"
BROKERS = {SERVED: RABBITMQ, EMBEDDED_ROW: EMBEDDED}
JOBS = 200_000
SAMPLES = 10
MOST = 3000
"""Jobs that wait when the next thousand is sent."""
LONG = 600.0
GOALS = {"goal_idle": 1.0, "goal_ready": 2.0}


class Footprint(Scene):
    """Reach 8 of issue 6; beside FastAPI + Celery, the scene ``peers`` has memory."""

    name = "footprint"
    title = "Memory, idle processor time, cold start"
    tables = (
        Table(
            "footprint",
            "One web process, two worker processes; PSS in MB; web server and worker are started at the same moment",
            (
                Figure("ready", "s from start to ready", "lower", 2),
                Figure("first", "s from start to a first job done", "lower", 2),
                Figure("web_start", "PSS web", "lower"),
                Figure("worker_start", "PSS worker and its two", "lower"),
                Figure("web_1000", "PSS web, 1,000 jobs later", "lower"),
                Figure("worker_1000", "PSS worker, 1,000 jobs later", "lower"),
                Figure("idle", "idle, % of a core", "lower", 2),
            ),
        ),
        Table(
            "flat",
            "Over many jobs, in requests of a thousand",
            (
                Figure("jobs", "jobs"),
                Figure("early", "PSS after the first tenth", "lower", 1),
                Figure("half", "after half of them", "lower", 1),
                Figure("late", "after all", "lower", 1),
                Figure("flow", "jobs/s"),
                Figure("bytes", "bytes per job on disk"),
            ),
        ),
    )
    rows: ClassVar[Mapping[str, str]] = {
        SERVED: "Pacifica Dispatcher (gunicorn, RabbitMQ, SQLite)",
        EMBEDDED_ROW: "Pacifica Dispatcher, embedded (SQLite for all)",
    }
    comparisons = (
        *(
            Comparison(f"idle, {row}, beside 1 % of a core", row, "idle", (row,), "goal_idle", 1.0, "lower")
            for row in rows
        ),
        *(Comparison(f"ready, {row}, beside 2 s", row, "ready", (row,), "goal_ready", 1.0, "lower") for row in rows),
        *(
            Comparison(f"first job, {row}, beside 2 s", row, "first", (row,), "goal_ready", 1.0, "lower")
            for row in rows
        ),
        Comparison("memory after all jobs, beside the first tenth", SERVED, "late", (SERVED,), "early", 1.03, "lower"),
    )

    def measure(self, this: Round) -> None:
        """From a fresh start; many jobs in the first round alone, which is also idle for longest."""
        for row, broker in BROKERS.items():
            if missing := store_missing(this.servers, SQLITE, broker):
                this.leave_out(row, missing)
            else:
                this.attempt(row, lambda row=row, broker=broker: _measure(this, row, broker))


def _measure(this: Round, row: str, broker: str) -> None:
    with fresh_parts(this.servers, broker=broker) as one:
        begun = time.monotonic()
        web, worker = one.start_web(), one.start_worker()
        one.await_ready()
        this.record(row, ready=time.monotonic() - begun)
        one.await_job()
        this.record(row, first=time.monotonic() - begun, **GOALS)
        this.record(row, web_start=one.alone(web).pss(), worker_start=one.alone(worker).pss())
        one.send(1000)
        one.await_end()
        this.record(row, web_1000=one.alone(web).pss(), worker_1000=one.alone(worker).pss())
        this.record(row, idle=idle_share(one, this.sizes.seconds * (6 if this.number == 1 else 2)))
        if row == SERVED and this.number == 1:
            _flat(this, one)


def _flat(this: Round, one: Parts) -> None:
    jobs = JOBS if this.sizes.seconds > 1 else 2 * SAMPLES * 100
    begun = time.monotonic()
    samples: dict[str, float] = {}
    for number in range(1, SAMPLES + 1):
        one.send(jobs // SAMPLES, most=MOST)
        one.await_end()
        samples[f"pss_{number * jobs // SAMPLES}"] = one.live.processes.pss()
        if time.monotonic() - begun > LONG:
            break
    done, values = number * jobs // SAMPLES, list(samples.values())
    file = cast("Sqlite", one.store).file
    size = sum(Path(f"{file}{end}").stat().st_size for end in ("", "-wal"))
    this.record(
        SERVED,
        jobs=done,
        flow=done / (time.monotonic() - begun),
        bytes=size / one.store.number("SELECT count(*) FROM job"),
    )
    this.record(SERVED, early=values[0], half=values[(len(values) - 1) // 2], late=values[-1], **samples)
