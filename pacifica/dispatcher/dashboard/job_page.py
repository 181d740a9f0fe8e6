"""The page of one job, and its actions."""

from dataclasses import replace
from http import HTTPStatus
from typing import Any

import cherrypy

from ..core.errors import AlreadyFinal, BadDispatch, BadId, DispatcherError, KeyReused, NotFound, PurgedJob, UnknownJob
from ..core.job import Job, State, new_uuid, now, parse_uuid
from ..core.permissions import CANCEL, DISPATCH, READ
from ..service.new_job import DispatchContext
from ..service.verbs import Service
from ..web import representations
from ..web.operation import Operation, Query
from ..web.problem_document import status_of
from ..web.request.request_context import caller, dispatch_context, visible_jobs
from . import notices, rendering
from .attempt_timeline import SECOND, timeline
from .job_facts import again_of, arguments_of, lineage_of, progress_of, revocation_of, traceback_of_task
from .job_history import line_of
from .sign_in import field, see_other
from .value_views import view

CANCELLED, RETRIED = "cancel", "retry"
DONE = {"done": {"type": "string", "description": "The action that led to the page, and its time."}}
MOST_EVENTS = 500
"""At most so many of the latest events are read."""
MOST_ARGUMENTS = 50
"""At most so many arguments are shown."""
Missing = (UnknownJob, PurgedJob, BadId)


class JobResource:
    """A page or an action of ``/ui/jobs/<uuid>``."""

    exposed = True

    def __init__(self, service: Service) -> None:
        self._service = service


class JobPage(JobResource):
    """``/ui/jobs/<uuid>``"""

    def __init__(self, service: Service) -> None:
        super().__init__(service)
        self.cancel, self.retry = CancelJob(service), RetryJob(service)

    @Operation("/ui/jobs/{uuid}", READ, {200: ""}, query=DONE, page=True)
    def GET(self, uuid: str, *, done: Query = None) -> bytes:
        """Show the job."""
        try:
            job = self._service.status(parse_uuid(uuid), visible_jobs(), large_as_text=True)
        except Missing as error:
            return missing(uuid, error)
        return show(self._service, job, notice=_notice(job, notices.fresh(done)), live=not job.final)


class CancelJob(JobResource):
    """``/ui/jobs/<uuid>/cancel``"""

    @Operation("/ui/jobs/{uuid}/cancel", CANCEL, {303: ""}, page=True)
    def POST(self, uuid: str) -> bytes:
        """Cancel the job, and show it again; a caller who may not read it sees only its state.

        A running job loses its work, so the page asks first.
        """
        rendering.require_full()
        try:
            if not field("confirmed") and (asked := self._question(parse_uuid(uuid))):
                return asked
            job = self._service.cancel(parse_uuid(uuid), visible_jobs())
        except Missing as error:
            return missing(uuid, error)
        except AlreadyFinal as error:
            cherrypy.response.status = status_of(error).value
            job = self._service.status(parse_uuid(uuid), visible_jobs(), large_as_text=True)
            return show(self._service, job, notice=str(error), bad=True)
        return _shown_again(self._service, job, CANCELLED)

    def _question(self, uuid: str) -> bytes:
        """The page that asks; empty unless the job runs."""
        job = self._service.status(uuid, visible_jobs(), large_as_text=True)
        if job.state is not State.STARTED or job.cancel:
            return b""
        progress = progress_of(job, (), now()) if representations.may_read(job) else None
        ran = None if job.started is None else (now() - job.started) / SECOND
        return rendering.page("job_confirm.html", job=job, ran=ran, progress=progress)


class RetryJob(JobResource):
    """``/ui/jobs/<uuid>/retry``"""

    @Operation("/ui/jobs/{uuid}/retry", DISPATCH, {303: ""}, page=True)
    def POST(self, uuid: str) -> bytes:
        """Dispatch a job with the same task and arguments, and show the new one; the same one for the same form."""
        rendering.require_full()
        context = _context_of_form(uuid)
        try:
            job = self._service.retry(parse_uuid(uuid), visible_jobs(), context)
        except Missing as error:
            return missing(uuid, error)
        except (BadDispatch, KeyReused, NotFound) as error:  # Its task has changed, or is not known any more.
            cherrypy.response.status = status_of(error).value
            job = self._service.status(parse_uuid(uuid), visible_jobs(), large_as_text=True)
            return show(self._service, job, notice=f"The job was not dispatched again. {error}", bad=True)
        return _shown_again(self._service, job, RETRIED)


def _context_of_form(uuid: str) -> DispatchContext:
    """The context of a dispatch that happens once for each time that the form was rendered, as after a double click."""
    key, context = field("key"), dispatch_context()
    return replace(context, idempotency_key=f"ui {parse_uuid(key)} {uuid}") if key else context


def _shown_again(service: Service, job: Job, done: str) -> bytes:
    if representations.may_read(job):
        return see_other(f"/ui/jobs/{job.uuid}?done={notices.stamped(done)}")
    return show(service, job, notice=_notice(job, done))


def _notice(job: Job, done: str) -> str:
    """A sentence about the action that led to the page, as the job is now."""
    if done == RETRIED and job.replay_of is not None:
        return "This is a new job, with the task and the arguments of the old one."
    if done != CANCELLED:
        return ""
    if job.state is State.REVOKED:
        return "The job is cancelled."
    if job.final:
        return f"The job had ended as {job.state.value} before it could be cancelled."
    return "The worker was asked to stop the job. It stops within seconds." if job.cancel else ""


def show(service: Service, job: Job, *, notice: str = "", bad: bool = False, live: bool = False) -> bytes:
    """The page of a job; the content of one that the caller may not read is not in it."""
    who = caller()
    may = {
        "cancel": not job.final and not job.cancel and who.visibility(CANCEL).covers(job.task, job.caller),
        "retry": job.final and who.visibility(DISPATCH).covers(job.task, job.caller),
        "edit": who.may(DISPATCH, job.task) and job.task in service.registry,
    }
    readable = representations.may_read(job)
    return rendering.page(
        "job.html",
        job=job,
        notice=notice,
        bad=bad,
        live=live,
        allowed=may,
        readable=readable,
        key=new_uuid(),
        **(_content(service, job) if readable else {"progress": None}),
    )


def _content(service: Service, job: Job) -> dict[str, Any]:
    """The values of the page for a caller who may read the job."""
    at, who, error = now(), caller(), job.error
    events = service.jobs.events(job.uuid, MOST_EVENTS)
    arguments = arguments_of(service, job)
    return {
        "arguments": arguments[:MOST_ARGUMENTS],
        "more_arguments": len(arguments[MOST_ARGUMENTS:]),
        "result": view(job.result) if job.state is State.SUCCESS else None,
        "error": error,
        "revocation": revocation_of(job),
        "traceback": traceback_of_task(error.traceback) if error and representations.shows_traceback(job) else "",
        "progress": progress_of(job, events, at),
        "timeline": timeline(job, events, at),
        "events": [line_of(event, job.created) for event in reversed(events)],
        "events_cut": len(events) == MOST_EVENTS,
        "lineage": lineage_of(service, job, who),
        "again": again_of(service, job, who, sum(argument.view.size for argument in arguments)),
        "queue": job.queue or job.target_queue,
        "scheduled": job.eta is not None and job.eta > at and not job.final,
        "age": (at - job.created) / 1_000_000,
    }


def missing(uuid: str, error: DispatcherError) -> bytes:
    """The page for a job that cannot be shown, with the reason and the next step."""
    status: HTTPStatus = status_of(error)
    cherrypy.response.status = f"{status.value} {status.phrase}"
    return rendering.page("job_missing.html", uuid=uuid, reason=error.code, detail=str(error))
