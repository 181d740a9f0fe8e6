"""The overview: whether anything is wrong, and what; what waits, who works, what has happened lately."""

from ..monitoring.web_monitor import WebMonitor
from ..service.verbs import Service
from . import rendering


class Overview:
    """The page at ``/``."""

    def __init__(self, service: Service, monitor: WebMonitor) -> None:
        self._service = service
        self._monitor = monitor

    def page(self) -> bytes:
        """Render the page for this caller."""
        return rendering.page("overview.html", readiness=self._monitor.health.look())
