"""Searching over HTTP: pages, filters, labels, and what a wrong query is told."""

import base64
import json
from typing import Any
from urllib.parse import unquote

import pytest

from .http_test import NOBODY, problem
from .stack import Stack


def test_a_batch_of_jobs_is_found_again_by_its_label(stack: Stack) -> None:
    made = [stack.dispatch("add", n, n, options={"labels": {"run": "search-1"}}) for n in range(5)]
    for uuid in made:
        stack.ended(uuid)
    path, seen = "/status?label=run:search-1&state=success,failure&task=add&limit=2", []
    while path:
        answer = stack.get(path)
        page = answer.json()
        assert answer.headers.get("Link") == (f'<{page["next"]}>; rel="next"' if page["next"] else None)
        assert len(page["jobs"]) <= 2
        seen += page["jobs"]
        path = page["next"]
    assert [job["uuid"] for job in seen] == made[::-1]
    assert [job["result"] for job in seen] == [8, 6, 4, 2, 0]


def test_a_retry_keeps_the_labels(stack: Stack) -> None:
    old = stack.dispatch("add", 1, 1, options={"labels": {"run": "search-2"}})
    stack.ended(old)
    new = stack.request("POST", f"/status/{old}/retry").json()
    assert new["labels"] == {"run": "search-2"}
    found = stack.get("/status?label=run:search-2").json()["jobs"]
    assert [job["uuid"] for job in found] == [new["uuid"], old]


def test_times_are_taken_as_moments_and_as_seconds_ago(stack: Stack) -> None:
    uuid = stack.dispatch("add", 1, 1, options={"labels": {"run": "search-3"}})
    created = stack.get(f"/status/{uuid}").json()["created"]
    for since, count in (("60", 1), (created, 1), ("2999-01-01T00:00:00+01:00", 0)):
        assert len(stack.get(f"/status?label=run:search-3&since={since}").json()["jobs"]) == count
    assert stack.get(f"/status?label=run&until={created}").json()["next"] is None


@pytest.mark.parametrize(
    ("query", "told"),
    [
        ("limit=0", "limit"),
        ("limit=501", "1 to 500"),
        ("limit=1&limit=2", "2 times"),
        ("state=DONE", "PENDING"),
        ("since=yesterday", "since"),
        ("since=2026-01-01T00:00:00", "seconds before now"),
        ("label=:x", "NAME:VALUE"),
        ("&".join(f"label=n{n}" for n in range(17)), "comes 17 times. A job has at most 16"),
        ("task=%00", "task is '\\x00'"),
        ("label=run:%00", "NUL"),
        ("state=SUCCESS&queue=a%00b&caller=%00", "NUL"),
        ("sort=asc", "Allowed are task, state"),
    ],
)
def test_a_wrong_query_is_named(stack: Stack, query: str, told: str) -> None:
    assert told in problem(stack.get(f"/status?{query}"), 400, "bad-query")["detail"]


@pytest.mark.parametrize("cursor", ["WzFd", "é", ""])
def test_what_is_no_cursor_is_told_so(stack: Stack, cursor: str) -> None:
    assert "next of the previous page" in problem(stack.get(f"/status?cursor={cursor}"), 400, "bad-cursor")["detail"]


def test_a_cursor_belongs_to_its_search(stack: Stack) -> None:
    for _ in range(2):
        stack.dispatch("add", 1, 1, options={"labels": {"run": "search-4"}})
    following = stack.get("/status?label=run:search-4&limit=1").json()["next"]
    assert stack.get(following.replace("limit=1", "limit=9")).status_code == 200
    problem(stack.get(following.replace("search-4", "search-5")), 400, "bad-cursor")


def with_place(following: str, created: Any, uuid: Any) -> str:
    """The page's path with a place in its cursor that this service did not make."""
    path, _, cursor = following.partition("cursor=")
    mark, *_ = json.loads(base64.urlsafe_b64decode(unquote(cursor)))
    return f"{path}cursor={base64.urlsafe_b64encode(json.dumps([mark, created, uuid]).encode()).decode()}"


def test_a_cursor_that_was_written_by_hand_holds_a_place_or_is_refused(stack: Stack) -> None:
    for _ in range(2):
        stack.dispatch("add", 1, 1, options={"labels": {"run": "search-5"}})
    following = stack.get("/status?label=run:search-5&limit=1").json()["next"]
    assert stack.get(with_place(following, 2**63 - 1, NOBODY)).status_code == 200
    for created in (2**63, 10**30, -1, 1.5, True, None, "1"):
        problem(stack.get(with_place(following, created, NOBODY)), 400, "bad-cursor")
    for uuid in ("\ud800", "\0", "nope", "", None, {"a": 1}, 1):
        problem(stack.get(with_place(following, 1, uuid)), 400, "bad-cursor")


def test_as_many_labels_as_a_job_may_have_are_looked_for(stack: Stack) -> None:
    labels = {f"search-6-{n}": str(n) for n in range(16)}
    uuid = stack.dispatch("add", 1, 1, options={"labels": labels})
    query = "&".join(f"label={name}:{value}" for name, value in labels.items())
    assert [job["uuid"] for job in stack.get(f"/status?{query}").json()["jobs"]] == [uuid]


def test_one_job_takes_no_query(stack: Stack) -> None:
    uuid = stack.dispatch("add", 1, 1)
    assert "Allowed are wait." in problem(stack.get(f"/status/{uuid}?state=SUCCESS"), 400, "bad-query")["detail"]


@pytest.mark.parametrize(
    ("labels", "told"),
    [
        ({"a b": "x"}, "labels.a b: a label's name"),
        ({"a": "x" * 192}, "labels.a: a label's value has at most 191"),
        ({"a": "x\ny"}, "printable"),
        ({"a": 5}, "labels.a: Input should be a valid string"),
        ({f"n{n}": "" for n in range(17)}, "at most 16"),
    ],
)
def test_a_label_that_cannot_be_kept_is_named(stack: Stack, labels: dict[str, object], told: str) -> None:
    answer = stack.request("POST", "/dispatch/add", json={"args": [1, 1], "options": {"labels": labels}})
    assert told in problem(answer, 422, "bad-options")["detail"]


def test_the_history_of_a_job_is_told(stack: Stack) -> None:
    uuid = stack.dispatch("add", 1, 1)
    stack.ended(uuid)
    events = stack.get(f"/status/{uuid}/events").json()["events"]
    assert [event["kind"] for event in events] == ["PENDING", "STARTED", "SUCCESS"]
    assert events[1]["data"]["attempt"] == 1
    problem(stack.get("/status/0192f0c1-7c1e-7b60-9f3e-2b1a6d0c4e5f/events"), 404, "unknown-job")
