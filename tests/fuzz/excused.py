"""What schemathesis is to make of this service: the findings that are the contract, and media types it cannot read.

A finding is dropped only when one row of ``EXCUSES`` says so: by the kind of check, the operation, the status,
and what is in the answer. Schemathesis reports how many were dropped.
"""

import json
import re
from collections import deque
from collections.abc import Callable, Mapping
from itertools import count
from typing import Any, NamedTuple

import schemathesis
from schemathesis.core.failures import AcceptedNegativeData, Failure
from schemathesis.openapi.checks import RejectedPositiveData, UnsupportedMethodResponse, UseAfterFree

Problem = Mapping[str, Any]


class FaultExcuse(NamedTuple):
    """A fault of arguments or options that a schema cannot foresee: its place, its text, and why."""

    where: str
    message: str
    reason: str


FAULTS = (
    FaultExcuse(
        "arguments", ".*", "A task's own check judges several arguments together, such as a text plus a number."
    ),
    FaultExcuse(
        r"labels\..*", ".* all of them printable", "Which signs are printable is Unicode's to say, and not a pattern's."
    ),
    FaultExcuse(
        ".*",
        ".*valid integer.*",
        "JSON Schema takes 4.0 for an integer (only those requests come here); here it is none.",
    ),
)


class Excuse(NamedTuple):
    """A finding that is the contract: of which check, where, with which statuses and answer, and why."""

    kind: type[Failure]
    operation: str
    statuses: frozenset[int]
    holds: Callable[[Problem, Any], bool]
    reason: str


def problem(code: str) -> Callable[[Problem, Any], bool]:
    """Whether the answer is the problem of that code."""
    return lambda found, _: str(found.get("type", "")).endswith(f":problem:{code}")


def unforeseen(found: Problem, case: Any) -> bool:
    """Whether each fault that was found, in each item if it is a batch, is one of ``FAULTS``."""
    if "jobs" in found:
        return all(unforeseen(entry.get("problem", {}), case) for entry in found["jobs"])
    faults = found.get("errors", [])
    return bool(faults) and all(any(_fits(row, fault, case) for row in FAULTS) for fault in faults)


def _fits(row: FaultExcuse, fault: Mapping[str, str], case: Any) -> bool:
    fits = re.fullmatch(row.where, fault["where"], re.DOTALL) and re.fullmatch(row.message, fault["message"], re.DOTALL)
    return bool(fits) and ("valid integer" not in row.message or has_whole_float(case.body))


def has_whole_float(value: Any) -> bool:
    """Whether a number in the JSON value is whole, and written with a fraction."""
    if isinstance(value, dict):
        return any(has_whole_float(item) for item in value.values())
    if isinstance(value, list):
        return any(has_whole_float(item) for item in value)
    return isinstance(value, float) and value.is_integer()


def told(found: Problem, case: Any) -> bool:
    """Whether the batch's answer has a problem for the item that is wrong."""
    return any("problem" in entry for entry in found.get("jobs", []))


def anything(found: Problem, case: Any) -> bool:
    """Whatever is in it."""
    return True


def template(found: Problem, case: Any) -> bool:
    """Whether the id was a placeholder of the templates in the service document."""
    return problem("bad-id")(found, case) and "'{uuid}'" in found["detail"]


EXCUSES = (
    Excuse(
        UseAfterFree,
        "DELETE /status/{uuid}",
        frozenset({200, 202, 204, 304}),
        anything,
        "DELETE cancels a job; its row stays, and tells so.",
    ),
    Excuse(
        RejectedPositiveData,
        "POST /dispatch(/.+)?",
        frozenset({422}),
        unforeseen,
        "Each fault is one of FAULTS.",
    ),
    Excuse(
        RejectedPositiveData,
        "(GET|POST) /dispatch/{task}(/{arguments})?",
        frozenset({422}),
        problem("bad-arguments"),
        "The path for any task cannot say what each task takes; the tasks' own paths do.",
    ),
    Excuse(
        RejectedPositiveData,
        "GET /dispatch/[^/{]+",
        frozenset({422}),
        problem("bad-arguments"),
        "The path without arguments is there for a task that needs some, and declares no answer but the refusal.",
    ),
    Excuse(
        RejectedPositiveData,
        "HEAD /dispatch/.+",
        frozenset({422}),
        anything,
        "HEAD refuses what GET would, by the two rows above; its answer has no body to tell which it was.",
    ),
    Excuse(
        AcceptedNegativeData,
        "POST /dispatch",
        frozenset({202}),
        told,
        "A batch is judged item by item: what is wrong with one is told in its place, and the others are dispatched.",
    ),
    Excuse(
        AcceptedNegativeData,
        "POST /dispatch",
        frozenset({413}),
        problem("batch-too-large"),
        "413 is the refusal of a batch with too many items; schemathesis does not know the status for one.",
    ),
    Excuse(
        UnsupportedMethodResponse,
        "[A-Z]+ /health/(live|ready)",
        frozenset({401}),
        problem("unauthorized"),
        "These two are open by GET alone; what other methods there are is told to whoever is known (access_test.py).",
    ),
    Excuse(
        RejectedPositiveData,
        "GET /status",
        frozenset({400}),
        problem("bad-cursor"),
        "A cursor must be one that this service made for the same search.",
    ),
    Excuse(
        RejectedPositiveData,
        ".+ /(status|result)/{uuid}.*",
        frozenset({400}),
        template,
        "Schemathesis takes the URL templates of GET / for URLs, and their placeholder for an id.",
    ),
)


def excuse(failure: Failure, status: int, found: Problem, case: Any) -> Excuse | None:
    """The row that says why this finding is none."""
    fitting = (
        row
        for row in EXCUSES
        if isinstance(failure, row.kind) and status in row.statuses and re.fullmatch(row.operation, failure.operation)
    )
    return next((row for row in fitting if row.holds(found, case)), None)


@schemathesis.hook
def filter_failure(context: Any, failure: Failure, case: Any, response: Any) -> bool:
    """Keep what no row excuses."""
    return excuse(failure, response.status_code, _body(response), case) is None


def _body(response: Any) -> Problem:
    try:
        found = json.loads(response.content)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


@schemathesis.serializer("application/x-ndjson")
def as_lines(context: Any, value: Any) -> bytes:
    """One JSON value a line; what is no list is one line."""
    items = value if isinstance(value, list) else [value]
    return "".join(f"{json.dumps(item)}\n" for item in items).encode()


@schemathesis.deserializer("text/plain", "text/html")
def as_text(context: Any, response: Any) -> str:
    """The text, for its schema and for links."""
    return str(response.text)


_numbers = count(1)
_jobs: deque[str] = deque(maxlen=20)


@schemathesis.hook
def after_call(context: Any, case: Any, response: Any) -> None:
    """Remember the jobs that were made last."""
    for location in response.headers.get("location", []):
        _jobs.append(location.removeprefix("/status/"))


@schemathesis.hook
def map_path_parameters(context: Any, path_parameters: Any) -> Any:
    """Ask for the result of a job that there is, every other time; chance alone names none."""
    if context.operation.label == "GET /result/{uuid}" and _jobs and _UUID.fullmatch(str(path_parameters.get("uuid"))):
        _jobs.rotate()
        return {**path_parameters, "uuid": _jobs[0]} if next(_numbers) % 2 else path_parameters
    return path_parameters


_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


@schemathesis.hook
def before_call(context: Any, case: Any, kwargs: Any) -> None:
    """Make each valid ``Idempotency-Key`` one that no request had, so that each asks for a job of its own."""
    key = (case.headers or {}).get("Idempotency-Key")
    if isinstance(key, str) and re.fullmatch("[!-~]([ -~]{0,253}[!-~])?", key):
        case.headers["Idempotency-Key"] = f"{key[:240]}-{next(_numbers)}"
