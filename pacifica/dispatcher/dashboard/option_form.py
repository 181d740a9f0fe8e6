"""The options of a dispatch as a form."""

from collections.abc import Mapping, Sequence
from typing import Any

from ..core.faults import Fault
from ..core.job import Job
from ..core.name_limits import MAX_NAME
from ..core.queue_names import QueueNames
from .form_schema import ABSENT, FormNode, Place, nodes_of
from .form_values import FieldReader, Typed, written

SPACE = "o"
"""The fields of options begin with it."""
LABELS = "labels"
TIMES = {"type": "string", "format": "date-time"}
SCHEMA: Mapping[str, Mapping[str, Any]] = {
    "queue": {
        "type": "string",
        "minLength": 1,
        "maxLength": MAX_NAME,
        "description": "Letters, digits and . _ : - make its name.",
    },
    "priority": {
        "type": "integer",
        "minimum": 0,
        "maximum": 9,
        "description": "Jobs with a higher priority start first.",
    },
    "countdown": {
        "type": "number",
        "minimum": 0,
        "maximum": 366 * 24 * 3600,
        "title": "delay",
        "description": "Seconds until the job may start.",
    },
    "eta": {**TIMES, "title": "earliest start"},
    "expires": {**TIMES, "title": "expiry", "description": "A job that has not started by then is revoked."},
    "max_attempts": {
        "type": "integer",
        "minimum": 1,
        "maximum": 1000,
        "title": "attempts",
        "description": "The job may start so often if its worker is lost.",
    },
    LABELS: {
        "type": "array",
        "items": {"type": "string"},
        "minItems": 1,
        "maxItems": 16,
        "description": "Each is name=value.",
    },
}


def option_nodes(queues: QueueNames | None) -> list[FormNode]:
    """The nodes of all options; ``queues`` are those that may be named."""
    own = {} if queues is None else dict(queues.schema())
    listed = len(own.get("anyOf", ())) == 1
    schema = {**SCHEMA, "queue": own} if listed else SCHEMA
    return nodes_of({"properties": schema})


def read_options(nodes: Sequence[FormNode], typed: Typed) -> tuple[dict[str, Any], list[Fault]]:
    """The options that are given, as JSON values, and the faults of labels that cannot be read."""
    reading = FieldReader(typed)
    values = {node.key: reading.read(node, Place(SPACE, node.key)) for node in nodes}
    given = {name: value for name, value in values.items() if value is not ABSENT}
    if not isinstance(given.get(LABELS), list):
        return given, reading.faults
    pairs = [str(line).partition("=") for line in given[LABELS]]
    faults = [Fault(LABELS, f"{name}: should be name=value") for name, sign, _ in pairs if not sign]
    given[LABELS] = {name.strip(): value.strip() for name, _, value in pairs}
    return {name: value for name, value in given.items() if value != {}}, [*reading.faults, *faults]


def fields_of_job(nodes: Sequence[FormNode], job: Job, max_attempts: int) -> dict[str, str]:
    """The fields with the options of a job that a retry of it keeps."""
    labels = [f"{name}={value}" for name, value in (job.labels or {}).items()]
    attempts = None if job.max_attempts == max_attempts else job.max_attempts
    values = {"queue": job.queue, "priority": job.priority, "max_attempts": attempts, LABELS: labels or None}
    found: dict[str, str] = {}
    for node in nodes:
        value = values.get(node.key)
        found |= written(node, Place(SPACE, node.key), ABSENT if value is None else value)
    return found
