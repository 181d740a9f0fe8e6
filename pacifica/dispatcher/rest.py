"""The HTTP API's table of contents: each route parses, calls the service once, and renders."""

from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any

import cherrypy

from .config.settings import AuthSettings, DashboardSettings, DispatcherSettings
from .core.dispatch_options import parse_options
from .core.errors import ConfigError, GetDispatchOff, NothingValid
from .core.faults import ConfigFault
from .core.job import Job, State, parse_uuid
from .core.permissions import CANCEL, DISPATCH, READ
from .dashboard.activity import SPAN, read_span
from .dashboard.pages import Pages
from .dashboard.rendering import problem_page
from .monitoring.web_monitor import WebMonitor
from .service.tokens import Tokens
from .service.verbs import Service
from .web import application, problem_document, representations, sse
from .web.auth.guard import Guard
from .web.dispatcher import segments, walk
from .web.etag import is_current, tagged
from .web.middleware import path_prefix
from .web.openapi.document import document
from .web.operation import Operation, Query
from .web.ops_routes import Docs, Health, Metrics, Openapi
from .web.problem_response import HTML
from .web.representations import JSON, TEXT, as_json, as_text, negotiate
from .web.request import search_query
from .web.request.body import BodyLimits
from .web.request.dispatch_body import read_batch, read_dispatch
from .web.request.ndjson import NDJSON
from .web.request.request_context import caller, dispatch_context, visible_jobs
from .web.request.wait_preference import PREFER, WAIT, Wait, read_wait, until_final
from .web.server.loop import WAITER
from .web.service_document import service_document

DISPATCHED: Mapping[int, str] = {
    200: "text/plain outcome, Job, Location",
    202: "text/plain uuid, Location",
    409: "Problem",
    422: "Problem",
}
CHECKED: Mapping[int, str] = {200: "", 422: "Problem"}
POSTED: Mapping[int, str] = {
    200: "Job, text/plain outcome, Location",
    202: "Job, text/plain uuid, Location",
    **dict.fromkeys((409, 410, 422), "Problem"),
}
KEYED = ("Idempotency-Key", *PREFER)
BATCH: Mapping[int, str] = {202: "BatchAnswer", 422: "Problem"}
RESULT: Mapping[int, str] = {200: "any, text/plain", 202: "Job, text/plain, Location", 409: "Problem"}


class Resource:
    """A resource of the tree that uses the service."""

    exposed = True

    def __init__(self, service: Service) -> None:
        self._service = service


class Dispatch(Resource):
    """``/dispatch/<task>/…``"""

    @Operation("/dispatch/{task}", DISPATCH, DISPATCHED, query=WAIT, headers=PREFER, short=True)
    @Operation("/dispatch/{task}/{arguments}", DISPATCH, DISPATCHED, query=WAIT, headers=PREFER, short=True)
    def GET(self, task: str, *args: str, wait: Query = None) -> bytes:
        """Dispatch a job with arguments as text; return its UUID, or with ``Accept: application/json`` the job.

        A request that waits gets the bare result in place of the UUID; 202 and the UUID if the job has not ended, 409
        if it ended without a result.
        """
        media, wait_for = negotiate(TEXT, JSON), read_wait(wait)
        job = self._service.dispatch(self._service.registry[task].bind_text(args), context=dispatch_context())
        job = until_final(self._service.waiting, job, wait_for)
        cherrypy.response.status = 202 if wait_for.seconds and media == TEXT and not job.final else 200
        return _dispatched(job, media, wait_for)

    @Operation("/dispatch/{task}", DISPATCH, CHECKED, query=WAIT, short=True)
    @Operation("/dispatch/{task}/{arguments}", DISPATCH, CHECKED, query=WAIT, short=True)
    def HEAD(self, task: str, *args: str, wait: Query = None) -> bytes:
        """Check the request as GET does, without dispatching a job."""
        negotiate(TEXT, JSON)
        read_wait(wait)
        self._service.registry[task].bind_text(args)
        return as_text("")

    @Operation("/dispatch", DISPATCH, BATCH, body=f"Batch, {NDJSON} Batch", headers=("Idempotency-Key",))
    @Operation("/dispatch/{task}", DISPATCH, POSTED, body="Dispatch", query=WAIT, headers=KEYED, short=True)
    def POST(self, task: str | None = None, *, wait: Query = None) -> bytes:
        """Dispatch one job, or a batch if the path names no task.

        The body for one job is a JSON object with ``args``, ``kwargs`` and ``options``. The answer is 202 with the
        job or its UUID; it is 200 if the request waited and the job is final. The body for a batch is an array of
        such objects, each with its ``task``, or NDJSON. The answer is 202 with the UUID or the problem of each item,
        in order.
        """
        if task is None:
            return self._batch()
        media, wait_for = negotiate(JSON, TEXT), read_wait(wait)
        item = read_dispatch(task, cherrypy.request.json)
        call = self._service.registry[task].bind(item.args, item.kwargs)
        job = self._service.dispatch(
            call, parse_options(item.options, self._service.registry.queues), dispatch_context()
        )
        job = until_final(self._service.waiting, job, wait_for)
        cherrypy.response.status = 200 if wait_for.seconds and job.final else 202
        return _dispatched(job, media, wait_for)

    def _batch(self) -> bytes:
        negotiate(JSON)
        batch = read_batch(cherrypy.request.json, caller())
        outcomes = self._service.dispatch_batch(batch, dispatch_context())
        jobs = [{"uuid": each} if isinstance(each, str) else problem_document.as_item(each) for each in outcomes]
        if not any("uuid" in entry for entry in jobs):
            raise NothingValid(jobs)
        cherrypy.response.status = 202
        return as_json({"jobs": jobs})


class PostedDispatch(Dispatch):
    """``/dispatch/<task>/…`` of a service with ``get_dispatch = off``."""

    @Operation("/dispatch/{task}", DISPATCH, {405: "Problem"}, query=WAIT, short=True)
    @Operation("/dispatch/{task}/{arguments}", DISPATCH, {405: "Problem"}, query=WAIT, short=True)
    def GET(self, task: str, *_: str, wait: Query = None) -> bytes:  # noqa: ARG002 - as in the base class
        """Refuse, as only POST dispatches."""
        raise GetDispatchOff(task)

    HEAD = GET


class Status(Resource):
    """``/status`` and ``/status/<uuid>``"""

    def __init__(self, service: Service) -> None:
        super().__init__(service)
        self.below = {"events": Events(service), "retry": Retry(service)}

    @Operation("/status", READ, {200: "Page"}, query=search_query.PARAMETERS)
    @Operation(
        "/status/{uuid}",
        READ,
        {200: "Job, text/plain, ETag", 304: "ETag"},
        query=WAIT,
        headers=("If-None-Match", *PREFER),
        short=True,
    )
    def GET(self, uuid: str | None = None, *, wait: Query = None, **query: str | list[str]) -> bytes:
        """Return the job, or as ``text/plain`` its result after success and else its state; without UUID, search."""
        if uuid is None:
            return self._search(query)
        media, wait_for = negotiate(JSON, TEXT), read_wait(wait)
        job = self._service.status(parse_uuid(uuid), visible_jobs(), large_as_text=True)
        job = until_final(self._service.waiting, job, wait_for)
        if is_current(representations.job_version(job, media)):
            return b""
        return as_json(representations.job(job)) if media == JSON else as_text(representations.job_text(job))

    def _search(self, query: search_query.SearchQuery) -> bytes:
        negotiate(JSON)
        filters, after, limit = search_query.filters(query), search_query.position(query), search_query.limit(query)
        jobs, following = self._service.search(filters, after, limit, visible_jobs())
        path = search_query.next_page(query, following)
        return as_json({"jobs": [representations.job(job) for job in jobs], "next": path})

    @Operation("/status/{uuid}", CANCEL, {200: "Job", 202: "CancellingJob", 409: "Problem"})
    def DELETE(self, uuid: str) -> bytes:
        """Cancel the job: 200 if it is revoked, 202 if its worker was asked to stop it, 409 if it has ended."""
        negotiate(JSON)
        job = self._service.cancel(parse_uuid(uuid), visible_jobs())
        if job.final:
            return as_json(representations.job(job))
        cherrypy.response.status = 202
        return as_json(representations.cancelling_job(job))

    def _cp_dispatch(self, vpath: list[str]) -> Any:
        """Treat ``/status/<uuid>/<name>`` as a separate resource, which has its own methods."""
        if len(vpath) == 2 and vpath[1] in self.below:
            cherrypy.request.params["uuid"] = vpath.pop(0)
            return self.below[vpath.pop(0)]
        return None


class Events(Resource):
    """``/status/<uuid>/events``"""

    @Operation(
        "/status/{uuid}/events",
        READ,
        {200: "History, text/event-stream", 204: ""},
        query=sse.AFTER,
        headers=("Last-Event-ID",),
    )
    def GET(self, uuid: str, *, after: Query = None) -> bytes | Iterator[bytes]:
        """Return the history of the job, oldest first; as ``text/event-stream``, follow the job until it is final.

        204 if the job is final and the stream would continue after its last event.
        """
        media, position = negotiate(JSON, sse.EVENTS), sse.last_event(after)
        history = self._service.events(parse_uuid(uuid), visible_jobs())
        events = [event for event in history if event.id > (position or 0)]
        if media == JSON:
            return as_json({"events": [representations.event(event) for event in events]})
        if not events and self._service.status(parse_uuid(uuid), visible_jobs()).final:
            return sse.finished()
        return sse.stream(self._service.waiting, visible_jobs(), position, parse_uuid(uuid))


class AllEvents(Resource):
    """``/events``"""

    @Operation(
        "/events",
        READ,
        {200: "HistoryPage, text/event-stream"},
        query={**sse.AFTER, **sse.LIMIT},
        headers=("Last-Event-ID",),
    )
    def GET(self, *, after: Query = None, limit: Query = None) -> bytes | Iterator[bytes]:
        """Return a page of the events of all jobs, oldest first; as ``text/event-stream``, follow new events."""
        media, position = negotiate(JSON, sse.EVENTS), sse.last_event(after)
        size = sse.limit(limit)
        if media == sse.EVENTS:
            return sse.stream(self._service.waiting, visible_jobs(), position)
        events, position = self._service.waiting.page(position or 0, size, visible_jobs())
        following = f"{path_prefix.of_request()}/events?after={position}&limit={size}"
        return as_json({"events": [representations.event(event) for event in events], "next": following})


class Retry(Resource):
    """``/status/<uuid>/retry``"""

    @Operation("/status/{uuid}/retry", DISPATCH, {202: "Job, Location", 422: "Problem"}, headers=("Idempotency-Key",))
    def POST(self, uuid: str) -> bytes:
        """Dispatch a new job with the same task and arguments; return it with 202."""
        negotiate(JSON)
        job = self._service.retry(parse_uuid(uuid), visible_jobs(), dispatch_context())
        cherrypy.response.status = 202
        _locate(job)
        return as_json(representations.job(job))


class Result(Resource):
    """``/result/<uuid>``"""

    @Operation("/result/{uuid}", READ, RESULT, query=WAIT, headers=PREFER, short=True)
    def GET(self, uuid: str, *, wait: Query = None) -> bytes:
        """Return only the result; 202 and the job if it has not ended, 409 if it ended without a result."""
        media, wait_for = negotiate(JSON, TEXT), read_wait(wait)
        job = self._service.status(parse_uuid(uuid), visible_jobs(), large_as_text=True)
        job = until_final(self._service.waiting, job, wait_for)
        if not job.final:
            cherrypy.response.status = 202
            _locate(job)
            return as_json(representations.job(job)) if media == JSON else as_text(job.state.value)
        if job.state is not State.SUCCESS:
            raise representations.no_result(job)
        return as_json(job.result) if media == JSON else as_text(representations.bare(job.result))


class Tasks(Resource):
    """``/tasks`` and ``/tasks/<name>``"""

    @Operation("/tasks", READ, {200: "Tasks, ETag", 304: "ETag"}, headers=("If-None-Match",), short=True)
    @Operation("/tasks/{name}", READ, {200: "Task, ETag", 304: "ETag"}, headers=("If-None-Match",), short=True)
    def GET(self, name: str | None = None) -> bytes:
        """Return all tasks that can be dispatched, or one, with the schemas of their arguments and results."""
        negotiate(JSON)
        if name is not None:
            return tagged(as_json(representations.task(self._service.registry[name])))
        return tagged(as_json({"tasks": [representations.task(spec) for spec in self._service.registry.values()]}))


class Root(Resource):
    """``/``: the service document, or for a browser the dashboard, and all routes below it."""

    def __init__(self, service: Service, monitor: WebMonitor, auth: AuthSettings, pages: Pages | None = None) -> None:
        super().__init__(service)
        self.ui = pages
        self.dispatch = Dispatch(service) if auth.get_dispatch else PostedDispatch(service)
        self._get_dispatch = auth.get_dispatch
        self.status = Status(service)
        self.result = Result(service)
        self.events = AllEvents(service)
        self.tasks = Tasks(service)
        self.health = Health(monitor.health)
        self.metrics = Metrics(monitor)
        anonymous = auth.anonymous != "none"
        describe = partial(document, self, service.registry, service.batch_limit, anonymous=anonymous)
        self.openapi_json, self.docs = Openapi(describe), Docs(describe)

    @Operation("/", READ, {200: "object, text/html"}, query=SPAN, short=True)
    def GET(self, *, span: Query = None) -> bytes:
        """Return the name and version of the service, its tasks, and its routes; for a browser, the dashboard."""
        chosen = read_span(span)
        if self.ui is not None and negotiate(JSON, HTML) == HTML:
            return WAITER.run(partial(self.ui.overview, chosen))
        negotiate(JSON)
        return as_json(service_document(self._service.registry, get_dispatch=self._get_dispatch))


def mount(  # noqa: PLR0913, PLR0917 - each is a part of the process
    service: Service,
    auth: AuthSettings,
    tokens: Tokens,
    own: DispatcherSettings,
    monitor: WebMonitor,
    dashboard: DashboardSettings | None = None,
) -> cherrypy.Application:
    """The API as a CherryPy application, for the embedded server or any WSGI server; raises ``ConfigError``."""
    pages = None if dashboard is None or dashboard.mode == "off" else Pages(service, monitor, tokens)
    root = Root(service, monitor, auth, pages)
    if walk(root, segments(own.root_path))[0] is not root:
        fault = ConfigFault("dispatcher", "root_path", own.root_path, "it begins with a route of the service")
        raise ConfigError([fault])
    limits = BodyLimits.of(own.body_limit, own.arguments_bytes)
    tree = application.build(root, Guard(auth, tokens), limits, monitor.counts)
    if dashboard is not None and pages is not None:
        tree.problem_page, tree.dashboard_mode = problem_page, dashboard.mode
        tree.arguments_bytes = own.arguments_bytes
    path_prefix.install(tree, own.root_path, auth.proxy_addresses)
    return tree


def _dispatched(job: Job, media: str, wait: Wait) -> bytes:
    """The job as JSON; as text its UUID, or after a wait for its end the bare result."""
    _locate(job)
    if media == JSON:
        return as_json(representations.job(job, dispatched=True))
    if not wait.seconds or not job.final:
        return as_text(job.uuid)
    if job.state is not State.SUCCESS:
        raise representations.no_result(job)
    return as_text(representations.bare(job.result))


def _locate(job: Job) -> None:
    cherrypy.serving.response.headers["Location"] = f"{path_prefix.of_request()}/status/{job.uuid}"
