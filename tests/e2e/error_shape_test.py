"""One format for every error: each route of the OpenAPI document with every invalid input, and with small scopes."""

import re
from collections.abc import Iterator, Mapping
from http import HTTPStatus
from typing import Any, NamedTuple

import pytest
import requests
from jsonschema import Draft202012Validator

from .contract import count_jobs, filled
from .secured_stack import SecuredStack
from .stack import Stack

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")
MEMBERS = {"type", "title", "status", "detail", "message"}
MORE: Mapping[str, set[str]] = {"bad-arguments": {"errors"}, "missing-scope": {"scope"}, "nothing-valid": {"jobs"}}
"""Additional members of the problems that are provoked here."""
LEAK = re.compile(
    r"Traceback|File \"|\.py\b|site-packages|/tmp/|sqlite|\b(SELECT|INSERT|UPDATE|DELETE) .*\b(FROM|INTO)\b"
)


class Wrong(NamedTuple):
    """One request that must fail, and the expected problem; ``path`` is that of the document."""

    path: str
    method: str
    target: str
    status: int
    code: str
    options: Mapping[str, Any] = {}


def wrong_requests(document: Mapping[str, Any]) -> Iterator[Wrong]:
    """Every invalid request to each operation, and every method that a path does not have."""
    for path, item in document["paths"].items():
        have = {method.upper() for method in item}
        for method in have:
            yield from wrong_targets(path, method)
            yield from wrong_contents(path, method)
        for method in set(METHODS) - have - ({"HEAD"} if "GET" in have else set()):
            yield Wrong(path, method, filled(path), 405, "method-not-allowed")


def wrong_targets(path: str, method: str) -> Iterator[Wrong]:
    """An unknown query parameter, an invalid or unknown id, an unknown task, and bytes that are not UTF-8."""
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
    """An unsupported media type of request or response, and a malformed or meaningless body."""
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
    """The response is a problem document of exactly the one format, and the OpenAPI document declares it."""
    request = f"{wrong.method} {wrong.target}: {answer.status_code} {answer.text}"
    assert answer.status_code == wrong.status, request
    assert answer.headers["Content-Type"] == "application/problem+json", request
    declared = document["paths"][wrong.path].get(wrong.method.lower(), {}).get("responses", {})
    if declared:
        content = declared[str(wrong.status)]["content"]
        assert list(content) == ["application/problem+json"], request
    if wrong.method == "HEAD":
        assert answer.content == b""
        return
    found = answer.json()
    schema = {"$ref": "#/components/schemas/Problem", "components": document["components"]}
    Draft202012Validator(schema).validate(found)
    assert set(found) == MEMBERS | MORE.get(wrong.code, set()), request
    assert found["type"] == f"urn:pacifica-dispatcher:problem:{wrong.code}", request
    assert (found["status"], found["title"]) == (wrong.status, HTTPStatus(wrong.status).phrase), request
    assert found["detail"] == found["message"], request
    assert re.fullmatch(r"[A-Z'].*\.", found["detail"]), request
    assert not LEAK.search(answer.text), request


def test_every_invalid_request_is_a_problem_and_leaves_no_job(stack: Stack, document: dict[str, Any]) -> None:
    before, requested = count_jobs(stack), set()
    with requests.Session() as session:
        for wrong in wrong_requests(document):
            answer = session.request(wrong.method, stack.url + wrong.target, timeout=30, **wrong.options)
            check(document, wrong, answer)
            requested.add((wrong.path, wrong.method))
            if wrong.status == 405:
                assert wrong.method not in answer.headers["Allow"].split(", ")
    assert requested == {(path, method) for path in document["paths"] for method in METHODS} - {
        (path, "HEAD") for path, item in document["paths"].items() if "get" in item and "head" not in item
    }
    assert count_jobs(stack) == before


def operations(document: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Path and method of each operation that requires a scope."""
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
def test_every_route_answers_an_unknown_caller_with_401(
    secured: SecuredStack, document: dict[str, Any], headers: dict[str, str], challenge: str
) -> None:
    for path, method in operations(document):
        wrong = Wrong(path, method, filled(path), 401, "unauthorized")
        answer = secured.ask(method, wrong.target, None, headers=headers)
        check(document, wrong, answer)
        assert answer.headers["WWW-Authenticate"] == f'Bearer realm="pacifica-dispatcher"{challenge}'


def test_every_route_names_the_scope_that_is_missing(secured: SecuredStack, document: dict[str, Any]) -> None:
    refused = set()
    for scope in ("read", "dispatch", "cancel", "read:lab.*", "dispatch:lab.*", "cancel:lab.*"):
        token = secured.token("small", scope)
        for path, method in operations(document):
            answer = secured.ask(method, filled(path), token)
            if answer.status_code == 403:
                refused.add((path, method))
                check(document, Wrong(path, method, filled(path), 403, "missing-scope"), answer)
                check_challenge(answer, scope)
    assert refused == set(operations(document))


def check_challenge(answer: requests.Response, scope: str) -> None:
    """The header names the missing scope."""
    challenge = re.fullmatch(
        r'Bearer realm="pacifica-dispatcher", error="insufficient_scope", scope="(\w+)"',
        answer.headers["WWW-Authenticate"],
    )
    assert challenge, answer.headers
    assert challenge[1] != scope
    if answer.request.method != "HEAD":
        assert answer.json()["scope"].partition(":")[0] == challenge[1]
