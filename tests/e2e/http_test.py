"""The HTTP contract, one request at a time, against a running service."""

import json
import socket
from typing import Any

import pytest

from .contract import UNKNOWN_UUID, count_jobs, problem
from .stack import Stack


@pytest.mark.parametrize(
    ("path", "result"),
    [
        ("add/2/2", 4),
        ("add/1.5/2", 3.5),
        ("add/ab/cd", "abcd"),
        ("mul/a/3", "aaa"),
        ("mul/6/7", 42),
        ("add/-1/1e2", 99.0),
        ("add/gr%C3%BC%C3%9F/%20dich", "grüß dich"),
        ("lab.greet/Ada", "Hello, Ada!"),
    ],
)
def test_arguments_in_a_url_are_numbers_or_text(stack: Stack, path: str, result: Any) -> None:
    answer = stack.get(f"/dispatch/{path}")
    assert answer.status_code == 200
    assert answer.headers["Content-Type"] == "text/plain;charset=utf-8"
    assert len(answer.text) == 36
    assert answer.headers["Location"] == f"/status/{answer.text}"
    job = stack.ended(answer.text)
    assert job["result"] == result
    assert type(job["result"]) is type(result)


def test_dispatch_returns_the_job_if_json_is_accepted(stack: Stack) -> None:
    answer = stack.get("/dispatch/add/2/2", headers={"Accept": "application/json"})
    assert answer.headers["Content-Type"] == "application/json"
    assert answer.json()["state"] == "PENDING"
    assert answer.json()["args"] == [2, 2]


def test_post_accepts_positional_and_named_arguments(stack: Stack) -> None:
    body = {"args": ["Ada"], "kwargs": {"loud": True}}
    answer = stack.request("POST", "/dispatch/lab.greet", json=body)
    assert answer.status_code == 202
    assert answer.headers["Location"] == f"/status/{answer.json()['uuid']}"
    assert stack.ended(answer.json()["uuid"])["result"] == "Hello, ADA!"


@pytest.mark.parametrize(
    "value", [{"__type__": "datetime", "__value__": "2020"}, "a\u0000b", "𝔘", [None, {"a": []}], 2**70]
)
def test_json_values_pass_unchanged(stack: Stack, value: Any) -> None:
    job = stack.ended(stack.dispatch("echo", value))
    assert job["result"] == value
    assert stack.get(f"/result/{job['uuid']}").json() == value


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "code", "detail"),
    [
        ("GET", "/dispatch/nope", None, 404, "unknown-task", "'nope'"),
        ("GET", "/dispatch/ad/1/2", None, 404, "unknown-task", "Did you mean add"),
        ("GET", "/dispatch/celery.group/1", None, 404, "unknown-task", "celery.group"),
        ("GET", "/dispatch/os.system/ls", None, 404, "unknown-task", "os.system"),
        ("GET", "/dispatch/add/1", None, 422, "bad-arguments", "y: is missing"),
        ("GET", "/dispatch/add/1/2/3", None, 422, "bad-arguments", "argument 3: is one too many"),
        ("GET", "/dispatch/sleep/soon", None, 422, "bad-arguments", "seconds: should be a valid number"),
        ("GET", "/dispatch/add/1/b", None, 422, "bad-arguments", "both be numbers"),
        ("GET", "/dispatch/mul/a/999999999", None, 422, "bad-arguments", "65536 are allowed"),
        ("POST", "/dispatch/add", {"args": [1], "kwargs": {"z": 1}}, 422, "bad-arguments", "z: is not an argument"),
        ("POST", "/dispatch/sleep", {"args": ["1"]}, 422, "bad-arguments", "seconds: should be a valid number"),
        ("POST", "/dispatch/echo", {"args": ["\ud800"]}, 422, "bad-arguments", "value"),
        ("POST", "/dispatch/add", {"args": {}}, 400, "bad-request", "args of the body must be an array"),
        ("POST", "/dispatch/add", {"arg": []}, 400, "bad-request", "'arg'"),
        ("POST", "/dispatch/add", {"queue": "x"}, 400, "bad-request", "Write queue into the member options."),
        ("POST", "/dispatch/add", [1, 2], 400, "bad-request", "must be a JSON object"),
        (
            "POST",
            "/dispatch/add",
            {"args": [1, 2], "options": {"prio": 1}},
            422,
            "bad-options",
            "prio: is not an option",
        ),
        ("POST", "/dispatch/add", {"args": [1, 2], "options": {"priority": 10}}, 422, "bad-options", "priority"),
        ("GET", "/status/nope", None, 400, "bad-id", "'nope'"),
        ("GET", f"/status/{UNKNOWN_UUID}", None, 404, "unknown-job", UNKNOWN_UUID),
        ("GET", f"/result/{UNKNOWN_UUID}", None, 404, "unknown-job", UNKNOWN_UUID),
        ("GET", f"/status/{UNKNOWN_UUID}/events", None, 404, "unknown-job", UNKNOWN_UUID),
        ("GET", "/status/nope/events", None, 400, "bad-id", "'nope'"),
        ("GET", f"/status/{UNKNOWN_UUID}?foo=1", None, 400, "bad-query", "'foo'"),
        ("GET", "/dispatch/add/2/2?x=1", None, 400, "bad-query", "'x'"),
        ("GET", "/tasks/nope", None, 404, "unknown-task", "'nope'"),
        ("GET", "/nothing/here", None, 404, "not-found", "/nothing/here"),
        ("GET", "/status/a/b/c", None, 404, "not-found", "/status/a/b/c"),
    ],
)
def test_bad_input_is_a_problem_and_leaves_no_row(
    stack: Stack, method: str, path: str, body: Any, status: int, code: str, detail: str
) -> None:
    before = count_jobs(stack)
    assert detail in problem(stack.request(method, path, json=body), status, code)["detail"]
    assert count_jobs(stack) == before


def test_each_wrong_argument_is_named(stack: Stack) -> None:
    answer = stack.request("POST", "/dispatch/lab.greet", json={"args": [1], "kwargs": {"loud": "yes", "soft": 1}})
    assert [fault["where"] for fault in problem(answer, 422, "bad-arguments")["errors"]] == ["soft"]
    answer = stack.request("POST", "/dispatch/lab.greet", json={"args": [1], "kwargs": {"loud": "yes"}})
    assert [fault["where"] for fault in problem(answer, 422, "bad-arguments")["errors"]] == ["name", "loud"]


@pytest.mark.parametrize(
    ("method", "path", "allow"),
    [
        ("DELETE", "/dispatch/add/2/2", "GET, HEAD, OPTIONS"),
        ("PUT", f"/status/{UNKNOWN_UUID}", "DELETE, GET, HEAD, OPTIONS"),
        ("POST", f"/status/{UNKNOWN_UUID}", "DELETE, GET, HEAD, OPTIONS"),
        ("GET", f"/status/{UNKNOWN_UUID}/retry", "OPTIONS, POST"),
        ("POST", f"/status/{UNKNOWN_UUID}/events", "GET, HEAD, OPTIONS"),
        ("POST", f"/result/{UNKNOWN_UUID}", "GET, HEAD, OPTIONS"),
        ("PATCH", "/tasks", "GET, HEAD, OPTIONS"),
        ("POST", "/health/live", "GET, HEAD, OPTIONS"),
        ("POST", "/", "GET, HEAD, OPTIONS"),
    ],
)
def test_405_lists_the_allowed_methods(stack: Stack, method: str, path: str, allow: str) -> None:
    answer = stack.request(method, path)
    problem(answer, 405, "method-not-allowed")
    assert answer.headers["Allow"] == allow


@pytest.mark.parametrize(
    ("data", "kind", "status", "code"),
    [
        (b'{"args":[1,', "application/json", 400, "bad-request"),
        (b'{"args":[NaN, 1]}', "application/json", 400, "bad-request"),
        (b'{"args":[1e999, 1]}', "application/json", 400, "bad-request"),
        (b'{"args":["\xff", 1]}', "application/json", 400, "bad-request"),
        (b"[" * 100_000, "application/json", 400, "bad-request"),
        (b'{"args":[1,2]}', "application/x-www-form-urlencoded", 415, "unsupported-media-type"),
        (b"x", "text/plain", 415, "unsupported-media-type"),
    ],
)
def test_body_that_is_not_json_is_refused(stack: Stack, data: bytes, kind: str, status: int, code: str) -> None:
    before = count_jobs(stack)
    problem(stack.request("POST", "/dispatch/add", data=data, headers={"Content-Type": kind}), status, code)
    assert count_jobs(stack) == before


def test_head_checks_the_arguments_and_dispatches_nothing(stack: Stack) -> None:
    before = count_jobs(stack)
    assert stack.request("HEAD", "/dispatch/add/2/2").status_code == 200
    assert stack.request("HEAD", "/dispatch/add/2").status_code == 422
    assert count_jobs(stack) == before


def test_unavailable_media_type_is_not_acceptable(stack: Stack) -> None:
    before = count_jobs(stack)
    problem(stack.get("/dispatch/add/2/2", headers={"Accept": "image/png"}), 406, "not-acceptable")
    assert count_jobs(stack) == before


def test_uuid_may_be_in_upper_case_or_without_hyphens(stack: Stack) -> None:
    uuid = stack.dispatch("add", 1, 1)
    assert stack.status(uuid.upper())["uuid"] == uuid
    assert stack.status(uuid.replace("-", ""))["uuid"] == uuid


def test_status_as_text_is_the_state_and_later_the_result(stack: Stack) -> None:
    text = {"Accept": "text/plain"}
    waiting = stack.dispatch("add", 1, 1, options={"countdown": 600})
    assert stack.get(f"/status/{waiting}", headers=text).text == "PENDING"
    uuid = stack.dispatch("mul", "a", 3)
    stack.ended(uuid)
    assert stack.get(f"/status/{uuid}", headers=text).text == "aaa"


def test_result_is_200_when_ready_202_before_and_409_after_failure(stack: Stack) -> None:
    waiting = stack.get(f"/result/{stack.dispatch('add', 1, 1, options={'countdown': 600})}")
    assert (waiting.status_code, waiting.json()["state"], "Retry-After" in waiting.headers) == (202, "PENDING", True)
    good = stack.dispatch("add", 2, 2)
    stack.ended(good)
    assert stack.get(f"/result/{good}").json() == 4
    bad = stack.dispatch("fail", "Oh no.")
    stack.ended(bad)
    found = problem(stack.get(f"/result/{bad}"), 409, "no-result")
    assert (found["state"], found["error"]["type"], found["error"]["message"]) == ("FAILURE", "RuntimeError", "Oh no.")


def test_failing_task_shows_failure_with_type_and_message(stack: Stack) -> None:
    job = stack.ended(stack.dispatch("fail", "It broke."))
    error = job["error"]
    assert (job["state"], error["type"], error["message"]) == ("FAILURE", "RuntimeError", "It broke.")
    assert error["at"].startswith("pacifica/dispatcher/worker/builtin_tasks.py:")
    assert job["result"] is None


@pytest.mark.parametrize(
    ("task", "args", "state"), [("fail", ["It broke."], "FAILURE"), ("add", [1, 1], "SUCCESS")], ids=["fail", "add"]
)
def test_history_of_a_job_lists_its_events_in_order(stack: Stack, task: str, args: list[Any], state: str) -> None:
    job = stack.ended(stack.dispatch(task, *args))
    answer = stack.get(f"/status/{job['uuid']}/events")
    assert (answer.status_code, answer.headers["Content-Type"]) == (200, "application/json")
    events = answer.json()["events"]
    assert [event["kind"] for event in events] == ["PENDING", "STARTED", state]
    assert [event["id"] for event in events] == sorted(event["id"] for event in events)
    assert (events[0]["at"], events[-1]["at"]) == (job["created"], job["finished"])
    assert events[1]["data"]["attempt"] == 1
    assert "Traceback" not in answer.text


def test_times_of_a_job_are_in_order(stack: Stack) -> None:
    job = stack.ended(stack.dispatch("add", 2, 2))
    assert job["created"] <= job["started"] <= job["finished"]
    assert all(job[name].endswith("Z") for name in ("created", "started", "finished"))
    assert job["attempt"] == 1


def test_scheduled_job_does_not_start_before_its_time(stack: Stack) -> None:
    job = stack.ended(stack.dispatch("add", 2, 2, options={"countdown": 1.5}))
    assert job["eta"] <= job["started"]


def test_tasks_are_listed_with_their_schemas(stack: Stack) -> None:
    tasks = {task["name"]: task for task in stack.get("/tasks").json()["tasks"]}
    assert {"add", "mul", "sleep", "fail", "lab.greet"} <= set(tasks)
    assert not [name for name in tasks if name.startswith("celery.")]
    greet = stack.get("/tasks/lab.greet").json()
    assert greet == tasks["lab.greet"]
    assert greet["doc"] == "A greeting."
    assert greet["arguments"]["required"] == ["name"]
    assert greet["arguments"]["properties"]["loud"] == {"type": "boolean", "default": False}
    assert greet["result"] == {"type": "string"}


def test_root_returns_the_service_document(stack: Stack) -> None:
    root = stack.get("/").json()
    assert root["name"] == "Pacifica Dispatcher"
    assert "add" in root["tasks"]


def test_health_reports_database_and_broker(stack: Stack) -> None:
    assert stack.get("/health/live").json() == {"status": "ok"}
    ready = stack.get("/health/ready")
    assert ready.status_code == 200
    assert ready.json()["database"] == ready.json()["broker"] == "ok"


def test_post_without_a_body_has_no_arguments(stack: Stack) -> None:
    host, port = stack.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=10) as raw:
        raw.sendall(f"POST /dispatch/add HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
        answer = b"".join(iter(lambda: raw.recv(65536), b""))
    assert answer.startswith(b"HTTP/1.1 422 ")
    assert json.loads(answer.split(b"\r\n\r\n", 1)[1])["errors"][0] == {"where": "x", "message": "is missing"}
