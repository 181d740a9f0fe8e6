"""The web process, as ``python -m pacifica.dispatcher`` and ``pacifica.dispatcher.wsgi`` both start it."""

import logging
import os
from collections.abc import Callable, Mapping
from typing import Any

import cherrypy

from . import rest
from .config.settings import Settings
from .container import Container
from .core import parent_watch
from .logs.setup import configure
from .web.middleware.request_spans import trace_requests
from .web.request_classes import keep
from .web.server.bounds import Limits
from .web.server.loop import WAITER
from .web.server.server import ServerOptions, most_connections
from .web.user_hooks import has_user_hooks

logger = logging.getLogger(__name__)

OPEN: Mapping[str, str] = {
    "loopback": (
        "Programs on this machine need no token ([auth] anonymous = loopback). A proxy or a tunnel on this machine can "
        "look like one of them, and then admits everyone who reaches it. Before you start one, set anonymous = none "
        "(docs/operations.md, section Behind a proxy)."
    ),
    "anywhere": (
        "Everyone who reaches this server may do everything without a token ([auth] anonymous = anywhere). "
        "Set anonymous = none to require tokens."
    ),
}
"""The warning at the start of a server that admits callers without a token."""


class WebProcess:
    """The HTTP API of one process, with the threads that publish and do the periodic duties.

    The constructor raises ``ConfigError``, ``DatabaseUnavailable`` and ``SchemaMismatch``. With ``patient`` it waits
    for a database that is not up yet.
    """

    def __init__(self, load: Callable[[], Settings], *, patient: bool = True) -> None:
        parent_watch.start(os.environ)
        self._container = container = Container(load, waiter=WAITER)
        self.settings = settings = container.settings
        configure(settings.logging)
        container.app.log_tasks()  # A fault is reported before a database is made or awaited.
        container.prepare(patient=patient)
        self.tree = rest.mount(
            container.service,
            settings.auth,
            container.tokens,
            settings.dispatcher,
            container.monitor,
            settings.dashboard,
        )
        trace_requests(self.tree, container.tracing)

    def limit_waiting(self, threads: int) -> None:
        """Let requests that wait for a job use at most half of the threads; for a server whose threads they hold."""
        feed = self._container.feed
        feed.places = min(feed.places, threads // 2)

    def count_events(self) -> None:
        """Count the events of this process from now on."""
        self._container.count_events()

    def server_options(self, adapter: Any) -> ServerOptions:
        """The options of our own server; ``adapter`` has CherryPy's ``server`` settings.

        With a tool or hook of a user, a thread runs each request.
        """
        inline = not has_user_hooks(cherrypy.config, self.tree.config)
        body = self.settings.dispatcher.body_limit
        head = adapter.max_request_header_size or Limits().head
        return ServerOptions(
            threads=adapter.thread_pool,
            limits=Limits(float(adapter.socket_timeout), head, body, 4 * body, most_connections()),
            grace=float(adapter.shutdown_timeout),
            inline=inline,
            multiprocess=self.settings.server.processes > 1,
            keep=keep,
            refused=self._container.monitor.counts.unread,
        )

    def start(self) -> None:
        """Start publishing, and the periodic duties; log a warning if callers need no token."""
        if warning := OPEN.get(self.settings.auth.anonymous):
            logger.warning(warning)
        if not self._container.row_queue:
            self._container.relay.start()
        self._container.upkeep.start()

    def stop_waiting(self) -> None:
        """End the wait of every request that waits for a job, so that the server's threads can end."""
        self._container.feed.stop()

    def stop(self) -> None:
        """Stop publishing and the periodic duties."""
        self._container.relay.stop()
        self._container.upkeep.stop()

    def disconnect(self) -> None:
        """Close the calling thread's connection to the database."""
        self._container.database.close()
