"""The HTTP API's table of contents: each route parses, calls the service once, and renders."""

from collections.abc import Iterator, Mapping
from functools import partial
from importlib.metadata import version
from typing import Any

import cherrypy

from .config.settings import AuthSettings
from .core.dispatch_options import parse_options
from .core.errors import EndedWithoutResult, NothingValid
from .core.job import Job, State, parse_uuid
from .core.permissions import READ
from .monitoring.web_monitor import WebMonitor
from .service.tokens import Tokens
from .service.verbs import Service
from .web import dispatcher, problem_document, problem_response, representations, sse
from .web.auth.guard import Guard
from .web.etag import is_known, tagged
from .web.middleware.access_log import RequestLog, take_over
from .web.middleware.request_metrics import Counting
from .web.openapi.document import Facts, operation
from .web.ops_routes import Docs, Health, Metrics, Openapi
from .web.representations import JSON, TEXT, as_json, as_text, wanted
from .web.request import batch_body, body, search_query, wait_preference
from .web.request.request_context import caller_of, request_of
from .web.request.wait_preference import PREFER, WAIT, Query
from .web.request_classes import DispatcherApplication
from .web.security_headers import SecureHeaders

STARTED: Mapping[int, str] = {200: "text/plain uuid, Job, Location", 422: "Problem"}

cherrypy.tools.dispatcher_readable = cherrypy.Tool(
    "on_start_resource", problem_response.refusing(body.readable_query), priority=60
)
cherrypy.tools.dispatcher_json_body = cherrypy.Tool("before_request_body", body.json_body)
cherrypy.tools.dispatcher_trim = cherrypy.Tool("before_finalize", problem_response.trim)
cherrypy.tools.dispatcher_query = cherrypy.Tool("before_handler", problem_response.refusing(body.declared_query))


@cherrypy.expose
class Dispatch:
    """``/dispatch/<task>/…``"""

    def __init__(self, service: Service) -> None:
        self._service = service

    @operation("/dispatch/{task}", STARTED, query=WAIT, headers=PREFER)
    @operation("/dispatch/{task}/{arguments}", STARTED, query=WAIT, headers=PREFER)
    @body.takes("wait")
    def GET(self, task: str, *args: str, wait: Query = None) -> bytes:
        """Dispatch with arguments as text: the bare UUID, or with ``Accept: application/json`` the job."""
        media, time = wanted(TEXT, JSON), wait_preference.asked(wait)
        job = self._service.dispatch(self._service.registry[task].bind_text(args), request=request_of())
        job = wait_preference.until_final(self._service.waiting, job, time)
        _locate(job)
        return as_text(job.uuid) if media == TEXT else as_json(representations.job(job))

    @operation("/dispatch/{task}", {200: "", 422: "Problem"}, query=WAIT)
    @operation("/dispatch/{task}/{arguments}", {200: "", 422: "Problem"}, query=WAIT)
    @body.takes("wait")
    def HEAD(self, task: str, *args: str, wait: Query = None) -> bytes:
        """Check the request as GET would, and dispatch nothing."""
        wanted(TEXT, JSON)
        wait_preference.asked(wait)
        self._service.registry[task].bind_text(args)
        return as_text("")

    @operation(
        "/dispatch",
        {202: "BatchAnswer", 422: "Problem"},
        body=f"Batch, {batch_body.NDJSON} Batch",
        headers=("Idempotency-Key",),
    )
    @operation(
        "/dispatch/{task}",
        {
            200: "Job, text/plain uuid, Location",
            202: "Job, text/plain uuid, Location",
            410: "Problem",
            422: "Problem",
        },
        body="Dispatch",
        query=WAIT,
        headers=("Idempotency-Key", *PREFER),
    )
    @body.streams(batch_body.NDJSON, batch_body.read_lines)
    @body.takes("wait")
    def POST(self, task: str | None = None, *, wait: Query = None) -> bytes:
        """Dispatch one job, or, where the path names no task, a batch.

        One: a JSON object of ``args``, ``kwargs`` and ``options``; 202 and the job, or its bare UUID, and 200 when the
        request waited for the job and it is final. A batch: an array of such objects that name their ``task``, or one
        a line; 202, and for each in order its UUID or its problem.
        """
        if task is None:
            body.no_query({} if wait is None else {"wait": wait})
            return self._batch()
        media, time = wanted(JSON, TEXT), wait_preference.asked(wait)
        given = body.read_dispatch(cherrypy.request.json)
        call = self._service.registry[task].bind(given.args, given.kwargs)
        job = self._service.dispatch(call, parse_options(given.options), request_of())
        job = wait_preference.until_final(self._service.waiting, job, time)
        cherrypy.response.status = 200 if time.seconds and job.final else 202
        _locate(job)
        return as_json(representations.job(job)) if media == JSON else as_text(job.uuid)

    def _batch(self) -> bytes:
        """Dispatch many: 202, and for each item in order its UUID, or its problem; 422 when none can be dispatched."""
        wanted(JSON)
        asked = batch_body.asked(cherrypy.request.json, caller_of())
        found = self._service.dispatch_batch(asked, request_of())
        jobs = [
            {"uuid": item} if isinstance(item, str) else {"problem": problem_document.of_item(item)} for item in found
        ]
        if not any("uuid" in entry for entry in jobs):
            raise NothingValid(jobs)
        cherrypy.response.status = 202
        return as_json({"jobs": jobs})


@cherrypy.expose
class Status:
    """``/status/<uuid>``"""

    def __init__(self, service: Service) -> None:
        self._service = service
        self.below = {"events": Events(service), "retry": Retry(service)}

    @operation("/status", {200: "Page"}, query=search_query.DESCRIBED)
    @operation(
        "/status/{uuid}", {200: "Job, text/plain, ETag", 304: "ETag"}, query=WAIT, headers=("If-None-Match", *PREFER)
    )
    @body.takes(*search_query.PARAMETERS, "wait")
    def GET(self, uuid: str | None = None, *, wait: Query = None, **query: str | list[str]) -> bytes:
        """The job, as ``text/plain`` its bare result once it succeeded, else its state; without UUID, a search."""
        if uuid is None:
            body.no_query({} if wait is None else {"wait": wait})
            return self._search(query)
        body.no_query(query)
        media, time = wanted(JSON, TEXT), wait_preference.asked(wait)
        job = wait_preference.until_final(self._service.waiting, self._service.status(parse_uuid(uuid)), time)
        if is_known(representations.job_mark(job, media)):
            return b""
        return as_json(representations.job(job)) if media == JSON else as_text(representations.job_text(job))

    def _search(self, query: Mapping[str, str | list[str]]) -> bytes:
        wanted(JSON)
        wanted_jobs = search_query.filters(query), search_query.place(query), search_query.limit(query)
        found, more = self._service.search(*wanted_jobs, caller_of().visibility(READ))
        return as_json(
            {"jobs": [representations.job(job) for job in found], "next": search_query.following(query, found, more)}
        )

    @operation("/status/{uuid}", {200: "Job", 202: "Job", 409: "Problem"})
    def DELETE(self, uuid: str) -> bytes:
        """Cancel: 200 when it is revoked, 202 when its worker is asked to stop it, 409 when it has ended."""
        wanted(JSON)
        job = self._service.cancel(parse_uuid(uuid))
        cherrypy.response.status = 200 if job.final else 202
        return as_json(representations.job(job))

    def _cp_dispatch(self, vpath: list[str]) -> Any:
        """``/status/<uuid>/<verb>`` is a resource of its own, so that each has its own methods."""
        if len(vpath) == 2 and vpath[1] in self.below:
            cherrypy.request.params["uuid"] = vpath.pop(0)
            return self.below[vpath.pop(0)]
        return None


@cherrypy.expose
class Events:
    """``/status/<uuid>/events``"""

    def __init__(self, service: Service) -> None:
        self._service = service

    @operation(
        "/status/{uuid}/events",
        {200: "History, text/event-stream", 204: ""},
        query=sse.AFTER,
        headers=("Last-Event-ID",),
    )
    @body.takes("after")
    def GET(self, uuid: str, *, after: Query = None) -> bytes | Iterator[bytes]:
        """The job's history, oldest first; as ``text/event-stream`` also what happens to it until it is final.

        204 when a stream would go on behind its end.
        """
        media, place = wanted(JSON, sse.EVENTS), sse.place(after)
        events = [event for event in self._service.events(parse_uuid(uuid)) if event.id > (place or 0)]
        if media == JSON:
            return as_json({"events": [representations.event(event) for event in events]})
        if not events and self._service.status(parse_uuid(uuid)).final:
            return sse.over()
        return sse.told(self._service.waiting, place, parse_uuid(uuid))


@cherrypy.expose
class AllEvents:
    """``/events``"""

    def __init__(self, service: Service) -> None:
        self._service = service

    @operation(
        "/events",
        {200: "HistoryPage, text/event-stream"},
        query={**sse.AFTER, **sse.LIMIT},
        headers=("Last-Event-ID",),
    )
    @body.takes("after", "limit")
    def GET(self, *, after: Query = None, limit: Query = None) -> bytes | Iterator[bytes]:
        """What happened to all jobs, oldest first, page by page; as ``text/event-stream`` what happens from now on."""
        media, place = wanted(JSON, sse.EVENTS), sse.place(after)
        most = sse.limit(limit)
        if media == sse.EVENTS:
            return sse.told(self._service.waiting, place, visibility=caller_of().visibility(READ))
        events, place = self._service.waiting.page(place or 0, most, caller_of().visibility(READ))
        following = f"/events?after={place}&limit={most}"
        return as_json({"events": [representations.event(event) for event in events], "next": following})


@cherrypy.expose
class Retry:
    """``/status/<uuid>/retry``"""

    def __init__(self, service: Service) -> None:
        self._service = service

    @operation("/status/{uuid}/retry", {202: "Job, Location", 422: "Problem"}, headers=("Idempotency-Key",))
    def POST(self, uuid: str) -> bytes:
        """Dispatch the same task with the same arguments: 202 and the new job."""
        wanted(JSON)
        job = self._service.retry(parse_uuid(uuid), request_of())
        cherrypy.response.status = 202
        _locate(job)
        return as_json(representations.job(job))


@cherrypy.expose
class Result:
    """``/result/<uuid>``"""

    def __init__(self, service: Service) -> None:
        self._service = service

    @operation(
        "/result/{uuid}",
        {200: "any, text/plain", 202: "Job, text/plain, Location", 409: "Problem"},
        query=WAIT,
        headers=PREFER,
    )
    @body.takes("wait")
    def GET(self, uuid: str, *, wait: Query = None) -> bytes:
        """Just the result; 202 and the job while there is none, 409 when there will never be one."""
        media, time = wanted(JSON, TEXT), wait_preference.asked(wait)
        job = wait_preference.until_final(self._service.waiting, self._service.status(parse_uuid(uuid)), time)
        if not job.final:
            cherrypy.response.status = 202
            _locate(job)
            return as_json(representations.job(job)) if media == JSON else as_text(job.state.value)
        if job.state is not State.SUCCESS:
            told = {"type": job.error.type, "message": job.error.message} if job.error else None
            raise EndedWithoutResult(job.uuid, job.state.value, told)
        return as_json(job.result) if media == JSON else as_text(representations.bare(job.result))


@cherrypy.expose
class Tasks:
    """``/tasks`` and ``/tasks/<name>``"""

    def __init__(self, service: Service) -> None:
        self._service = service

    @operation("/tasks", {200: "Tasks, ETag", 304: "ETag"}, headers=("If-None-Match",))
    @operation("/tasks/{name}", {200: "Task, ETag", 304: "ETag"}, headers=("If-None-Match",))
    def GET(self, name: str | None = None) -> bytes:
        """All tasks that can be dispatched, or one of them, with the schemas of arguments and result."""
        wanted(JSON)
        if name is not None:
            return tagged(as_json(representations.task(self._service.registry[name])))
        return tagged(as_json({"tasks": [representations.task(spec) for spec in self._service.registry.values()]}))


@cherrypy.expose
class Root:
    """``/``: the service document, and all routes below it."""

    def __init__(self, service: Service, monitor: WebMonitor, facts: Facts) -> None:
        self._service = service
        self.dispatch = Dispatch(service)
        self.status = Status(service)
        self.result = Result(service)
        self.events = AllEvents(service)
        self.tasks = Tasks(service)
        self.health = Health(monitor.health)
        self.metrics = Metrics(monitor)
        self.openapi_json = Openapi(self, service, facts)
        self.docs = Docs(self, service, facts)

    @operation("/", {200: "object"})
    def GET(self) -> bytes:
        """What this is, which tasks there are, and where to go on."""
        wanted(JSON)
        return as_json(
            {
                "name": "Pacifica Dispatcher",
                "version": version("pacifica-dispatcher"),
                "tasks": list(self._service.registry),
                "links": {
                    "dispatch": "/dispatch/{task}/{arg}…",
                    "batch": "/dispatch",
                    "status": "/status/{uuid}",
                    "events": "/status/{uuid}/events",
                    "all events": "/events?after=&limit=",
                    "search": "/status?task=&state=&label=&since=&until=&limit=",
                    "result": "/result/{uuid}",
                    "tasks": "/tasks",
                    "live": "/health/live",
                    "ready": "/health/ready",
                    "metrics": "/metrics",
                    "openapi": "/openapi.json",
                    "docs": "/docs",
                },
            }
        )


CONFIG: Mapping[str, Mapping[str, Any]] = {
    "/": {
        "request.dispatch": dispatcher.PathDispatcher(),
        "request.error_response": problem_response.respond_to_exception,
        "error_page.default": problem_response.page,
        "request.show_tracebacks": False,
        "tools.log_tracebacks.on": False,
        "tools.log_headers.on": False,
        "tools.trailing_slash.on": False,
        "tools.encode.on": False,
        "tools.dispatcher_readable.on": True,
        "tools.dispatcher_json_body.on": True,
        "tools.dispatcher_query.on": True,
        "tools.dispatcher_trim.on": True,
    }
}
"""How CherryPy is to treat the tree: by HTTP method, with one shape for every error."""


def mount(
    service: Service, auth: AuthSettings, tokens: Tokens, body_limit: int, monitor: WebMonitor
) -> cherrypy.Application:
    """The API as a CherryPy application, for the embedded server or any WSGI server."""
    guard = Guard(auth, tokens, service)
    own = dict(CONFIG["/"]) | {
        "tools.dispatcher_json_body.limit": body_limit,
        "hooks.on_start_resource.guard": problem_response.refusing(guard.enter),
        "hooks.before_handler.guard": problem_response.refusing(guard.look),
    }
    facts = Facts(anonymous=auth.anonymous != "none", batch_limit=service.batch_limit)
    application = DispatcherApplication(Root(service, monitor, facts), "", {"/": own})
    counting = partial(Counting, counts=monitor.counts)
    application.wsgiapp.pipeline.insert(0, ("dispatcher_log", RequestLog))
    application.wsgiapp.pipeline += [("dispatcher_metrics", counting), ("dispatcher_headers", SecureHeaders)]
    take_over(application.log)
    return application


def _locate(job: Job) -> None:
    cherrypy.serving.response.headers["Location"] = f"/status/{job.uuid}"
