"""The list of jobs: filters in the address, pages newest first."""

from typing import Any

import cherrypy

from ..core.permissions import READ
from ..service.verbs import Service
from ..web.operation import Operation
from ..web.request import search_query
from ..web.request.request_context import visible_jobs
from . import rendering


class JobList:
    """``/ui/jobs``; ``job`` is the resource of one job, ``/ui/jobs/<uuid>`` and below."""

    exposed = True

    def __init__(self, service: Service, job: Any = None) -> None:
        self._service = service
        self._job = job

    @Operation("/ui/jobs", READ, {200: ""}, query=search_query.PARAMETERS, page=True)
    def GET(self, **query: str | list[str]) -> bytes:
        """Show a page of the jobs that match."""
        filters, after, limit = search_query.filters(query), search_query.position(query), search_query.limit(query)
        jobs, _ = self._service.search(filters, after, limit, visible_jobs())
        return rendering.page("jobs.html", jobs=jobs)

    def _cp_dispatch(self, vpath: list[str]) -> Any:
        """Let the resource of one job answer ``/ui/jobs/<uuid>`` and what is below it."""
        if self._job is None or not vpath:
            return None
        cherrypy.request.params["uuid"] = vpath.pop(0)
        return self._job
