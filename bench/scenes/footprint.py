"""How soon the service is ready, and how much memory and processor time it uses."""

import time
from collections.abc import Mapping
from typing import ClassVar

from ..load import send
from ..processes import Process, family, memory
from ..stores import Store
from ..systems import ALL
from ..systems.system import Running, prepared
from .embedded import idle_share
from .scene import Figure, Round, Scene, Table

SYSTEMS = ("pacifica", "pacifica-embedded")
SAMPLES = 10
MOST = 3000
"""Jobs that may wait when the next thousand is sent."""


class Footprint(Scene):
    """The ``peers`` scene compares the memory with that of the peers."""

    name = "footprint"
    title = "Memory, idle processor time, cold start"
    tables = (
        Table(
            "One web process, two worker processes, started at the same moment; PSS in MB",
            (
                Figure("ready", "s until the server answers", "lower", 2),
                Figure("first", "s until the first job is done", "lower", 2),
                Figure("web_start", "PSS web", "lower"),
                Figure("worker_start", "PSS worker and its two", "lower"),
                Figure("web_1000", "PSS web, 1,000 jobs later", "lower"),
                Figure("worker_1000", "PSS worker, 1,000 jobs later", "lower"),
                Figure("idle", "idle, % of a core", "lower", 2),
            ),
        ),
        Table(
            "Over many jobs, in batches of a thousand",
            (
                Figure("jobs", "jobs"),
                Figure("early", "PSS after the first tenth", "lower", 1),
                Figure("half", "after half of them", "lower", 1),
                Figure("late", "after all", "lower", 1),
                Figure("flow", "jobs/s"),
            ),
        ),
    )
    rows: ClassVar[Mapping[str, str]] = {name: ALL[name].title for name in SYSTEMS}

    def measure(self, this: Round) -> None:
        for name in SYSTEMS:
            if not this.chosen or name in this.chosen:
                this.attempt(name, ALL[name].missing(), lambda name=name: _measure(this, name))


def _measure(this: Round, name: str) -> None:
    with prepared(ALL[name], this.servers) as running:
        begin = time.monotonic()
        web, workers = running.start_web(), running.start_workers()
        running.wait_for_web()
        this.record(name, ready=time.monotonic() - begin)
        running.wait_for_job()
        this.record(name, first=time.monotonic() - begin)
        this.record(name, web_start=_memory(web), worker_start=_memory(*workers))
        store = ALL[name].store(running.place)  # type: ignore[attr-defined]
        _run_jobs(running, store, 1000)
        this.record(name, web_1000=_memory(web), worker_1000=_memory(*workers))
        this.record(name, idle=idle_share(running, 2 * this.sizes.seconds))
        if name == SYSTEMS[0] and this.number == 1:
            this.record(name, **_many_jobs(running, store, this.sizes.flow))


def _memory(*processes: Process) -> float:
    return memory(family(process.popen.pid for process in processes))


def _run_jobs(running: Running, store: Store, jobs: int) -> None:
    for first in range(0, jobs, 1000):
        send(running, min(1000, jobs - first))
        running.wait(lambda: store.open_jobs() <= MOST, f"more than {MOST} jobs were open")
    running.wait(lambda: not store.open_jobs(), "not all jobs ended")


def _many_jobs(running: Running, store: Store, jobs: int) -> Mapping[str, float]:
    begin = time.monotonic()
    samples = []
    for _ in range(SAMPLES):
        _run_jobs(running, store, jobs // SAMPLES)
        samples.append(memory(running.processes.pids()))
    early, half, late = samples[0], samples[SAMPLES // 2 - 1], samples[-1]
    return {"jobs": jobs, "early": early, "half": half, "late": late, "flow": jobs / (time.monotonic() - begin)}
