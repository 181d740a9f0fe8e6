"""The list of jobs: filters in the address, pages newest first, and rows that are refreshed by their ids."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import cherrypy

from ..core.errors import BadCursor, BadQuery
from ..core.job import Job, State, iso, now
from ..core.job_filter import MOST_FAILURES, JobFilter, PageCursor
from ..core.permissions import READ
from ..service.verbs import Service
from ..web.operation import Operation, Query
from ..web.request import search_query
from ..web.request.request_context import visible_jobs
from . import bulk_actions, call_lines, list_address, one_line, rendering
from .job_export import LARGEST_EXPORT, JobExport
from .sign_in import see_other

MOST_ROWS = 100
"""The most rows that are refreshed at once."""
HALF_DAY = 43_200_000_000
"""Microseconds after which the time of a job may need its date, too."""
MOST_NAMES = 500
"""The most names of tasks that the filter offers."""
MOST_ALIKE = 6
"""The most names of tasks that are offered in place of an error."""


_COLUMNS: Mapping[str, Callable[[Job], Any]] = {
    "labels": lambda job: job.labels,
    "by": lambda job: job.caller,
    "on": lambda job: job.worker,
}
"""Columns that are left out if they are empty for all jobs of the page."""


class ListedJob(NamedTuple):
    """A job as the table shows it; ``labels`` are texts, each with the value of the filter that finds such jobs."""

    job: Job
    arguments: str
    outcome: str
    labels: Sequence[tuple[str, str]]
    seconds: float | None
    share: int | None
    worker: str


class JobList:
    """``/ui/jobs``; ``job`` is the resource of one job, ``/ui/jobs/<uuid>`` and below."""

    exposed = True

    def __init__(self, service: Service, job: object) -> None:
        self._service = service
        self._job = job
        self.rows = JobRows(service)
        self.export = JobExport(service)
        self.cancel, self.retry = bulk_actions.CancelJobs(service), bulk_actions.RetryJobs(service)

    @Operation("/ui/jobs", READ, {200: "", 303: ""}, query=list_address.PARAMETERS, page=True)
    def GET(self, **query: str | list[str]) -> bytes:
        """Show a page of the jobs that match."""
        address = list_address.given(query)
        if list_address.has_empty(query):  # The form sends its empty fields, too: make the address one to share.
            return see_other(f"/ui/jobs{list_address.encoded(address)}")
        search = list_address.search_of(address)
        filters, fault = JobFilter(), ""
        jobs: Sequence[Job] = ()
        following: PageCursor | None = None
        try:
            filters, after = search_query.filters(search), search_query.position(search)
            jobs, following = self._service.search(filters, after, search_query.limit(search), visible_jobs())
        except (BadQuery, BadCursor) as error:
            cherrypy.response.status, fault = 400, str(error)
        return rendering.page(
            "jobs.html",
            rows=rows_of(jobs),
            fault=fault,
            title=_title(address),
            alike=self._alike(filters.error) if not jobs else (),
            done=bulk_actions.summary(address.get("done", [""])[-1]),
            older=list_address.next_page(address, following),
            **_form(address, filters),
            **_bounds(filters, jobs, following),
            names=self._names(),
            **_lines_for_all(filters, is_more=bool(list_address.filters_only(address)) and following is not None),
            old=any(job.created < now() - HALF_DAY for job in jobs),
            without=[name for name, is_used in _COLUMNS.items() if not any(map(is_used, jobs))],
        )

    def _names(self) -> Sequence[str]:
        visible = visible_jobs()
        return [name for name in self._service.registry if visible.matches(name)][:MOST_NAMES]

    def _alike(self, text: str | None) -> Sequence[str]:
        """Some tasks with the text in their name, which may be meant if no error has it."""
        return [name for name in self._names() if text and text.casefold() in name.casefold()][:MOST_ALIKE]

    def _cp_dispatch(self, vpath: list[str]) -> Any:
        """Let the resource of one job answer ``/ui/jobs/<uuid>`` and what is below it."""
        if not vpath:
            return None
        cherrypy.request.params["uuid"] = vpath.pop(0)
        return self._job


class JobRows:
    """``/ui/jobs/rows``"""

    exposed = True

    def __init__(self, service: Service) -> None:
        self._service = service

    @Operation("/ui/jobs/rows", READ, {200: ""}, query={"uuid": {"type": "array"}}, page=True)
    def GET(self, *, uuid: Query = None) -> bytes:
        """Show these jobs as they are now, without those that are not visible."""
        wanted = [uuid] if isinstance(uuid, str) else uuid or []
        jobs = bulk_actions.readable(self._service, wanted[:MOST_ROWS], visible_jobs())
        return rendering.page("job_rows_alone.html", rows=rows_of(jobs))


def rows_of(jobs: Sequence[Job]) -> list[ListedJob]:
    """The rows of a table of these jobs."""
    at = now()
    return [
        ListedJob(
            job=job,
            arguments=one_line.arguments(job),
            outcome=one_line.outcome(job),
            labels=one_line.labels(job),
            seconds=_ran(job, at),
            share=one_line.share(job),
            worker=(job.worker or "").removeprefix("celery@"),
        )
        for job in jobs
    ]


def _ran(job: Job, at: int) -> float | None:
    """The seconds from the start to the end, or to now."""
    if job.started is None or (job.finished is None and job.state is not State.STARTED):
        return None
    return max(0, (job.finished or at) - job.started) / 1_000_000


def _form(address: list_address.Given, filters: JobFilter) -> Mapping[str, Any]:
    """The values of the form, and the addresses around it."""
    only = list_address.filters_only(address)
    return {
        "states": [(state.value, state.value in address.get("state", ())) for state in State],
        "values": {name: only.get(name, [""])[-1] for name in list_address.FILTERS},
        "labels": only.get("label", ()),
        "times": {name: _local(getattr(filters, name)) if name in only else "" for name in ("since", "until")},
        "spans": list_address.SPANS,
        "filtered": bool(only),
        "folded": not (only.keys() & {"queue", "label", "caller", "since", "until"}),
        "here_query": list_address.encoded(list_address.without(address, "done")),
        "first_query": list_address.encoded(list_address.without(address, "done", "cursor")),
        "filter_query": list_address.encoded(only),
        "limit": address.get("limit", [""])[-1],
        "is_first": "cursor" not in address,
        "largest_export": LARGEST_EXPORT,
    }


def _title(address: list_address.Given) -> str:
    """The name of this view, such as for a bookmark."""
    only = list_address.filters_only(address)
    words = {
        **only,
        "state": [text.lower() for text in only.get("state", ())],
        "last": [list_address.SPANS.get(text, text) for text in only.get("last", ())],
    }
    shown = ", ".join(text for name in only for text in words[name])
    return f"Jobs: {shown}" if shown else "Jobs"


def _bounds(filters: JobFilter, jobs: Sequence[Job], following: PageCursor | None) -> Mapping[str, Any]:
    """How far a search for the text of an error has looked, if it has not looked at every failed job."""
    if filters.error is None or following is None:
        return {"looked_at": 0}
    ends_with_last = bool(jobs) and (following.created, following.uuid) == (jobs[-1].created, jobs[-1].uuid)
    return {"looked_at": 0 if ends_with_last else MOST_FAILURES, "looked_back_to": following.created}


def _lines_for_all(filters: JobFilter, *, is_more: bool) -> Mapping[str, str]:
    """The commands that act on all jobs that match, also on those of other pages; empty if there are no others."""
    base, commands = rendering.service_address(), {"again_all": "retry", "cancel_all": "cancel"}
    return {
        name: call_lines.line_for_all(base, filters, command) if is_more else "" for name, command in commands.items()
    }


def _local(micros: int | None) -> str:
    """A time in UTC in the form of ``datetime-local``."""
    return (iso(micros) or "")[:19]
