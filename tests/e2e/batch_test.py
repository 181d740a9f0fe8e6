"""Batches over HTTP: JSON arrays and NDJSON, valid and invalid items, and repeated batches."""

import json
from typing import Any

import pytest
import requests

from .contract import problem
from .stack import Stack

NDJSON = {"Content-Type": "application/x-ndjson"}


def lines(items: list[Any]) -> str:
    return "".join(f"{json.dumps(item)}\n" for item in items)


def adding(count: int, label: str) -> list[dict[str, Any]]:
    """Items for the task add, with a label to find their jobs."""
    return [{"task": "add", "args": [n, n], "options": {"labels": {"run": label}}} for n in range(count)]


@pytest.mark.parametrize("form", ["array", "lines"])
def test_batch_is_answered_in_order_and_run(stack: Stack, form: str) -> None:
    items = adding(5, f"batch-{form}")
    items[3:3] = [
        {"task": "nothing"},
        {"task": "add", "args": [1, "x"]},
        {"task": "add", "args": [1, 1], "options": {"priority": 10}},
        {"task": "add", "arguments": []},
        {"args": [1, 1]},
        [1],
    ]
    body = {"json": items} if form == "array" else {"data": lines(items), "headers": NDJSON}
    answer = stack.request("POST", "/dispatch", **body)
    assert answer.status_code == 202
    jobs = answer.json()["jobs"]
    codes = [entry["problem"]["type"].rpartition(":")[2] if "problem" in entry else "" for entry in jobs]
    bad = ["unknown-task", "bad-arguments", "bad-options", "bad-request", "bad-request", "bad-request"]
    assert codes == ["", "", "", *bad, "", ""]
    assert [stack.ended(entry["uuid"])["result"] for entry in jobs if "uuid" in entry] == [0, 2, 4, 6, 8]
    assert len(stack.get(f"/status?label=run:batch-{form}").json()["jobs"]) == 5


def test_line_that_is_not_json_is_the_problem_of_its_item(stack: Stack) -> None:
    good = json.dumps({"task": "add", "args": [1, 1]})
    body = f'{good}\n{{"task": \n\n["x" * 9]\n{{"task": "{"x" * 2_200_000}"}}\n{good}'
    jobs = stack.request("POST", "/dispatch", data=body, headers=NDJSON).json()["jobs"]
    assert ["uuid" in entry for entry in jobs] == [True, False, False, False, True]
    assert "not JSON" in jobs[1]["problem"]["detail"]
    assert "longer than 2162688 bytes" in jobs[3]["problem"]["detail"]


def test_batch_without_a_valid_item_stores_nothing(stack: Stack) -> None:
    found = problem(stack.request("POST", "/dispatch", json=[{"task": "nothing"}, 5]), 422, "nothing-valid")
    assert [entry["problem"]["status"] for entry in found["jobs"]] == [404, 400]
    problem(stack.request("POST", "/dispatch", json=[]), 422, "nothing-valid")


def test_batch_above_the_limit_stores_nothing(stack: Stack) -> None:
    items = adding(10_001, "batch-large")
    for body in ({"json": items}, {"data": lines(items), "headers": NDJSON}):
        answer = stack.request("POST", "/dispatch", **body)
        assert "10000" in problem(answer, 413, "batch-too-large")["detail"]
    assert stack.get("/status?label=run:batch-large").json()["jobs"] == []


def test_repeated_batch_with_its_key_returns_the_same_jobs(stack: Stack) -> None:
    keyed = {"headers": {"Idempotency-Key": "batch-1"}}
    items = [*adding(3, "batch-key"), {"task": "nothing"}]
    first = stack.request("POST", "/dispatch", json=items, **keyed).json()
    again = stack.request("POST", "/dispatch", json=items, **keyed)
    assert (again.status_code, again.json()) == (202, first)
    assert len(stack.get("/status?label=run:batch-key").json()["jobs"]) == 3
    for other in (items[:2], [items[1], items[0], *items[2:]]):
        problem(stack.request("POST", "/dispatch", json=other, **keyed), 422, "key-reused")
    problem(stack.request("POST", "/dispatch/add", json={"args": [1, 2]}, **keyed), 422, "key-reused")
    assert len(stack.get("/status?label=run:batch-key").json()["jobs"]) == 3


@pytest.mark.parametrize(
    ("body", "media", "status", "code"),
    [
        ('{"task": "add"}', "application/json", 400, "bad-request"),
        ("[1", "application/json", 400, "bad-request"),
        ("task=add", "application/x-www-form-urlencoded", 415, "unsupported-media-type"),
    ],
)
def test_body_that_is_not_a_batch_is_refused(stack: Stack, body: str, media: str, status: int, code: str) -> None:
    problem(stack.request("POST", "/dispatch", data=body, headers={"Content-Type": media}), status, code)


def test_ndjson_is_for_batches_only(stack: Stack) -> None:
    answer = stack.request("POST", "/dispatch/add", data=lines([{"args": [1, 1]}]), headers=NDJSON)
    problem(answer, 415, "unsupported-media-type")


def test_connection_is_usable_after_a_partly_read_batch(stack: Stack) -> None:
    with requests.Session() as session:
        answer = session.post(
            f"{stack.url}/dispatch", data=lines(adding(20_000, "batch-cut")), headers=NDJSON, timeout=30
        )
        problem(answer, 413, "batch-too-large")
        assert session.get(f"{stack.url}/health/live", timeout=30).json() == {"status": "ok"}


def test_ndjson_without_a_content_length_is_refused(stack: Stack) -> None:
    answer = stack.request("POST", "/dispatch", data=iter([b'{"task": "add", "args": [1, 1]}\n']), headers=NDJSON)
    problem(answer, 411, "length-required")
