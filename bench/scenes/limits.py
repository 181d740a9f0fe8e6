"""What lies beneath all: how fast its parts are alone on this machine."""

import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import ClassVar

from ..processes import Command, Group, Process, group
from ..servers import RABBITMQ, Servers, lend
from ..systems.system import OURS, ROOT
from .scene import Figure, Round, Scene, Table
from .webs import page_rate

PAGES = {"page-1": 1, "page-2": 2, "page-own": 0}
TASKS = ROOT / "systems" / "empty_tasks"
EMPTY = 3000
"""Empty tasks that the worker is given, at five seconds a measurement; fewer in the short form."""


class Limits(Scene):
    """One figure each."""

    name = "limits"
    title = "The limits beneath, one after the other"
    tables = (Table("limits", "Each alone on the machine", (Figure("rate", "per second"),)),)
    rows: ClassVar[Mapping[str, str]] = {
        "page-1": "bare CherryPy page, gunicorn, one process",
        "page-2": "bare CherryPy page, gunicorn, two processes",
        "page-own": "bare CherryPy page, its own server",
        "delay": "Celery delay() to RabbitMQ",
        "publish": "kombu publish to RabbitMQ, not confirmed",
        "publish-confirmed": "kombu publish to RabbitMQ, each confirmed",
        "worker": "Celery worker of two, empty tasks without results",
        "sqlite-normal": "SQLite insert and commit, WAL, synchronous=NORMAL",
        "sqlite-full": "SQLite insert and commit, WAL, synchronous=FULL",
    }

    def measure(self, this: Round) -> None:
        """All of them; the command line's choice of systems says nothing here."""
        for row in self.rows:
            if row in PAGES:
                this.attempt(row, lambda row=row: this.record(row, rate=page_rate(this, PAGES[row])))
                continue
            missing = "" if row.startswith("sqlite") else this.servers.missing(RABBITMQ)
            if missing:
                this.leave_out(row, missing)
            else:
                this.attempt(row, lambda row=row: this.record(row, rate=_rate(this, row)))


@contextmanager
def alone(servers: Servers, *needs: str) -> Iterator[tuple[Path, Group]]:
    """A working directory, and processes in it that find ``bench`` and the empty tasks."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory(prefix="bench-limit-", ignore_cleanup_errors=True)))
        told = lend(stack, servers, needs)
        yield folder, stack.enter_context(group(folder, told | {"PYTHONPATH": f"{ROOT.parent}:{TASKS}"}))


def run(processes: Group, what: str, seconds: float = 0) -> None:
    """One of ``bench.limits``, until it has ended."""
    processes.run(Command(what, [OURS / "python", "-m", "bench.limits", what, str(seconds)]), seconds + 60)


def start_worker(folder: Path, processes: Group) -> Process:
    """Celery's prefork worker of the empty tasks, with two processes."""
    name = f"limit-{folder.name}@%h"
    return processes.start(Command("worker", [OURS / "celery", "-A", "work", "worker", "-n", name, "-c", "2"]))


def noted(name: str, folder: Path, processes: Group) -> float:
    """When (``time.time()``) the worker came to the task that notes it under this name; it is waited for."""
    file = folder / f"{name}.time"
    until = time.monotonic() + 120
    while not file.exists():
        processes.must_live()
        if time.monotonic() > until:
            raise TimeoutError(f"the worker did not come to {file.name}")
        time.sleep(0.02)
    return float(file.read_text(encoding="ascii"))


def _rate(this: Round, row: str) -> float:
    with alone(this.servers, *(() if row.startswith("sqlite") else (RABBITMQ,))) as (folder, processes):
        if row == "worker":
            return _worker(this, folder, processes)
        run(processes, row, this.sizes.seconds)
        return float((folder / f"{row}.log").read_text(encoding="utf-8").splitlines()[-1])


def _worker(this: Round, folder: Path, processes: Group) -> float:
    number = max(200, round(EMPTY * this.sizes.seconds / 5))
    run(processes, f"fill-{number}")
    start_worker(folder, processes)
    times = [noted(name, folder, processes) for name in ("begun", "ended", "ended-too")]
    return number / (max(times) - times[0])
