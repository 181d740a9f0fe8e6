"""The search field of each page: it leads to jobs by their UUID, their task or their error."""

import re
from collections.abc import Sequence

from ..core.errors import BadId
from ..core.job import parse_uuid
from ..core.job_filter import JobFilter
from ..core.permissions import READ
from ..service.verbs import Service
from ..web.operation import Operation, Query
from ..web.request.request_context import visible_jobs
from ..web.request.search_query import MAX_ERROR
from . import list_address, rendering
from .job_list import rows_of
from .sign_in import see_other

_PREFIX = re.compile(r"[0-9a-f]{8}(-[0-9a-f-]{0,28})?", re.ASCII)
"""The beginning of a UUID, as pages show it."""

MOST_JOBS = 50
"""The most jobs that are listed by the beginning of their UUID, the newest."""


class Find:
    """``/ui/find``"""

    exposed = True

    def __init__(self, service: Service) -> None:
        self._service = service

    @Operation("/ui/find", READ, {200: "", 303: ""}, query={"q": {"type": "string"}}, page=True)
    def GET(self, *, q: Query = None) -> bytes:
        """Show the job or the jobs of this UUID or its beginning, else those of a task, else those of an error."""
        text = (q if isinstance(q, str) else "").strip().replace("\0", "")
        if not text:
            return see_other("/ui/jobs")
        if (uuid := _uuid(text)) is not None:
            return see_other(f"/ui/jobs/{uuid}")
        if _PREFIX.fullmatch(low := text.lower()):
            jobs, more = self._service.beginning_with(low, MOST_JOBS, visible_jobs())
            if len(jobs) == 1 and not more:
                return see_other(f"/ui/jobs/{jobs[0].uuid}")
            if jobs:
                return rendering.page("found.html", rows=rows_of(jobs), text=low, most=MOST_JOBS if more else None)
        if (task := self._task(text)) is not None:
            return _list(task=[task])
        return _list(error=[text[:MAX_ERROR]])

    def _task(self, text: str) -> str | None:
        """The visible task of this name, also one of former jobs, or the only one that has it as its last parts."""
        visible, registry = visible_jobs(), self._service.registry
        if visible.matches(text) and (
            text in registry or self._service.search(JobFilter(task=text), None, 1, visible)[0]
        ):
            return text
        longer = [name for name in registry.ending_with(text) if visible.matches(name)]
        return longer[0] if len(longer) == 1 else None


def _uuid(text: str) -> str | None:
    try:
        return parse_uuid(text)
    except BadId:
        return None


def _list(**address: Sequence[str]) -> bytes:
    return see_other(f"/ui/jobs{list_address.encoded(address)}")
