"""A table that already holds a million jobs, beside a small one: what each request costs there, and a purge."""

import atexit
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import ClassVar

from .. import tables
from ..filling import Filling
from ..servers import POSTGRESQL
from ..statistics import Comparison
from ..stores import MARIADB, SQLITE, Store, new_store
from ..systems.ours import Ours, Parts, parts, store_missing, told
from .scene import Figure, Round, Scene, Table

SMALL = 6000
"""Jobs of the small table: so many that each page that is looked for is full there, too."""
LARGE: Mapping[str, int] = {SQLITE: 1_000_000, POSTGRESQL: 1_000_000, MARIADB: 200_000}
SHORTLY = 20_000
SHARE = 0.4
"""Of the seconds that others load for."""
SETTINGS = told({"dispatcher": {"republish_seconds": "86400"}})
"""The jobs that were sent by nobody, to be in the table, are not sent again."""
FIGURES = (
    Figure("dispatch", "dispatch/s"),
    Figure("status", "status/s, random jobs"),
    Figure("state_task", "page by state and task, ms", "lower", 1),
    Figure("state_task_deep", "the same, from the middle", "lower", 1),
    Figure("rare", "page of a task's failures, ms", "lower", 1),
    Figure("rare_deep", "the same, from the middle", "lower", 1),
    Figure("label", "page by label, ms", "lower", 1),
    Figure("label_deep", "the same, from the middle", "lower", 1),
    Figure("idle", "upkeep's round, nothing to do, ms", "lower", 1),
    Figure("rescue", f"upkeep's round that puts {tables.LOST} jobs back, ms", "lower"),
)
PURGE = (
    Figure("before", "dispatch/s without a purge"),
    Figure("during", "dispatch/s during one"),
    Figure("purged", "purged/s meanwhile"),
)
SIZES = (
    Figure("jobs", "jobs in the table"),
    Figure("bytes", "bytes per job"),
    Figure("bytes_job", "the row"),
    Figure("bytes_job_indexes", "its indexes"),
    Figure("bytes_event", "its history"),
    Figure("bytes_event_indexes", "the history's index"),
    Figure("bytes_label", "labels"),
    Figure("bytes_label_indexes", "the labels' indexes"),
    Figure("fill", "s to fill the table", "lower"),
)
CLOSE = 1.2


def _comparisons() -> Sequence[Comparison]:
    found = []
    for kind in (SQLITE, POSTGRESQL):
        for figure in FIGURES:
            bound = CLOSE if figure.better == "lower" else round(1 / CLOSE, 3)
            large, small = f"{kind}-large", (f"{kind}-small",)
            title = f"{kind}, {figure.name.replace('_', ', ')}: the large table beside the small one"
            found.append(Comparison(title, large, figure.name, small, figure.name, bound, figure.better))
    for kind in LARGE:
        row = f"{kind}-large"
        found.append(
            Comparison(f"{kind}, dispatch during a purge, beside before", row, "during", (row,), "before", 0.7)
        )
    return found


class Million(Scene):
    """Reach 6 of issue 6: a database of each kind is filled in the first round, and serves in all."""

    name = "million"
    title = "A million jobs in the table"
    tables = (
        Table("million", f"Beside a table of {SMALL:,} jobs, with two worker processes", FIGURES),
        Table("purge", "A purge by `pacifica-dispatcher-cmd purge` in the background", PURGE),
        Table(
            "sizes",
            "Bytes on disk, of a table that was filled in one go: 3 events a job, labels on three of ten",
            SIZES,
        ),
    )
    rows: ClassVar[Mapping[str, str]] = {
        f"{kind}-{size}": f"{kind}, the {size} table" for kind in LARGE for size in ("small", "large")
    }
    comparisons = _comparisons()

    def __init__(self) -> None:
        self._stack = ExitStack()
        self._kept: dict[str, tuple[Store, Filling]] = {}
        atexit.register(self._stack.close)

    def measure(self, this: Round) -> None:
        """Both tables are served at the same time, and asked in turns; MariaDB's is only purged, and once.

        The short form is SQLite alone.
        """
        kinds = [SQLITE] if shortly(this) else list(LARGE)
        for kind in kinds:
            if missing := store_missing(this.servers, kind):
                this.leave_out(f"{kind}-large", missing)
            elif kind != MARIADB or this.number == 1:
                this.attempt(f"{kind}-large", lambda kind=kind: self._measure(this, kind))
        if this.number == this.sizes.rounds:
            self._kept.clear()
            self._stack.close()

    def _measure(self, this: Round, kind: str) -> None:
        sizes = ["large"] if kind == MARIADB else ["small", "large"]
        if this.number % 2 == 0:
            sizes.reverse()
        with ExitStack() as stack:
            both = {f"{kind}-{size}": self._prepared(this, stack, kind, size) for size in sizes}
            for one in both.values():
                one.start_worker()
                one.start_web()
            for one in both.values():
                one.await_ready()
                one.await_job()
                one.wait(lambda one=one: not one.store.unsent(), "what was put back was not sent")
            seconds, connections = max(1.0, this.sizes.seconds * SHARE), this.sizes.connections
            if kind != MARIADB:
                for row, one in both.items():
                    this.record(row, **tables.dispatched(one, seconds, connections))
                for row, one in both.items():
                    this.record(row, **tables.statuses(one, self._kept[row][1], seconds, connections))
                for row, one in both.items():
                    this.record(row, **tables.searches(one, self._kept[row][1]))
            this.record(f"{kind}-large", **tables.purge(both[f"{kind}-large"], seconds, connections))

    def _prepared(self, this: Round, stack: ExitStack, kind: str, size: str) -> Parts:
        """Tables with jobs in them, and configured; nothing runs yet."""
        row, now = f"{kind}-{size}", int(time.time() * 1e6)
        new = row not in self._kept
        if new:
            folder = self._stack.enter_context(TemporaryDirectory(prefix="bench-million-", ignore_cleanup_errors=True))
            store = self._stack.enter_context(new_store(kind, Path(folder)))
            large = min(SHORTLY, LARGE[kind]) if shortly(this) else LARGE[kind]
            self._kept[row] = store, Filling(SMALL if size == "small" else large, now)
        store, filling = self._kept[row]
        one = stack.enter_context(parts(Ours(store, settings=SETTINGS), this.servers))
        if new:
            begun = time.monotonic()
            filling.put(store)
            this.record(row, fill=time.monotonic() - begun, jobs=filling.ended)
            this.record(row, **_bytes(store, filling.ended))
        if kind != MARIADB:
            this.record(row, **tables.upkeep(one, now))
        return one


def shortly(this: Round) -> bool:
    """Whether it is only to be seen that all works."""
    return this.sizes.seconds < 2


def _bytes(store: Store, jobs: int) -> Mapping[str, float]:
    sizes = store.sizes()
    told = {f"bytes_{name.replace(' ', '_')}": size / jobs for name, size in sizes.items()}
    wanted = {figure.name for figure in SIZES}
    return {name: value for name, value in told.items() if name in wanted} | {"bytes": sum(sizes.values()) / jobs}
