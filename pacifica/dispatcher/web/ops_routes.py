"""Routes for those who run the service, or are new to it: health, and the description of the API itself."""

from typing import Any

import cherrypy

from ..monitoring import health
from ..monitoring.web_monitor import WebMonitor
from ..service.verbs import Service
from . import representations
from .etag import tagged
from .openapi import document, html
from .openapi.document import Facts, operation
from .representations import JSON, TEXT, as_json, wanted

OPENMETRICS = "application/openmetrics-text"
MEDIA = {
    TEXT: f"{TEXT};version=0.0.4;charset=utf-8",
    OPENMETRICS: f"{OPENMETRICS};version=1.0.0;charset=utf-8",
}
"""The media types of the metrics, with the versions of their formats."""


@cherrypy.expose
class Live:
    """``/health/live``"""

    @operation("/health/live", {200: "object"})
    def GET(self) -> bytes:
        """The process answers."""
        return as_json({"status": "ok"})


@cherrypy.expose
class Ready:
    """``/health/ready``"""

    def __init__(self, health: health.Health) -> None:
        self._health = health

    @operation("/health/ready", {200: "Readiness", 503: "Readiness"})
    def GET(self) -> bytes:
        """Whether jobs are accepted, and will be run: a verdict for each part that it takes; 503 when not."""
        seen = self._health.look()
        cherrypy.response.status = 200 if seen.ready else 503
        return as_json(representations.readiness(seen))


@cherrypy.expose
class Health:
    """``/health``"""

    def __init__(self, health: health.Health) -> None:
        self.live = Live()
        self.ready = Ready(health)


@cherrypy.expose
class Metrics:
    """``/metrics``"""

    def __init__(self, monitor: WebMonitor) -> None:
        self._monitor = monitor

    @operation("/metrics", {200: f"{TEXT}, {OPENMETRICS}"})
    def GET(self) -> bytes:
        """Figures for Prometheus: what the web processes counted, and what the record says now."""
        media = wanted(TEXT, OPENMETRICS)
        cherrypy.response.headers["Content-Type"] = MEDIA[media]
        return self._monitor.as_text() if media == TEXT else self._monitor.as_openmetrics()


@cherrypy.expose
class Openapi:
    """``/openapi.json``"""

    def __init__(self, root: Any, service: Service, facts: Facts) -> None:
        self._root, self._service, self._facts = root, service, facts

    @operation("/openapi.json", {200: "object, ETag", 304: "ETag"}, headers=("If-None-Match",))
    def GET(self) -> bytes:
        """This document (OpenAPI 3.1)."""
        wanted(JSON)
        return tagged(as_json(document.document(self._root, self._service.registry, self._facts)))


@cherrypy.expose
class Docs:
    """``/docs``"""

    def __init__(self, root: Any, service: Service, facts: Facts) -> None:
        self._root, self._service, self._facts = root, service, facts

    @operation("/docs", {200: "text/html, ETag", 304: "ETag"}, headers=("If-None-Match",))
    def GET(self) -> bytes:
        """This document as a page to read."""
        wanted(html.HTML)
        return tagged(html.as_page(document.document(self._root, self._service.registry, self._facts)))
