"""The tree of pages below ``/ui``; ``/`` shows the overview."""

import cherrypy

from ..monitoring.web_monitor import WebMonitor
from ..service.tokens import Tokens
from ..service.verbs import Service
from ..web.operation import Operation
from .assets import Static
from .find import Find
from .job_list import JobList
from .job_page import JobPage
from .overview import Overview
from .sign_in import SignIn, SignOut, see_other
from .task_pages import TaskPages


@cherrypy.expose
class Pages:
    """``/ui``"""

    def __init__(self, service: Service, monitor: WebMonitor, tokens: Tokens) -> None:
        self.static = Static()
        self.sign_in, self.sign_out = SignIn(tokens), SignOut()
        self.jobs = JobList(service, JobPage(service))
        self.tasks = TaskPages(service, monitor)
        self.find = Find(service)
        self._overview = Overview(service, monitor)

    @Operation("/ui", None, {303: ""}, page=True)
    def GET(self) -> bytes:
        """Show the overview, which is at ``/``."""
        return see_other("/")

    def overview(self, span: str) -> bytes:
        """The page at ``/``, with the charts of this span."""
        return self._overview.page(span)
