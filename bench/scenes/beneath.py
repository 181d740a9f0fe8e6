"""The processor time of what lies beneath a dispatch and a job, each alone."""

import time
from collections.abc import Mapping
from typing import ClassVar

from ..parts import BROKER, CLIENT, MAIN, WEB, client_used, each, server_used
from ..processes import cpu, family
from ..servers import RABBITMQ
from ..systems.bare import bare_page
from .limits import alone, noted, run, start_worker
from .scene import Figure, Round, Scene, Table
from .webs import ask_page

CHILDREN = "children"
EACH_SECOND = 2000
"""Empty tasks for each second of a load."""
PAGE, PUBLISHED, DRAINED = "page", "published", "drained"


class Beneath(Scene):
    """In the unit of the scene ``shares``."""

    name = "beneath"
    title = "The limits beneath"
    note = "Milliseconds of a core for each request or task, of what does nothing."
    tables = (
        Table(
            "beneath",
            "By part, in ms",
            (
                Figure(WEB, "web process", "lower", 3),
                Figure(MAIN, "Celery's main process", "lower", 3),
                Figure(CHILDREN, "its children", "lower", 3),
                Figure(BROKER, "RabbitMQ", "lower", 3),
                Figure(CLIENT, "client", "lower", 3),
                Figure("rate", "per second"),
            ),
        ),
    )
    rows: ClassVar[Mapping[str, str]] = {
        PAGE: "a request of a bare CherryPy page in our gunicorn worker, one process",
        PUBLISHED: "an empty Celery task published by `delay()`",
        DRAINED: "an empty Celery task drained from RabbitMQ by prefork `-c 2`, without result",
    }

    def measure(self, this: Round) -> None:
        """Both; the command line's choice of systems says nothing here."""
        this.attempt(PAGE, lambda: _page(this))
        if missing := this.servers.missing(RABBITMQ):
            this.leave_out(DRAINED, missing)
        else:
            this.attempt(DRAINED, lambda: _drained(this))


def _page(this: Round) -> None:
    with bare_page(1) as page:
        ask_page(this, page, this.sizes.warm_up)

        def used_now() -> dict[str, float]:
            return {WEB: page.processes.cpu(), CLIENT: client_used()}

        before = used_now()
        load = ask_page(this, page, this.sizes.seconds)
        this.record(PAGE, rate=load.rate, **each(before, used_now(), load.requests))


def _drained(this: Round) -> None:
    number = max(500, round(EACH_SECOND * this.sizes.seconds))

    with alone(this.servers, RABBITMQ) as (folder, processes):
        before = server_used(this.servers, RABBITMQ)
        run(processes, f"fill-{number}")
        this.record(PUBLISHED, **each(before, server_used(this.servers, RABBITMQ), number))
        started = start_worker(folder, processes).popen.pid

        def used_now() -> dict[str, float]:
            main, *children = family([started])
            return {MAIN: cpu([main]), CHILDREN: cpu(children), **server_used(this.servers, RABBITMQ)}

        begun = noted("begun", folder, processes)
        looked, before = time.time(), used_now()
        ended = max(noted(name, folder, processes) for name in ("ended", "ended-too"))
        # The worker has begun some before the look; it has nothing to do after the last one.
        seen = number * (ended - looked) / (ended - begun)
        this.record(DRAINED, rate=number / (ended - begun), **each(before, used_now(), seen))
