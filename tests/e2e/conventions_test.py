"""HTTP conventions, and the OpenAPI document; the tests are generated from the document, so no route is missing."""

import http.client
from typing import Any

import pytest
from jsonschema import Draft202012Validator, ValidationError
from openapi_spec_validator import validate

from ..processes import Processes
from .conftest import start_stack
from .contract import UNKNOWN_UUID, count_jobs, filled, problem
from .secured_stack import SecuredStack
from .stack import Stack


def raw(stack: Stack, method: str, target: str, headers: dict[str, str] | None = None) -> tuple[int, bytes]:
    """Status and body of a request whose target and headers are sent unchanged."""
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


def test_document_is_valid_openapi(document: dict[str, Any]) -> None:
    validate(document)
    assert document["components"]["schemas"]["lab.greet.arguments"]["required"] == ["name"]


def test_every_declared_method_is_allowed_on_its_path(stack: Stack, document: dict[str, Any]) -> None:
    before = count_jobs(stack)
    for path, item in document["paths"].items():
        answer = stack.request("OPTIONS", filled(path))
        assert (answer.status_code, answer.content) == (204, b""), path
        allow = set(answer.headers["Allow"].split(", "))
        assert {method.upper() for method in item} <= allow, path
        assert allow - {method.upper() for method in item} <= {"HEAD", "OPTIONS"}, path
    assert count_jobs(stack) == before


def fits(document: dict[str, Any], name: str, value: Any) -> None:
    """The value matches the schema with that name in the document."""
    schema = {"$ref": f"#/components/schemas/{name}", "components": document["components"]}
    Draft202012Validator(schema, format_checker=Draft202012Validator.FORMAT_CHECKER).validate(value)


def test_job_matches_its_schema(stack: Stack, document: dict[str, Any]) -> None:
    for uuid in (stack.dispatch("add", 2, 2), stack.dispatch("fail", "Oh no.")):
        fits(document, "Job", stack.ended(uuid))


def test_batch_page_and_history_match_their_schemas(stack: Stack, document: dict[str, Any]) -> None:
    batch = [{"task": "add", "args": [2, 2], "options": {"labels": {"run": "schema"}}}]
    fits(document, "Batch", batch)
    answer = stack.request("POST", "/dispatch", json=[*batch, {"task": "ad", "kwargs": {}}]).json()
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
        ("Batch", []),
        ("BatchItem", {"task": "ad"}),
        ("BatchItem", {"task": "add", "args": [1]}),
        ("add.dispatch", {"args": [1, 2, 3]}),
        ("add.dispatch", {"args": [1], "kwargs": {"x": 1}}),
        ("add.dispatch", {"args": [1], "kwargs": {"y": None}}),
        ("lab.greet.dispatch", {"args": ["Ada", True]}),
        ("lab.greet.dispatch", {"args": ["Ada"], "kwargs": {"name": "Ada"}}),
        ("Options", {"countdown": 1, "eta": "2030-01-01T00:00:00Z"}),
        ("Options", {"queue": "amq.mine"}),
        ("Options", {"labels": {"a b": ""}}),
        ("Options", {"labels": {"a": "\x07"}}),
        ("BatchItem", {"args": []}),
        ("BatchItem", {"task": "add", "arguments": []}),
        ("BatchItem", {"task": "add", "options": {"priority": 10}}),
        ("BatchAnswer", {"jobs": [{"uuid": UNKNOWN_UUID, "problem": {}}]}),
        ("BatchAnswer", {"jobs": [{}]}),
        ("Page", {"jobs": [{}], "next": None}),
        ("Page", {"jobs": []}),
        ("History", {"events": [{"id": 1, "kind": "PENDING"}]}),
    ],
)
def test_schema_refuses_invalid_values(document: dict[str, Any], name: str, value: Any) -> None:
    with pytest.raises(ValidationError):
        fits(document, name, value)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("add.dispatch", {"args": [1, "2"]}),
        ("add.dispatch", {"args": [1], "kwargs": {"y": 2.5}, "options": {"countdown": 1, "eta": None}}),
        ("add.dispatch", {"kwargs": {"x": 1, "y": 2}}),
        ("lab.greet.dispatch", {"args": ["Ada"], "kwargs": {"loud": True}}),
        ("sleep.dispatch", {}),
        ("BatchItem", {"task": "sleep"}),
    ],
)
def test_schema_accepts_valid_values(document: dict[str, Any], name: str, value: Any) -> None:
    fits(document, name, value)


def test_every_link_leads_to_an_operation_with_its_parameters(document: dict[str, Any]) -> None:
    operations = [one for item in document["paths"].values() for one in item.values()]
    known = {one["operationId"]: {each["name"] for each in one["parameters"]} for one in operations}
    links = [
        link for one in operations for answer in one["responses"].values() for link in answer.get("links", {}).values()
    ]
    assert len(links) > 50
    assert [link for link in links if not set(link["parameters"]) <= known[link["operationId"]]] == []


def test_each_operation_names_its_scope_or_is_open(document: dict[str, Any]) -> None:
    assert document["components"]["securitySchemes"]["bearer"]["scheme"] == "bearer"
    assert document["paths"]["/health/live"]["get"]["security"] == []
    assert document["paths"]["/status/{uuid}"]["delete"]["security"] == [{"bearer": ["cancel"]}, {}]


def test_document_requires_a_token_if_the_server_does(secured: SecuredStack) -> None:
    found = secured.ask("GET", "/openapi.json", secured.token("reader", "read")).json()
    assert found["paths"]["/status/{uuid}"]["delete"]["security"] == [{"bearer": ["cancel"]}]


@pytest.mark.parametrize("method", ["TRACE", "PUT"])
def test_unknown_method_is_405_with_any_query(stack: Stack, method: str) -> None:
    assert stack.request(method, f"/status/{UNKNOWN_UUID}?wait=1&strange=2").status_code == 405


@pytest.mark.parametrize(
    ("path", "headers"),
    [
        ("/events?after=1000000000000000000", {"Last-Event-ID": "0"}),
        ("/events", {"Last-Event-ID": ""}),
        ("/events?after=", {}),
        ("/status?limit=0", {}),
        (f"/status/{UNKNOWN_UUID}?wait=1e6", {}),
        (f"/status/{UNKNOWN_UUID}?wait=-1", {}),
    ],
)
def test_parameter_that_violates_its_schema_is_refused(stack: Stack, path: str, headers: dict[str, str]) -> None:
    assert stack.get(path, headers=headers).status_code == 400


@pytest.mark.parametrize("wait", ["0.00000000000001", "3.7e-120", "1E-3", "-0"])
def test_wait_may_be_any_json_number(stack: Stack, wait: str) -> None:
    assert stack.get(f"/dispatch/add/2/2?wait={wait}").status_code in {200, 202}


@pytest.mark.parametrize(
    "headers",
    [
        {"Content-Type": "APPLICATION/JSON", "Accept": "Application/JSON;Q=1"},
        {"Content-Type": "application/json; charset=UTF-8", "Content-Encoding": "Identity"},
        {"Content-Type": 'application/json; charset="utf8"', "Accept": "APPLICATION/*"},
    ],
)
def test_media_types_are_case_insensitive(stack: Stack, headers: dict[str, str]) -> None:
    answer = stack.request("POST", "/dispatch/add", data=b'{"args": [2, 2]}', headers=headers)
    assert (answer.status_code, answer.headers["Content-Type"]) == (202, "application/json")


def test_ndjson_media_type_is_case_insensitive(stack: Stack) -> None:
    headers = {"Content-Type": "Application/X-NDJSON"}
    answer = stack.request("POST", "/dispatch", data=b'{"task": "add", "args": [2, 2]}\n', headers=headers)
    assert answer.status_code == 202


@pytest.mark.parametrize(
    ("name", "value", "detail"),
    [
        ("Content-Encoding", "gzip", "'gzip' is not supported"),
        ("Content-Type", "application/json; charset=utf-16", "'utf-16' is not supported"),
        ("Content-Type", "application/x-ndjson; charset=latin-1", "'latin-1' is not supported"),
    ],
)
def test_body_in_another_encoding_is_refused(stack: Stack, name: str, value: str, detail: str) -> None:
    headers = {"Content-Type": "application/json", name: value}
    answer = stack.request("POST", "/dispatch", data=b'[{"task": "add", "args": [2, 2]}]', headers=headers)
    assert detail in problem(answer, 415, "unsupported-media-type")["detail"]


@pytest.mark.parametrize("key", ["ключ".encode(), b"\xe9", b"", b"x" * 256])
def test_idempotency_key_must_be_printable_ascii(stack: Stack, key: bytes) -> None:
    answer = stack.request("POST", "/dispatch/add", json={"args": [2, 2]}, headers={"Idempotency-Key": key})
    assert answer.status_code == 400


def test_document_declares_ndjson_for_batches(document: dict[str, Any]) -> None:
    body = document["paths"]["/dispatch"]["post"]["requestBody"]["content"]
    assert list(body) == ["application/json", "application/x-ndjson"]


@pytest.mark.parametrize("path", ["/tasks", "/tasks/add", "/openapi.json", "/docs", "/status/{uuid}"])
def test_current_representation_is_not_sent_again(stack: Stack, path: str) -> None:
    uuid = stack.dispatch("add", 2, 2, options={"countdown": 600})
    path = path.format(uuid=uuid)
    first = stack.get(path)
    tag = first.headers["ETag"]
    assert (first.headers["Cache-Control"], first.headers["Vary"]) == ("no-cache", "Accept")
    again = stack.get(path, headers={"If-None-Match": f'"other", W/{tag}'})
    assert (again.status_code, again.content, again.headers["ETag"]) == (304, b"", tag)
    assert stack.get(path, headers={"If-None-Match": '"other"'}).status_code == 200


def test_etag_changes_with_the_state_of_a_job(stack: Stack) -> None:
    uuid = stack.dispatch("add", 2, 2, options={"countdown": 600})
    tag = stack.get(f"/status/{uuid}").headers["ETag"]
    stack.request("DELETE", f"/status/{uuid}")
    assert stack.get(f"/status/{uuid}", headers={"If-None-Match": tag}).status_code == 200


@pytest.mark.parametrize("server", ["embedded", "gunicorn"])
def test_both_servers_read_paths_and_bodies_in_the_same_way(processes: Processes, server: str) -> None:
    processes.env["BROKER_URL"] = "database://"
    processes.write_config("[dispatcher]\ntasks = lab\nbody_limit = 100\n")
    stack = start_stack(processes, server, worker=False)
    accept = {"Accept": "application/json"}
    for text, expected in (
        ("a%2Fb", "a/b"),
        ("a%2fb", "a/b"),
        ("%252F", "%2F"),
        ("gr%C3%BC%C3%9F", "grüß"),
        ("x/", "x"),
    ):
        answer = stack.get(f"/dispatch/echo/{text}", headers=accept)
        assert answer.status_code == 200, answer.text
        assert answer.json()["args"] == [expected]
    before = count_jobs(stack)
    assert raw(stack, "GET", "/dispatch/echo/%ff")[0] == 400
    assert raw(stack, "GET", "/dispatch/add/1//2")[0] == 400
    assert raw(stack, "POST", "/dispatch/add", {"Transfer-Encoding": "chunked"})[0] == 411
    status, body = raw(stack, "POST", "/dispatch/add", {"Content-Length": "101", "Content-Type": "application/json"})
    assert (status, b"100 bytes" in body) == (413, True)
    assert raw(stack, "GET", f"/dispatch/echo/{'x' * 9000}")[0] == 414
    for query in ("wait=%ff", "wait=a:%ED%A0%80", "%ff=1", f"{'1' * 5000},1"):
        status, body = raw(stack, "GET", f"/status/{UNKNOWN_UUID}?{query}")
        assert (status, b"The query cannot be read" in body) == (400, True), query
    assert raw(stack, "PUT", "/tasks?wait=%ff")[0] == 400
    for name in ("Accept", "Content-Type"):
        for path in ("/tasks", "/nope", "/tasks//"):
            status, body = raw(stack, "GET", path, {name: ',"' * 14_000})
            assert (status, b"is longer than 2000 characters" in body) == (431, True), (name, path)
    assert count_jobs(stack) == before
    assert stack.get("/health/live").status_code == 200
