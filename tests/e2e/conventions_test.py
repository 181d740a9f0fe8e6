"""What HTTP people expect, and the document that tells of it; built from the document, so no route is forgotten."""

import http.client
from types import SimpleNamespace
from typing import Any

import pytest
from jsonschema import Draft202012Validator, ValidationError
from openapi_spec_validator import validate

from pacifica.dispatcher.rest import Root
from pacifica.dispatcher.web.openapi import handlers

from ..processes import Processes
from .conftest import start_stack
from .http_test import NOBODY, count_jobs, filled
from .stack import Stack


def raw(stack: Stack, method: str, target: str, headers: dict[str, str] | None = None) -> tuple[int, bytes]:
    """Status and body of a request whose target and headers are sent as they stand."""
    connection = http.client.HTTPConnection(stack.url.removeprefix("http://"), timeout=10)
    try:
        connection.putrequest(method, target)
        for name, value in (headers or {}).items():
            connection.putheader(name, value)
        connection.endheaders()
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def test_the_document_is_valid_openapi(document: dict[str, Any]) -> None:
    validate(document)
    assert document["components"]["schemas"]["lab.greet.arguments"]["required"] == ["name"]


def test_every_handler_of_the_tree_is_declared() -> None:
    service: Any = SimpleNamespace(registry={})
    assert [handler for _, handler in handlers(Root(service)) if not getattr(handler, "operations", ())] == []


def test_every_declared_method_is_one_that_its_path_allows(stack: Stack, document: dict[str, Any]) -> None:
    before = count_jobs(stack)
    for path, item in document["paths"].items():
        answer = stack.request("OPTIONS", filled(path))
        assert (answer.status_code, answer.content) == (204, b""), path
        allow = set(answer.headers["Allow"].split(", "))
        assert {method.upper() for method in item} <= allow, path
        assert allow - {method.upper() for method in item} <= {"HEAD", "OPTIONS"}, path
    assert count_jobs(stack) == before


def fits(document: dict[str, Any], name: str, value: Any) -> None:
    """The value is what the document's schema of that name says."""
    schema = {"$ref": f"#/components/schemas/{name}", "components": document["components"]}
    Draft202012Validator(schema, format_checker=Draft202012Validator.FORMAT_CHECKER).validate(value)


def test_a_job_is_what_its_schema_says(stack: Stack, document: dict[str, Any]) -> None:
    for uuid in (stack.dispatch("add", 2, 2), stack.dispatch("fail", "Oh no.")):
        fits(document, "Job", stack.ended(uuid))


def test_a_batch_its_answer_a_page_and_a_history_are_what_their_schemas_say(
    stack: Stack, document: dict[str, Any]
) -> None:
    batch = [{"task": "add", "args": [2, 2], "options": {"labels": {"run": "schema"}}}, {"task": "ad", "kwargs": {}}]
    fits(document, "Batch", batch)
    answer = stack.request("POST", "/dispatch", json=batch).json()
    fits(document, "BatchAnswer", answer)
    uuid = answer["jobs"][0]["uuid"]
    stack.ended(uuid)
    for query in ("limit=1", "label=run:schema", "label=none"):
        fits(document, "Page", stack.get(f"/status?{query}").json())
    fits(document, "History", stack.get(f"/status/{uuid}/events").json())


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("Batch", {"task": "add"}),
        ("BatchItem", {"args": []}),
        ("BatchItem", {"task": "add", "arguments": []}),
        ("BatchItem", {"task": "add", "options": {"priority": 10}}),
        ("BatchAnswer", {"jobs": [{"uuid": NOBODY, "problem": {}}]}),
        ("BatchAnswer", {"jobs": [{}]}),
        ("Page", {"jobs": [{}], "next": None}),
        ("Page", {"jobs": []}),
        ("History", {"events": [{"id": 1, "kind": "PENDING"}]}),
    ],
)
def test_a_schema_refuses_what_is_not_meant(document: dict[str, Any], name: str, value: Any) -> None:
    with pytest.raises(ValidationError):
        fits(document, name, value)


def test_a_batch_may_be_lines(document: dict[str, Any]) -> None:
    body = document["paths"]["/dispatch"]["post"]["requestBody"]["content"]
    assert list(body) == ["application/json", "application/x-ndjson"]


@pytest.mark.parametrize("path", ["/tasks", "/tasks/add", "/openapi.json", "/docs", "/status/{uuid}"])
def test_what_a_client_has_already_is_not_sent_again(stack: Stack, path: str) -> None:
    uuid = stack.dispatch("add", 2, 2, options={"countdown": 600})
    path = path.format(uuid=uuid)
    first = stack.get(path)
    tag = first.headers["ETag"]
    assert (first.headers["Cache-Control"], first.headers["Vary"]) == ("no-cache", "Accept")
    again = stack.get(path, headers={"If-None-Match": f'"other", W/{tag}'})
    assert (again.status_code, again.content, again.headers["ETag"]) == (304, b"", tag)
    assert stack.get(path, headers={"If-None-Match": '"other"'}).status_code == 200


def test_a_job_that_moved_has_another_tag(stack: Stack) -> None:
    uuid = stack.dispatch("add", 2, 2, options={"countdown": 600})
    tag = stack.get(f"/status/{uuid}").headers["ETag"]
    stack.request("DELETE", f"/status/{uuid}")
    assert stack.get(f"/status/{uuid}", headers={"If-None-Match": tag}).status_code == 200


@pytest.mark.parametrize("server", ["embedded", "gunicorn"])
def test_paths_and_bodies_are_read_alike_under_both_servers(processes: Processes, server: str) -> None:
    processes.env["BROKER_URL"] = "database://"
    processes.write_config("[dispatcher]\ntasks = lab\nbody_limit = 100\n")
    stack = start_stack(processes, server, worker=False)
    accept = {"Accept": "application/json"}
    for text, meant in (("a%2Fb", "a/b"), ("a%2fb", "a/b"), ("%252F", "%2F"), ("gr%C3%BC%C3%9F", "grüß"), ("x/", "x")):
        answer = stack.get(f"/dispatch/echo/{text}", headers=accept)
        assert answer.status_code == 200, answer.text
        assert answer.json()["args"] == [meant]
    before = count_jobs(stack)
    assert raw(stack, "GET", "/dispatch/echo/%ff")[0] == 400
    assert raw(stack, "GET", "/dispatch/add/1//2")[0] == 400
    assert raw(stack, "POST", "/dispatch/add", {"Transfer-Encoding": "chunked"})[0] == 411
    status, told = raw(stack, "POST", "/dispatch/add", {"Content-Length": "101", "Content-Type": "application/json"})
    assert (status, b"100 bytes" in told) == (413, True)
    assert raw(stack, "GET", f"/dispatch/echo/{'x' * 9000}")[0] == 414
    assert count_jobs(stack) == before
    assert stack.get("/health/live").status_code == 200
