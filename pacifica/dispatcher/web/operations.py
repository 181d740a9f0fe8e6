"""Routes for those who run the service, or are new to it: health, and the description of the API itself."""

from typing import Any

import cherrypy

from ..service import Service
from . import openapi, pages
from .caching import tagged
from .openapi import Facts, operation
from .render import JSON, as_json, wanted


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

    def __init__(self, service: Service) -> None:
        self._service = service

    @operation("/health/ready", {200: "Readiness", 503: "Readiness"})
    def GET(self) -> bytes:
        """Whether jobs are accepted: 503 when not; with the broker's state and how many jobs wait for it."""
        seen = self._service.readiness()
        cherrypy.response.status = 200 if seen.ready else 503
        verdict = "ok" if seen.ready and seen.broker == "ok" else "degraded" if seen.ready else "unavailable"
        return as_json(
            {"status": verdict, "database": seen.database, "broker": seen.broker, "outbox": {"waiting": seen.outbox}}
        )


@cherrypy.expose
class Health:
    """``/health``"""

    def __init__(self, service: Service) -> None:
        self.live = Live()
        self.ready = Ready(service)


@cherrypy.expose
class Openapi:
    """``/openapi.json``"""

    def __init__(self, root: Any, service: Service, facts: Facts) -> None:
        self._root, self._service, self._facts = root, service, facts

    @operation("/openapi.json", {200: "object, ETag", 304: "ETag"}, headers=("If-None-Match",))
    def GET(self) -> bytes:
        """This document (OpenAPI 3.1)."""
        wanted(JSON)
        return tagged(as_json(openapi.document(self._root, self._service.registry, self._facts)))


@cherrypy.expose
class Docs:
    """``/docs``"""

    def __init__(self, root: Any, service: Service, facts: Facts) -> None:
        self._root, self._service, self._facts = root, service, facts

    @operation("/docs", {200: "text/html, ETag", 304: "ETag"}, headers=("If-None-Match",))
    def GET(self) -> bytes:
        """This document as a page to read."""
        wanted(pages.HTML)
        return tagged(pages.as_page(openapi.document(self._root, self._service.registry, self._facts)))
