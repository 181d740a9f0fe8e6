"""The call that a submitted form describes: as filled in, and as checked like a request of the API."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from ..core.dispatch_options import DEFAULT_OPTIONS, DispatchOptions, parse_options
from ..core.errors import BadDispatch
from ..core.faults import Fault
from ..core.job import Job
from ..core.queue_names import QueueNames
from ..core.registry import Call, TaskSpec
from . import option_form
from .form_schema import ABSENT, FormNode, Place
from .form_values import FieldReader, Typed, written
from .task_call import form_of

SPACE = "a"
"""The fields of arguments begin with it."""


@dataclass(frozen=True, slots=True)
class Draft:
    """A call; ``complete`` unless a value is missing or a text is not JSON. Only ``checked`` sets ``call``."""

    args: Sequence[Any]
    kwargs: Mapping[str, Any]
    options: Mapping[str, Any]
    faults: Sequence[Fault] = ()
    option_faults: Sequence[Fault] = ()
    complete: bool = False
    call: Call | None = None
    parsed_options: DispatchOptions = DEFAULT_OPTIONS


def read_draft(spec: TaskSpec, option_nodes: Sequence[FormNode], typed: Typed) -> Draft:
    """The call as it is filled in; runs no code of the task."""
    form, reader = form_of(spec), FieldReader(typed)
    values = {node.key: reader.read(node, Place(SPACE, node.key)) for node in form.nodes}
    args, kwargs, missing = form.call(values)
    options, option_faults = option_form.read_options(option_nodes, typed)
    faults = [*reader.faults, *_beside(missing, reader.faults)]
    complete = not (reader.incomplete or faults or option_faults)
    return Draft(args, kwargs, options, faults, option_faults, complete)


def checked(draft: Draft, spec: TaskSpec, queues: QueueNames | None) -> Draft:
    """The draft with its call, or with all faults."""
    call, refused = _bound(spec, draft)
    options, wrong = _options(draft, queues)
    faults = [*draft.faults, *_beside(refused, draft.faults)]
    option_faults = [*draft.option_faults, *_beside(wrong, draft.option_faults)]
    if faults or option_faults:
        return replace(draft, faults=faults, option_faults=option_faults, complete=False)
    return replace(draft, call=call, parsed_options=options)


def fields_of_job(spec: TaskSpec, option_nodes: Sequence[FormNode], job: Job, max_attempts: int) -> dict[str, str]:
    """The fields with the arguments and options of a job."""
    form = form_of(spec)
    values = form.values(job.args, job.kwargs)
    found = option_form.fields_of_job(option_nodes, job, max_attempts)
    for node in form.nodes:
        found |= written(node, Place(SPACE, node.key), values.get(node.key, ABSENT))
    return found


def _bound(spec: TaskSpec, draft: Draft) -> tuple[Call | None, Sequence[Fault]]:
    try:
        return spec.bind(draft.args, draft.kwargs), ()
    except BadDispatch as error:
        return None, error.faults


def _options(draft: Draft, queues: QueueNames | None) -> tuple[DispatchOptions, Sequence[Fault]]:
    try:
        return parse_options(draft.options, queues), ()
    except BadDispatch as error:
        return DEFAULT_OPTIONS, error.faults


def _beside(faults: Sequence[Fault], known: Sequence[Fault]) -> list[Fault]:
    """The faults of other values than those that are known to be wrong."""
    places = [one.where for one in known]
    return [
        one
        for one in faults
        if not any(one.where == place or one.where.startswith((f"{place}.", f"{place}[")) for place in places)
    ]
