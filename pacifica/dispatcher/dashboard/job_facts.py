"""The parts of a job's page beside its row: arguments by name, progress, lineage, lines that dispatch it again."""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import cherrypy

from ..core.errors import NotFound
from ..core.job import Event, Job, State
from ..core.permissions import READ, Caller
from ..core.strict_json import JsonText
from ..service.verbs import Service
from ..store.committed_event import PROGRESS
from ..store.lineage import RelatedJob
from ..web.auth import session_cookie
from .attempt_timeline import SECOND
from .call_lines import curl_line, python_lines
from .rendering import service_address
from .value_views import ValueView, read, view

LONGEST_CALL = 10_000
"""Longer arguments, in characters of JSON, are not written into a line."""
MOST_FOLLOWERS = 20

_FRAME = re.compile(r'^[ |]*File "', re.MULTILINE)
_WORKER_FRAMES = re.compile(
    r'^([ |]*)File "[^"\n]*/(?:celery/app/trace|pacifica/dispatcher/worker/\w+)\.py", line .*\n(?:\1 {2}.*\n)*',
    re.MULTILINE,
)
"""Its lines begin with ``|`` in an exception group."""
REVOCATIONS = {
    "cancelled": "The job was cancelled.",
    "terminated": "The job was cancelled while it ran, and its worker stopped it.",
    "expired": "The job expired before a worker started it.",
}
"""A sentence for each reason of a revocation."""


class NamedArgument(NamedTuple):
    name: str
    view: ValueView


class Progress(NamedTuple):
    """The last report of a job; ``rate`` is the amount per second since the attempt began, ``left`` in seconds."""

    current: float
    total: float | None
    message: str
    percent: int | None
    rate: str
    left: float | None
    end: int | None


class NextTask(NamedTuple):
    """A task that a workflow runs after the job, and the UUID of its job if that is known."""

    task: str
    uuid: str


class Lineage(NamedTuple):
    """The jobs to which a job is related; a ``None`` is not known, or must not be shown.

    ``in_part``: not all later jobs were searched for retries and children.
    """

    retry_of: RelatedJob | None
    retries: Sequence[RelatedJob]
    parent: RelatedJob | None
    root: RelatedJob | None
    children: Sequence[RelatedJob]
    group: str
    followers: Sequence[NextTask]
    in_part: bool


class Again(NamedTuple):
    """The lines that dispatch the same job."""

    shell: str
    python: str


def arguments_of(service: Service, job: Job) -> list[NamedArgument]:
    """The arguments by the names of the task's signature, if they fit it; large ones together."""
    args, kwargs = read(job.args), read(job.kwargs)
    if isinstance(args, JsonText) or isinstance(kwargs, JsonText):
        both = (("positional arguments", args), ("named arguments", kwargs))
        return [NamedArgument(name, view(value)) for name, value in both if value]
    spec = service.registry.get(job.task)
    names = None if spec is None else spec.argument_names(args, kwargs)
    names = names or [*(f"argument {number}" for number in range(1, len(args) + 1)), *kwargs]
    return [NamedArgument(name, view(value)) for name, value in zip(names, [*args, *kwargs.values()], strict=True)]


def progress_of(job: Job, events: Sequence[Event], at: int) -> Progress | None:
    """The progress of a job; only that of a running one has a rate and an end."""
    if not isinstance(job.progress, Mapping):
        return None
    current, total = float(job.progress.get("current") or 0), job.progress.get("total")
    reported = next((event.at for event in reversed(events) if event.kind == PROGRESS), None)
    part = min(1.0, current / total) if total else None
    rate, left = 0.0, None
    if job.state is State.STARTED and job.started is not None and reported is not None and reported > job.started:
        rate = current / ((reported - job.started) / SECOND)
    if rate > 0 and total:
        left = max(0.0, (total - current) / rate - (at - (reported or at)) / SECOND)
    return Progress(
        current,
        total,
        str(job.progress.get("message") or ""),
        None if part is None else int(part * 100),
        rate_text(rate),
        left,
        None if left is None else at + int(left * SECOND),
    )


def revocation_of(job: Job) -> str:
    """How a job was revoked, as a sentence; empty for any other job."""
    if job.state is not State.REVOKED or job.error is None:
        return ""
    reason = job.error.message
    return REVOCATIONS.get(reason, f"The job was revoked: {reason.rstrip('.')}.")


def traceback_of_task(text: str) -> str:
    """The traceback without the frames of the worker that lead to the task, unless it has no others."""
    own = _WORKER_FRAMES.sub("", text)
    return own if _FRAME.search(own) else text


def rate_text(rate: float) -> str:
    """An amount per second, minute or hour, whichever reads best; empty for 0."""
    for unit, seconds in (("s", 1), ("min", 60), ("h", 3600)):
        if rate * seconds >= 1 or (rate > 0 and unit == "h"):
            return f"{rate * seconds:.3g} per {unit}" if rate * seconds < 1000 else f"{rate * seconds:,.0f} per {unit}"
    return ""


def lineage_of(service: Service, job: Job, who: Caller) -> Lineage:
    """The relations of a job that the caller may see."""
    headers = job.headers or {}
    visibility = who.visibility(READ)

    def related(uuid: Any) -> RelatedJob | None:
        if not isinstance(uuid, str) or uuid == job.uuid:
            return None
        try:
            found = service.status(uuid, visibility, large_as_text=True)
        except NotFound:
            return None
        return RelatedJob(found.uuid, found.task, found.state, found.created, found.caller)

    parent, root = related(headers.get("parent_id")), related(headers.get("root_id"))
    return Lineage(
        retry_of=related(job.replay_of),
        retries=service.retries(job, visibility),
        parent=parent,
        root=None if root == parent else root,
        children=service.children(job, visibility),
        group=str(headers.get("group_id") or ""),
        followers=[one for one in _followers(headers) if visibility.matches(one.task)][:MOST_FOLLOWERS],
        in_part=service.jobs.lineage_is_searched_in_part(job),
    )


def _followers(headers: Mapping[str, Any]) -> Iterator[NextTask]:
    """The tasks after the job, in the order in which they run; Celery keeps a chain with its next task at the end."""
    chain, link, chord = headers.get("chain") or [], headers.get("link") or [], headers.get("chord")
    for signature in [*reversed(chain), *link, *([chord] if chord else [])]:
        if isinstance(signature, Mapping) and isinstance(signature.get("task"), str):
            options = signature.get("options")
            uuid = options.get("task_id") if isinstance(options, Mapping) else None
            yield NextTask(signature["task"], uuid if isinstance(uuid, str) else "")


def again_of(service: Service, job: Job, who: Caller, size: int) -> Again | None:
    """The lines that dispatch the same job at the address of this page; ``None`` if its arguments are too long."""
    if size > LONGEST_CALL:
        return None
    attempts = None if job.max_attempts == service.new_jobs.max_attempts else job.max_attempts
    labels = dict(job.labels or {}) or None
    given = {"queue": job.queue, "priority": job.priority, "max_attempts": attempts, "labels": labels}
    options = {name: value for name, value in given.items() if value is not None}
    base, call = service_address(), (job.task, job.args, job.kwargs, options)
    token = bool(who.name) or session_cookie.token(cherrypy.request.headers) is not None
    try:
        return Again(curl_line(base, *call, token=token), python_lines(base, *call))
    except (ValueError, RecursionError):  # The arguments are nested too deeply.
        return None
