"""One shape for every error: each route of the OpenAPI document with all that can be wrong, and by small scopes."""

import re
from collections.abc import Iterator, Mapping
from http import HTTPStatus
from typing import Any, NamedTuple

import pytest
import requests
from jsonschema import Draft202012Validator

from .gate import Gate
from .http_test import count_jobs, filled
from .stack import Stack

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")
MEMBERS = {"type", "title", "status", "detail", "message"}
MORE: Mapping[str, set[str]] = {"bad-arguments": {"errors"}, "missing-scope": {"scope"}, "nothing-valid": {"jobs"}}
"""What the problems that are provoked here carry beside the members that all have."""
LEAK = re.compile(
    r"Traceback|File \"|\.py\b|site-packages|/tmp/|sqlite|\b(SELECT|INSERT|UPDATE|DELETE) .*\b(FROM|INTO)\b"
)


class Wrong(NamedTuple):
    """One request that must fail: a path of the document as it is asked for, and the problem that is expected."""

    path: str
    method: str
    target: str
    status: int
    code: str
    options: Mapping[str, Any] = {}


def wrong_requests(document: Mapping[str, Any]) -> Iterator[Wrong]:
    """All that can be asked wrongly of each operation, and each method that a path does not have."""
    for path, item in document["paths"].items():
        have = {method.upper() for method in item}
        for method in have:
            yield from wrong_targets(path, method)
            yield from wrong_contents(path, method)
        for method in set(METHODS) - have - ({"HEAD"} if "GET" in have else set()):
            yield Wrong(path, method, filled(path), 405, "method-not-allowed")


def wrong_targets(path: str, method: str) -> Iterator[Wrong]:
    """A query that is not known, an id that is none or nobody's, a task that is not there, bytes that are no text."""
    yield Wrong(path, method, f"{filled(path)}?strange=1", 400, "bad-query")
    yield Wrong(path, method, f"{filled(path)}/%ff", 400, "bad-request")
    yield Wrong(path, method, f"{filled(path)}//x", 400, "bad-request")
    if "{uuid}" in path:
        yield Wrong(path, method, filled(path, "nope"), 400, "bad-id")
        yield Wrong(path, method, filled(path, "..%2F..%2Fetc%2Fpasswd"), 400, "bad-id")
        yield Wrong(path, method, filled(path), 404, "unknown-job")
    if "{task}" in path or "{name}" in path:
        yield Wrong(path, method, filled(path, task="nope"), 404, "unknown-task")
        yield Wrong(path, method, filled(path, task="..%2F%27%3B--"), 404, "unknown-task")


def wrong_contents(path: str, method: str) -> Iterator[Wrong]:
    """A media type that is not read or not made, and a body that is not what it says or means nothing."""
    target, media = filled(path), "Content-Type"
    if "/health/" not in path:
        yield Wrong(path, method, target, 406, "not-acceptable", {"headers": {"Accept": "image/png"}})
    if method == "POST":
        xml = {"data": b"<a/>", "headers": {media: "text/xml"}}
        yield Wrong(path, method, target, 415, "unsupported-media-type", xml)
        yield Wrong(path, method, target, 415, "unsupported-media-type", {"data": {"args": "1"}})
        cut = {"data": b'{"args": [1', "headers": {media: "application/json"}}
        yield Wrong(path, method, target, 400, "bad-request", cut)
    if method == "POST" and path.startswith("/dispatch"):
        yield Wrong(path, method, target, 400, "bad-request", {"json": 5})
        yield Wrong(path, method, target, 400, "bad-request", {"json": {"args": 1}})


def check(document: Mapping[str, Any], wrong: Wrong, answer: requests.Response) -> None:
    """The answer is a problem of exactly the one shape, and one that the document tells of."""
    told = f"{wrong.method} {wrong.target}: {answer.status_code} {answer.text}"
    assert answer.status_code == wrong.status, told
    assert answer.headers["Content-Type"] == "application/problem+json", told
    declared = document["paths"][wrong.path].get(wrong.method.lower(), {}).get("responses", {})
    if declared:
        content = declared.get(str(wrong.status), declared["default"])["content"]
        assert list(content) == ["application/problem+json"], told
    if wrong.method == "HEAD":
        assert answer.content == b""
        return
    found = answer.json()
    schema = {"$ref": "#/components/schemas/Problem", "components": document["components"]}
    Draft202012Validator(schema).validate(found)
    assert set(found) == MEMBERS | MORE.get(wrong.code, set()), told
    assert found["type"] == f"urn:pacifica-dispatcher:problem:{wrong.code}", told
    assert (found["status"], found["title"]) == (wrong.status, HTTPStatus(wrong.status).phrase), told
    assert found["detail"] == found["message"], told
    assert re.fullmatch(r"[A-Z'].*\.", found["detail"]), told
    assert not LEAK.search(answer.text), told


def test_everything_that_can_be_wrong_is_a_problem_of_one_shape_and_leaves_no_job(
    stack: Stack, document: dict[str, Any]
) -> None:
    before, asked = count_jobs(stack), set()
    with requests.Session() as session:
        for wrong in wrong_requests(document):
            answer = session.request(wrong.method, stack.url + wrong.target, timeout=30, **wrong.options)
            check(document, wrong, answer)
            asked.add((wrong.path, wrong.method))
            if wrong.status == 405:
                assert wrong.method not in answer.headers["Allow"].split(", ")
    assert asked == {(path, method) for path in document["paths"] for method in METHODS} - {
        (path, "HEAD") for path, item in document["paths"].items() if "get" in item and "head" not in item
    }
    assert count_jobs(stack) == before


def operations(document: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Path and method of each operation that is not for everybody."""
    paths = document["paths"].items()
    return [(path, method.upper()) for path, item in paths if "/health/" not in path for method in item]


@pytest.mark.parametrize(
    ("headers", "challenge"),
    [
        ({}, ""),
        ({"Authorization": "Bearer pd_" + "x" * 43}, ', error="invalid_token"'),
        ({"Authorization": "Bearer "}, ', error="invalid_token"'),
        ({"Authorization": "Basic YTpi"}, ""),
        ({"X-Forwarded-User": "root"}, ""),
    ],
)
def test_who_is_not_known_is_told_so_by_every_route(
    gate: Gate, document: dict[str, Any], headers: dict[str, str], challenge: str
) -> None:
    for path, method in operations(document):
        wrong = Wrong(path, method, filled(path), 401, "unauthorized")
        answer = gate.ask(method, wrong.target, None, headers=headers)
        check(document, wrong, answer)
        assert answer.headers["WWW-Authenticate"] == f'Bearer realm="pacifica-dispatcher"{challenge}'


def test_a_scope_that_does_not_suffice_is_told_what_does_by_every_route(gate: Gate, document: dict[str, Any]) -> None:
    refused = set()
    for scope in ("read", "dispatch", "cancel", "read:lab.*", "dispatch:lab.*", "cancel:lab.*"):
        token = gate.token("small", scope)
        for path, method in operations(document):
            answer = gate.ask(method, filled(path), token)
            if answer.status_code == 403:
                refused.add((path, method))
                check(document, Wrong(path, method, filled(path), 403, "missing-scope"), answer)
                check_challenge(answer, scope)
    assert refused == set(operations(document))


def check_challenge(answer: requests.Response, scope: str) -> None:
    """The header names the scope that is missing, which the caller does not have for every task."""
    told = re.fullmatch(
        r'Bearer realm="pacifica-dispatcher", error="insufficient_scope", scope="(\w+)"',
        answer.headers["WWW-Authenticate"],
    )
    assert told, answer.headers
    assert told[1] != scope
    if answer.request.method != "HEAD":
        assert answer.json()["scope"].partition(":")[0] == told[1]
