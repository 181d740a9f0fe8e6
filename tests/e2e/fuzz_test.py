"""Schemathesis sends requests that the OpenAPI document allows and forbids; ``make fuzz`` runs longer."""

import re
from typing import Any

import pytest
import requests
from schemathesis.core.failures import AcceptedNegativeData
from schemathesis.openapi.checks import RejectedPositiveData

from ..fuzz import excused
from ..fuzz.fuzz import Run, ask, service

SEED = "20261124"
CASES = {"edges": 1500, "chance": 300}
"""The least number of requests of each run."""
LEFT_OUT = ("/dispatch", "/dispatch/fail", "/dispatch/mul", "/dispatch/sleep")
"""A batch has the edge cases of all its items; these tasks have the options and kinds of arguments of others."""


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    return {}


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory, document: dict[str, Any]) -> dict[str, Run]:
    """One run with the edge cases of the schemas, without a token; one with random values and links, with a token.

    Only ``make fuzz`` includes the edge cases of all operations.
    """
    edges, chance = tmp_path_factory.mktemp("edges"), tmp_path_factory.mktemp("chance")
    with service(edges) as (web, _):
        document |= requests.get(f"{web.url}/openapi.json", timeout=10).json()
        excluded = [word for path in LEFT_OUT for word in ("--exclude-path", path)]
        first = ask(web.url, edges, "--seed", SEED, "--phases", "coverage", *excluded)
    with service(chance, anonymous="none") as (web, token):
        limits = ("--max-examples", "8", "--phases", "fuzzing,stateful")
        second = ask(web.url, chance, "--seed", SEED, *limits, token=token)
    return {"edges": first, "chance": second}


@pytest.mark.parametrize("name", CASES)
def test_schemathesis_finds_nothing(runs: dict[str, Run], name: str) -> None:
    run = runs[name]
    assert (run.status, run.report["failures"], run.report["errors"]) == (0, [], []), run.output
    assert run.report["test_cases"]["generated"] >= CASES[name]


def test_every_operation_that_can_succeed_has_succeeded(runs: dict[str, Run], document: dict[str, Any]) -> None:
    possible = {
        f"{method.upper()} {path}"
        for path, item in document["paths"].items()
        for method, one in item.items()
        if any(status < "400" for status in one["responses"])
    }
    accepted = {name for run in runs.values() for name in run.answers if name not in run.untested}
    assert possible - accepted == set()
    assert {name for run in runs.values() for name in run.answers} >= possible


def test_few_findings_are_excused(runs: dict[str, Run]) -> None:
    for run in runs.values():
        assert run.report["filtered"] < run.report["test_cases"]["generated"] * 0.4


def test_every_excuse_names_operations_of_the_document(runs: dict[str, Run], document: dict[str, Any]) -> None:
    names = [f"{method.upper()} {path}" for path, item in document["paths"].items() for method in item]
    idle = [row for row in excused.EXCUSES if not any(re.fullmatch(row.operation, name) for name in names)]
    assert idle == []


class Case:
    """The part of a request that an excuse reads."""

    def __init__(self, body: Any = None) -> None:
        self.body = body


def refused(*faults: tuple[str, str], code: str = "bad-arguments") -> dict[str, Any]:
    """Return a problem that names these faults."""
    errors = [{"where": where, "message": message} for where, message in faults]
    return {"type": f"urn:pacifica-dispatcher:problem:{code}", "errors": errors}


INTEGER = ("n", "should be a valid integer")
CHECK = ("arguments", "x and y must both be numbers, or both be text")


@pytest.mark.parametrize(
    ("found", "body", "is_excused"),
    [
        (refused(CHECK), {}, True),
        (refused(INTEGER), {"args": [4.0]}, True),
        (refused(INTEGER), {"args": [4.5]}, False),
        (refused(CHECK, ("x", "is missing")), {}, False),
        (refused(("labels.a", "a label's value has at most 191 characters, all of them printable")), {}, True),
        (refused(("eta", "Input should be a valid datetime"), code="bad-options"), {}, False),
        ({"type": "urn:pacifica-dispatcher:problem:key-reused"}, {}, False),
    ],
)
def test_only_faults_that_no_schema_can_express_are_excused(found: dict[str, Any], body: Any, is_excused: bool) -> None:
    where = "POST /dispatch/add"
    failure = RejectedPositiveData(operation=where, message="", status_code=422, allowed_statuses=[])
    assert (excused.excuse(failure, 422, found, Case(body)) is not None) is is_excused
    accepted = AcceptedNegativeData(operation=where, message="", status_code=422, expected_statuses=[])
    assert excused.excuse(accepted, 422, found, Case(body)) is None
