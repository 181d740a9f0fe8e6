"""A table that holds a million jobs beside a small one: what each request costs there, and a purge."""

import atexit
import base64
import json
import random
import time
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import ClassVar
from urllib.parse import parse_qs, urlsplit

from ..filling import Filling
from ..load import dispatch_for, rate
from ..processes import Command
from ..requesting import Client, Request
from ..servers import POSTGRESQL, RABBITMQ, missing
from ..statistics import Comparison, percentile
from ..stores import SQLITE, Store, missing_store, new_store
from ..systems.pacifica import PacificaFilled
from ..systems.system import DEVELOPMENT, Running, prepared
from .scene import Figure, Round, Scene, Table

SMALL = 6000
"""Jobs of the small table: enough for two full pages of each search."""
KINDS = (SQLITE, POSTGRESQL)
SHARE = 0.4
"""Each load lasts this part of the seconds of the other scenes."""
PAGE, PAGES = 20, 60
SEARCHES: Mapping[str, str] = {
    "state_task": f"/status?state=SUCCESS&task=add&limit={PAGE}",
    "rare": f"/status?state=FAILURE&task=sleep&limit={PAGE}",
    "label": f"/status?label=batch:7&limit={PAGE}",
}
FIGURES = (
    Figure("dispatch", "dispatch/s"),
    Figure("status", "status/s, random jobs"),
    Figure("state_task", "page by state and task, ms", "lower", 1),
    Figure("state_task_deep", "the same, from the middle", "lower", 1),
    Figure("rare", "page of a task's failures, ms", "lower", 1),
    Figure("rare_deep", "the same, from the middle", "lower", 1),
    Figure("label", "page by label, ms", "lower", 1),
    Figure("label_deep", "the same, from the middle", "lower", 1),
)


class Million(Scene):
    """The first round fills a database of each kind, which serves in all rounds."""

    name = "million"
    title = "A million jobs in the table"
    tables = (
        Table(f"Beside a table of {SMALL:,} jobs, with two worker processes", FIGURES),
        Table(
            "A purge by `pacifica-dispatcher-cmd purge` in the background",
            (
                Figure("before", "dispatch/s without a purge"),
                Figure("during", "dispatch/s during one"),
                Figure("purged", "purged/s meanwhile"),
            ),
        ),
        Table(
            "On disk: 3 events per job, labels on three of ten",
            (
                Figure("jobs", "jobs in the table"),
                Figure("bytes", "bytes per job"),
                Figure("bytes_job", "of which the row and its indexes"),
                Figure("bytes_event", "its history"),
                Figure("bytes_label", "its labels"),
                Figure("fill", "s to fill the table", "lower"),
            ),
        ),
    )
    rows: ClassVar[Mapping[str, str]] = {
        f"{kind}-{size}": f"{kind}, the {size} table" for kind in KINDS for size in ("small", "large")
    }
    comparisons = (
        *(
            Comparison(
                f"{kind}, {figure.title}: the large table beside the small one",
                *(f"{kind}-large", figure.name, (f"{kind}-small",), figure.name, figure.better),
            )
            for kind in KINDS
            for figure in FIGURES
        ),
        *(
            Comparison(f"{kind}, dispatch during a purge, beside before", row, "during", (row,), "before")
            for kind in KINDS
            for row in (f"{kind}-large",)
        ),
    )

    def __init__(self) -> None:
        self._stack = ExitStack()
        self._kept: dict[str, tuple[Store, Filling]] = {}
        atexit.register(self._stack.close)

    def measure(self, this: Round) -> None:
        for kind in KINDS:
            reason = missing_store(kind) or missing(RABBITMQ)
            this.attempt(f"{kind}-large", reason, lambda kind=kind: self._measure(this, kind))
        if this.number == this.sizes.rounds:
            self._kept.clear()
            self._stack.close()

    def _measure(self, this: Round, kind: str) -> None:
        """Serve both tables at the same time, and ask them in turns."""
        sizes = ("small", "large") if this.number % 2 else ("large", "small")
        with ExitStack() as stack:
            both = {row: self._served(this, stack, kind, row) for row in (f"{kind}-{size}" for size in sizes)}
            seconds, connections = max(1.0, this.sizes.seconds * SHARE), this.sizes.connections
            for row, running in both.items():
                this.record(row, dispatch=dispatch_for(running, seconds, connections).dispatch)
            for row, running in both.items():
                uuids = list(self._kept[row][1].sample)
                random.Random(3).shuffle(uuids)
                paths = tuple(f"/status/{uuid}" for uuid in uuids)
                this.record(row, status=rate(running, Request("/"), seconds, connections, paths))
            for row, running in both.items():
                this.record(row, **_searches(running, self._kept[row][1]))
            this.record(f"{kind}-large", **_purge(both[f"{kind}-large"], seconds, connections))

    def _served(self, this: Round, stack: ExitStack, kind: str, row: str) -> Running:
        new = row not in self._kept
        if new:
            folder = self._stack.enter_context(TemporaryDirectory(prefix="bench-million-", ignore_cleanup_errors=True))
            jobs = SMALL if row.endswith("small") else this.sizes.table
            store = self._stack.enter_context(new_store(kind, Path(folder)))
            self._kept[row] = store, Filling(jobs, int(time.time() * 1e6))
        store, filling = self._kept[row]
        running = stack.enter_context(prepared(PacificaFilled(store), this.servers))
        if new:
            begin = time.monotonic()
            filling.insert(store)
            sizes = {name: size / filling.jobs for name, size in store.sizes().items()}
            this.record(row, fill=time.monotonic() - begin, jobs=filling.jobs, bytes=sum(sizes.values()))
            this.record(row, **{f"bytes_{name}": sizes[name] for name in ("job", "event", "label")})
        running.start_workers()
        running.start_web()
        running.wait_for_web()
        running.wait_for_job()
        return running


def _searches(running: Running, filling: Filling) -> Mapping[str, float]:
    """Return the median milliseconds of the first page of each search, and of a page in the middle of the table."""
    found = {}
    with Client(running.url) as client:
        for name, path in SEARCHES.items():
            found[name] = _page(client, path)
            following = json.loads(client.ask(Request(path)).body)["next"]
            found[f"{name}_deep"] = _page(client, _from(following, filling.middle))
    return found


def _page(client: Client, path: str) -> float:
    answers = [client.timed(Request(path)) for _ in range(PAGES)]
    jobs = len(json.loads(answers[-1][0].body)["jobs"])
    assert jobs == PAGE, f"{path} shows {jobs} jobs, not {PAGE}"
    return percentile([milliseconds for _, milliseconds in answers], 50)


def _from(following: str, middle: tuple[int, str]) -> str:
    """Return the path of the next page with another position in its cursor."""
    (cursor,) = parse_qs(urlsplit(following).query)["cursor"]
    mark = json.loads(base64.urlsafe_b64decode(cursor))[0]
    other = base64.urlsafe_b64encode(json.dumps([mark, *middle]).encode()).decode()
    return following.replace(cursor, other).replace(cursor.replace("=", "%3D"), other)


def _purge(running: Running, seconds: float, connections: int) -> Mapping[str, float]:
    """Return the dispatches per second before and during a purge, and the jobs that it deletes per second."""
    before = dispatch_for(running, seconds, connections)
    store = running.system.store(running.place)  # type: ignore[attr-defined]
    command = [DEVELOPMENT / "pacifica-dispatcher-cmd", "purge", "--older-than", "1d", "--state", "success"]
    gone = "SELECT count(*) FROM tombstone"
    first = store.number(gone)
    process = running.processes.start(Command("purge", command))
    running.wait(lambda: store.number(gone) > first, "no job was purged")
    first, begin = store.number(gone), time.monotonic()
    during = dispatch_for(running, seconds, connections)
    purged = (store.number(gone) - first) / (time.monotonic() - begin)
    running.processes.stop(process)
    assert process.popen.returncode, "the purge ended before the dispatches; the table is too small for this figure"
    return {"before": before.dispatch, "during": during.dispatch, "purged": purged}
