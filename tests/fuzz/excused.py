"""Hooks of schemathesis: the findings that agree with our contract, and media types that it cannot read.

A finding is dropped only if a row of ``EXCUSES`` matches the kind of check, the operation, the status and the answer.
Schemathesis reports how many were dropped.
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
    """A fault of arguments or options that a schema cannot express: its place, its text, and the reason."""

    where: str
    message: str
    reason: str


FAULTS = (
    FaultExcuse(
        "arguments", ".*", "A task's own check concerns several arguments together, such as a text plus a number."
    ),
    FaultExcuse(
        r"labels\..*", ".* all of them printable", "Unicode defines which characters are printable; a pattern cannot."
    ),
    FaultExcuse(
        ".*",
        ".*valid integer.*",
        "JSON Schema accepts 4.0 as an integer (only such requests come here); the service refuses it.",
    ),
)


class Excuse(NamedTuple):
    """A finding that agrees with the contract: its check, operation, statuses and answer, and the reason."""

    kind: type[Failure]
    operation: str
    statuses: frozenset[int]
    holds: Callable[[Problem, Any], bool]
    reason: str


def problem(code: str) -> Callable[[Problem, Any], bool]:
    """Return a condition: the answer is the problem with that code."""
    return lambda found, _: str(found.get("type", "")).endswith(f":problem:{code}")


def only_faults_without_schema(found: Problem, case: Any) -> bool:
    """Return whether each fault, in each item of a batch, is one of ``FAULTS``."""
    if "jobs" in found:
        return all(only_faults_without_schema(entry.get("problem", {}), case) for entry in found["jobs"])
    faults = found.get("errors", [])
    return bool(faults) and all(any(_fits(row, fault, case) for row in FAULTS) for fault in faults)


def _fits(row: FaultExcuse, fault: Mapping[str, str], case: Any) -> bool:
    fits = re.fullmatch(row.where, fault["where"], re.DOTALL) and re.fullmatch(row.message, fault["message"], re.DOTALL)
    return bool(fits) and ("valid integer" not in row.message or has_whole_float(case.body))


def has_whole_float(value: Any) -> bool:
    """Return whether a number in the JSON value is whole and written with a fraction."""
    if isinstance(value, dict):
        return any(has_whole_float(item) for item in value.values())
    if isinstance(value, list):
        return any(has_whole_float(item) for item in value)
    return isinstance(value, float) and value.is_integer()


def has_problem(found: Problem, case: Any) -> bool:
    """Return whether the answer to a batch has a problem for an item."""
    return any("problem" in entry for entry in found.get("jobs", []))


def anything(found: Problem, case: Any) -> bool:
    """Accept any answer."""
    return True


def template(found: Problem, case: Any) -> bool:
    """Return whether the id is the placeholder of a URL template in the service document."""
    return problem("bad-id")(found, case) and "'{uuid}'" in found["detail"]


EXCUSES = (
    Excuse(
        UseAfterFree,
        "DELETE /status/{uuid}",
        frozenset({200, 202, 204, 304}),
        anything,
        "DELETE cancels a job; its row stays and shows that.",
    ),
    Excuse(
        RejectedPositiveData,
        "POST /dispatch(/.+)?",
        frozenset({422}),
        only_faults_without_schema,
        "Each fault is one of FAULTS.",
    ),
    Excuse(
        RejectedPositiveData,
        "(GET|POST) /dispatch/{task}(/{arguments})?",
        frozenset({422}),
        problem("bad-arguments"),
        "The path for any task cannot describe the arguments of each task; the paths of the tasks do.",
    ),
    Excuse(
        RejectedPositiveData,
        "GET /dispatch/[^/{]+",
        frozenset({422}),
        problem("bad-arguments"),
        "The path without arguments also exists for a task that needs some, and only declares the refusal.",
    ),
    Excuse(
        RejectedPositiveData,
        "HEAD /dispatch/.+",
        frozenset({422}),
        anything,
        "HEAD refuses what GET refuses by the two rows above; its answer has no body to distinguish them.",
    ),
    Excuse(
        AcceptedNegativeData,
        "POST /dispatch",
        frozenset({202}),
        has_problem,
        "Each item of a batch is checked separately: a wrong one gets a problem, and the others are dispatched.",
    ),
    Excuse(
        AcceptedNegativeData,
        "POST /dispatch",
        frozenset({413}),
        problem("batch-too-large"),
        "413 refuses a batch with too many items; schemathesis does not count it as a refusal.",
    ),
    Excuse(
        UnsupportedMethodResponse,
        "[A-Z]+ /health/(live|ready)",
        frozenset({401}),
        problem("unauthorized"),
        "Without a token, these two only allow GET; the other methods are refused with 401 (access_test.py).",
    ),
    Excuse(
        RejectedPositiveData,
        "GET /status",
        frozenset({400}),
        problem("bad-cursor"),
        "A cursor must be one that the service returned for the same search.",
    ),
    Excuse(
        RejectedPositiveData,
        ".+ /(status|result)/{uuid}.*",
        frozenset({400}),
        template,
        "Schemathesis uses the URL templates of GET / as URLs, with the placeholder as an id.",
    ),
)


def excuse(failure: Failure, status: int, found: Problem, case: Any) -> Excuse | None:
    """Return the row that excuses this finding."""
    fitting = (
        row
        for row in EXCUSES
        if isinstance(failure, row.kind) and status in row.statuses and re.fullmatch(row.operation, failure.operation)
    )
    return next((row for row in fitting if row.holds(found, case)), None)


@schemathesis.hook
def filter_failure(context: Any, failure: Failure, case: Any, response: Any) -> bool:
    """Keep a finding that no row excuses."""
    return excuse(failure, response.status_code, _body(response), case) is None


def _body(response: Any) -> Problem:
    try:
        found = json.loads(response.content)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


@schemathesis.serializer("application/x-ndjson")
def as_lines(context: Any, value: Any) -> bytes:
    """Return one JSON value per line; a value that is not a list is one line."""
    items = value if isinstance(value, list) else [value]
    return "".join(f"{json.dumps(item)}\n" for item in items).encode()


@schemathesis.deserializer("text/plain", "text/html")
def as_text(context: Any, response: Any) -> str:
    """Return the text, for its schema and for links."""
    return str(response.text)


_numbers = count(1)
_jobs: deque[str] = deque(maxlen=20)


@schemathesis.hook
def after_call(context: Any, case: Any, response: Any) -> None:
    """Remember the jobs that were created last."""
    for location in response.headers.get("location", []):
        _jobs.append(location.removeprefix("/status/"))


@schemathesis.hook
def map_path_parameters(context: Any, path_parameters: Any) -> Any:
    """Use the UUID of an existing job in every other request for a result; a random one never exists."""
    if context.operation.label == "GET /result/{uuid}" and _jobs and _UUID.fullmatch(str(path_parameters.get("uuid"))):
        _jobs.rotate()
        return {**path_parameters, "uuid": _jobs[0]} if next(_numbers) % 2 else path_parameters
    return path_parameters


_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


@schemathesis.hook
def before_call(context: Any, case: Any, kwargs: Any) -> None:
    """Make each valid ``Idempotency-Key`` unique, so that each request creates its own job."""
    key = (case.headers or {}).get("Idempotency-Key")
    if isinstance(key, str) and re.fullmatch("[!-~]([ -~]{0,253}[!-~])?", key):
        case.headers["Idempotency-Key"] = f"{key[:240]}-{next(_numbers)}"
