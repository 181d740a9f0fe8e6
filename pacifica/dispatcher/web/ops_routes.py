"""Operational routes: health, metrics, and the description of the API."""

from collections.abc import Callable
from typing import Any

import cherrypy

from ..core.permissions import READ
from ..monitoring import health
from ..monitoring.web_monitor import WebMonitor
from . import representations
from .etag import tagged
from .openapi import html
from .operation import Operation
from .representations import JSON, TEXT, as_json, negotiate

OPENMETRICS = "application/openmetrics-text"
MEDIA = {
    TEXT: f"{TEXT};version=0.0.4;charset=utf-8",
    OPENMETRICS: f"{OPENMETRICS};version=1.0.0;charset=utf-8",
}
"""The content types of the metrics, with the versions of their formats."""


@cherrypy.expose
class Live:
    """``/health/live``"""

    @Operation("/health/live", None, {200: "object"}, short=True)
    def GET(self) -> bytes:
        """Report that the process answers requests."""
        return as_json({"status": "ok"})


@cherrypy.expose
class Ready:
    """``/health/ready``"""

    def __init__(self, health: health.HealthCheck) -> None:
        self._health = health

    @Operation("/health/ready", None, {200: "Readiness", 503: "Readiness"})
    def GET(self) -> bytes:
        """Report whether jobs are accepted and will be run, with a verdict for each part; 503 if none is accepted."""
        readiness = self._health.look()
        cherrypy.response.status = 200 if readiness.ready else 503
        return as_json(representations.readiness(readiness))


@cherrypy.expose
class Health:
    """``/health``"""

    def __init__(self, health: health.HealthCheck) -> None:
        self.live = Live()
        self.ready = Ready(health)


@cherrypy.expose
class Metrics:
    """``/metrics``"""

    def __init__(self, monitor: WebMonitor) -> None:
        self._monitor = monitor

    @Operation("/metrics", READ, {200: f"{TEXT}, {OPENMETRICS}"}, every_job=True)
    def GET(self) -> bytes:
        """Return metrics for Prometheus: counters of the web processes, and the current state of the record."""
        media = negotiate(TEXT, OPENMETRICS)
        cherrypy.response.headers["Content-Type"] = MEDIA[media]
        return self._monitor.as_text() if media == TEXT else self._monitor.as_openmetrics()


@cherrypy.expose
class Openapi:
    """``/openapi.json``"""

    def __init__(self, describe: Callable[[], dict[str, Any]]) -> None:
        self._describe = describe

    @Operation("/openapi.json", READ, {200: "object, ETag", 304: "ETag"}, headers=("If-None-Match",))
    def GET(self) -> bytes:
        """Return this document (OpenAPI 3.1)."""
        negotiate(JSON)
        return tagged(as_json(self._describe()))


@cherrypy.expose
class Docs:
    """``/docs``"""

    def __init__(self, describe: Callable[[], dict[str, Any]]) -> None:
        self._describe = describe

    @Operation("/docs", READ, {200: "text/html, ETag", 304: "ETag"}, headers=("If-None-Match",))
    def GET(self) -> bytes:
        """Return this document as an HTML page."""
        negotiate(html.HTML)
        return tagged(html.as_page(self._describe()))
