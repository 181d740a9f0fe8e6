"""What each setting costs: durability, logging, the kind of database."""

from collections.abc import Mapping
from typing import ClassVar, NamedTuple

from ..load import batches, dispatch_for, waited
from ..servers import POSTGRESQL
from ..stores import MARIADB, SQLITE
from ..systems.ours import fresh_parts, store_missing, told
from .peers import DISPATCH, DONE
from .scene import Figure, Round, Scene, Table

ROUNDS = 3
SHARE = 0.6


class _Variant(NamedTuple):
    title: str
    kind: str = SQLITE
    section: str = "dispatcher"
    settings: Mapping[str, str] = {}
    level: str = ""


VARIANTS: Mapping[str, _Variant] = {
    "defaults": _Variant("the defaults, SQLite"),
    "normal": _Variant("`dispatch_synchronous = normal`", settings={"dispatch_synchronous": "normal"}),
    "reports-full": _Variant("`report_synchronous = full`", settings={"report_synchronous": "full"}),
    "no-access-log": _Variant("`access = false`", section="logging", settings={"access": "false"}),
    "warning": _Variant("`level = warning`", section="logging", settings={"level": "warning"}),
    "json": _Variant("`format = json`", section="logging", settings={"format": "json"}),
    "worker-info": _Variant("the worker with `-l info`", level="info"),
    "postgresql": _Variant("the defaults, PostgreSQL", POSTGRESQL),
    "mariadb": _Variant("the defaults, MariaDB", MARIADB),
}


class Durability(Scene):
    """For ``docs/performance.md``."""

    name = "durability"
    title = "What each setting costs: one web process, two worker processes, RabbitMQ"
    tables = (
        Table(
            "durability",
            "One setting changed at a time",
            (
                DISPATCH,
                DONE,
                Figure("accepted_1000", "accepted/s, 1,000 per request"),
                Figure("done_1000", "done end to end/s, 1,000 per request"),
                Figure("p50", "p50 ms with ?wait=", "lower", 1),
            ),
        ),
    )
    rows: ClassVar[Mapping[str, str]] = {row: variant.title for row, variant in VARIANTS.items()}

    def measure(self, this: Round) -> None:
        """Each from a fresh start, in three rounds at most, each of which begins with another one."""
        if this.number > ROUNDS:
            return
        rows = list(VARIANTS)[:2] if this.sizes.seconds < 2 else list(VARIANTS)
        first = (this.number - 1) * ROUNDS % len(rows)
        for row in rows[first:] + rows[:first]:
            variant = VARIANTS[row]
            if missing := store_missing(this.servers, variant.kind):
                this.leave_out(row, missing)
            else:
                this.attempt(row, lambda row=row, variant=variant: _measure(this, row, variant))


def _measure(this: Round, row: str, variant: _Variant) -> None:
    sizes = this.sizes
    settings = told({variant.section: variant.settings}) if variant.settings else ""
    with fresh_parts(this.servers, variant.kind, settings=settings, level=variant.level) as one:
        one.start_worker()
        one.start_web()
        one.await_ready()
        one.await_job()
        p50, _ = waited(one.live, sizes.jobs // 4)
        flow = dispatch_for(one.live, max(1.0, sizes.seconds * SHARE), sizes.connections)
        accepted, done = batches(one.live, sizes.batch, max(1, sizes.batches // 4))
        this.record(row, dispatch=flow.dispatch, done=flow.done, p50=p50, accepted_1000=accepted, done_1000=done)
