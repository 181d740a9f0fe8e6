"""The catalogue of tasks, and the form of each one, which starts a job."""

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import cherrypy

from ..core import strict_json
from ..core.job import Job, new_uuid, parse_uuid
from ..core.permissions import ANONYMOUS, DISPATCH, READ
from ..core.registry import TaskSpec
from ..monitoring.web_monitor import WebMonitor
from ..service.verbs import Service
from ..web.operation import Operation
from ..web.request.request_context import caller, dispatch_context, visible_jobs
from . import call_lines, form_rows, option_form, rendering, task_catalogue
from .docstring import parsed
from .form_schema import FormNode
from .form_values import Typed
from .sign_in import see_other
from .task_call import form_of
from .task_draft import SPACE, Draft, checked, fields_of_job, read_draft
from .task_figures import DayFigures
from .task_form import FormView, view

KEY = "key"
"""The field that is different each time a form is shown, so that a double click starts one job."""
MAX_KEY = 100
FILTER, FROM = {"q": {"type": "string"}}, {"from": {"type": "string"}}


class TaskPages:
    """``/ui/tasks`` and ``/ui/tasks/<name>``"""

    exposed = True

    def __init__(self, service: Service, monitor: WebMonitor) -> None:
        self._service = service
        self._figures = DayFigures(monitor.present, service.registry)

    @Operation("/ui/tasks", READ, {200: ""}, query=FILTER, page=True)
    @Operation("/ui/tasks/{name}", READ, {200: ""}, query=FROM, page=True)
    def GET(self, name: str | None = None, **query: Any) -> bytes:
        """Show all tasks, or the form of one, filled with the arguments of the job ``from``."""
        if name is None:
            return task_catalogue.page(self._service.registry, self._figures.of_caller(), str(query.get("q", "")))
        spec = self._service.registry[name]
        if "from" not in query:
            return self._page(spec, {})
        job = self._service.status(parse_uuid(str(query["from"])), visible_jobs())
        if job.task != name:
            return self._page(spec, {}, other=job)
        return self._page(spec, self._of_job(spec, job), source=job)

    @Operation("/ui/tasks/{task}", DISPATCH, {200: "", 303: "", 422: ""}, page=True)
    @Operation("/ui/tasks/{task}/lines", DISPATCH, {200: ""}, page=True)
    def POST(self, task: str, part: str | None = None) -> bytes:
        """Start a job and show it; or show the form again with its faults, or with a row more or less."""
        rendering.require_full()
        spec = self._service.registry[task]
        typed = {name: values[-1] for name, values in cherrypy.request.form.items()}
        if part is not None:
            return self._lines(spec, typed) if part == "lines" else _not_found()
        if command := typed.pop(form_rows.COMMAND, ""):
            typed = form_rows.changed(typed, command)
            return self._page(spec, typed, focus=form_rows.new_row(command, typed))
        draft = checked(read_draft(spec, self._option_nodes(), typed), spec, self._service.registry.queues)
        if draft.call is None:
            cherrypy.response.status = 422
            return self._page(spec, typed, draft)
        context = replace(dispatch_context(), idempotency_key=_key(typed))
        job = self._service.dispatch(draft.call, draft.parsed_options, context)
        return see_other(f"/ui/jobs/{job.uuid}")

    def _of_job(self, spec: TaskSpec, job: Job) -> dict[str, str]:
        return fields_of_job(spec, self._option_nodes(), job, self._service.new_jobs.max_attempts)

    def _option_nodes(self) -> Sequence[FormNode]:
        return option_form.option_nodes(self._service.registry.queues)

    def _lines(self, spec: TaskSpec, typed: Typed) -> bytes:
        """The lines for what is filled in, as JSON for the page's script."""
        cherrypy.response.headers["Content-Type"] = "application/json"
        return strict_json.dumps(_lines(spec.name, read_draft(spec, self._option_nodes(), typed))).encode()

    def _page(  # noqa: PLR0913 - what a page may show
        self,
        spec: TaskSpec,
        typed: Typed,
        refused: Draft | None = None,
        *,
        source: Job | None = None,
        other: Job | None = None,
        focus: str = "",
    ) -> bytes:
        nodes = self._option_nodes()
        draft = refused or read_draft(spec, nodes, typed)
        arguments = view(form_of(spec).nodes, SPACE, typed, refused.faults if refused else ())
        options = view(nodes, option_form.SPACE, typed, refused.option_faults if refused else ())
        return rendering.page(
            "task.html",
            spec=spec,
            prose=task_catalogue.prose,
            paragraphs=parsed(spec.doc).paragraphs,
            arguments=arguments,
            options=options,
            options_open=_are_used(options, typed),
            faults=[*arguments.faults, *options.faults],
            lines=_lines(spec.name, draft),
            key=new_uuid(),
            most_bytes=cherrypy.request.app.arguments_bytes,
            source=source,
            other=other,
            focus=focus,
            allowed=caller().may(DISPATCH, spec.name),
            figures=self._figures.of_caller().get(spec.name),
        )


def _key(typed: Typed) -> str:
    """The key of the form with a digest of its fields: the same form with other content is another job."""
    shown = typed.get(KEY, "")[:MAX_KEY]
    if not shown:
        return new_uuid()
    content = sorted((name, text) for name, text in typed.items() if name != KEY)
    return f"form-{hashlib.sha256(strict_json.dumps([shown, content]).encode()).hexdigest()}"


def _lines(task: str, draft: Draft) -> dict[str, Any]:
    base = rendering.service_address()
    call = (base, task, draft.args, draft.kwargs, draft.options)
    return {
        "curl": call_lines.curl_line(*call, token=caller() is not ANONYMOUS),
        "python": call_lines.python_lines(*call),
        "complete": draft.complete,
    }


def _are_used(options: FormView, typed: Typed) -> bool:
    """Whether an option is given, so that the options are to be unfolded."""
    return bool(options.faults) or any(typed.get(one.name) or one.widget == "json" for one in options.fields)


def _not_found() -> bytes:
    raise cherrypy.NotFound
