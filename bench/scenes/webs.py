"""Dispatch with two web processes each, beside a bare CherryPy page in the same server."""

from collections.abc import Mapping, Sequence
from typing import ClassVar

from .. import wrk
from ..load import dispatch_for
from ..requesting import Request
from ..statistics import Comparison
from ..systems.bare import Page, bare_page
from ..systems.system import System, running
from .peers import DISPATCH, DONE, PEERS
from .scene import Round, Scene, Table

SYSTEMS: Sequence[str] = (*PEERS, "pacifica")


class Webs(Scene):
    """Reach 2 of issue 6."""

    name = "webs"
    title = "Dispatch with two web processes, two worker processes"
    tables = (Table("webs", "Two web processes", (DISPATCH, DONE)),)
    rows: ClassVar[Mapping[str, str]] = {"bare": "a bare CherryPy page in the same server, no dispatch"}
    comparisons = (
        Comparison("dispatch, beside the best peer", "pacifica", "dispatch", PEERS, "dispatch", 1.1),
        Comparison("dispatch, beside a bare CherryPy page", "pacifica", "dispatch", ("bare",), "dispatch", 0.75),
    )

    def measure(self, this: Round) -> None:
        """Each system from a fresh start, and the page beside them."""

        def one(system: System) -> None:
            if not system.scales:
                this.leave_out(system.name, "its web part is one process")
                return
            with running(system, this.servers, web=2) as live:
                dispatch_for(live, this.sizes.warm_up, this.sizes.connections)
                flow = dispatch_for(live, this.sizes.seconds, this.sizes.connections)
                this.record(system.name, dispatch=flow.dispatch, done=flow.done)
                this.record(system.name, accepted=flow.accepted, finished=flow.finished)

        this.take_turns(SYSTEMS, one)
        this.attempt("bare", lambda: this.record("bare", dispatch=page_rate(this, 2)))


def page_rate(this: Round, processes: int) -> float:
    """Answers per second of a CherryPy page that does nothing; 0 processes are CherryPy's own server."""
    with bare_page(processes) as page:
        ask_page(this, page, this.sizes.warm_up)
        return ask_page(this, page, this.sizes.seconds).rate


def ask_page(this: Round, page: Page, seconds: float) -> wrk.Load:
    """Load for that time, of which no request may be refused."""
    load = wrk.run(page.url, Request("/"), seconds, page.folder, this.sizes.connections)
    assert not load.refused, f"{load.refused} requests were refused"
    return load
