"""Search over HTTP: pages, filters, labels, and errors in the query."""

import base64
import json
from typing import Any
from urllib.parse import unquote

import pytest

from .contract import UNKNOWN_UUID, problem
from .stack import Stack


def test_jobs_are_found_by_their_label_page_by_page(stack: Stack) -> None:
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


def test_retry_keeps_the_labels(stack: Stack) -> None:
    old = stack.dispatch("add", 1, 1, options={"labels": {"run": "search-2"}})
    stack.ended(old)
    new = stack.request("POST", f"/status/{old}/retry").json()
    assert new["labels"] == {"run": "search-2"}
    found = stack.get("/status?label=run:search-2").json()["jobs"]
    assert [job["uuid"] for job in found] == [new["uuid"], old]


def test_times_may_be_iso_8601_or_seconds_before_now(stack: Stack) -> None:
    uuid = stack.dispatch("add", 1, 1, options={"labels": {"run": "search-3"}})
    created = stack.get(f"/status/{uuid}").json()["created"]
    for since, count in (("60", 1), (created, 1), ("2999-01-01T00:00:00+01:00", 0)):
        assert len(stack.get(f"/status?label=run:search-3&since={since}").json()["jobs"]) == count
    assert stack.get(f"/status?label=run&until={created}").json()["next"] is None


@pytest.mark.parametrize(
    ("query", "detail"),
    [
        ("limit=0", "limit"),
        ("limit=501", "1 to 500"),
        ("limit=1&limit=2", "2 times"),
        ("state=DONE", "PENDING"),
        ("since=yesterday", "since"),
        ("since=2026-01-01T00:00:00", "seconds before now"),
        ("label=:x", "NAME:VALUE"),
        ("&".join(f"label=n{n}" for n in range(17)), "is given 17 times. A job has at most 16"),
        ("task=%00", "task is '\\x00'"),
        ("label=run:%00", "NUL"),
        ("state=SUCCESS&queue=a%00b&caller=%00", "NUL"),
        ("error=", "error has 0 characters"),
        ("error=a%00b", "NUL"),
        ("sort=asc", "Allowed: task, state"),
    ],
)
def test_invalid_query_parameter_is_named(stack: Stack, query: str, detail: str) -> None:
    assert detail in problem(stack.get(f"/status?{query}"), 400, "bad-query")["detail"]


@pytest.mark.parametrize("cursor", ["WzFd", "é", ""])
def test_invalid_cursor_is_refused(stack: Stack, cursor: str) -> None:
    assert "next of the previous page" in problem(stack.get(f"/status?cursor={cursor}"), 400, "bad-cursor")["detail"]


def test_cursor_belongs_to_its_search(stack: Stack) -> None:
    for _ in range(2):
        stack.dispatch("add", 1, 1, options={"labels": {"run": "search-4"}})
    following = stack.get("/status?label=run:search-4&limit=1").json()["next"]
    assert stack.get(following.replace("limit=1", "limit=9")).status_code == 200
    problem(stack.get(following.replace("search-4", "search-5")), 400, "bad-cursor")


def with_position(following: str, created: Any, uuid: Any) -> str:
    """The path of the page with a made-up position in its cursor."""
    path, _, cursor = following.partition("cursor=")
    mark, *_ = json.loads(base64.urlsafe_b64decode(unquote(cursor)))
    return f"{path}cursor={base64.urlsafe_b64encode(json.dumps([mark, created, uuid]).encode()).decode()}"


def test_made_up_cursor_holds_a_position_or_is_refused(stack: Stack) -> None:
    for _ in range(2):
        stack.dispatch("add", 1, 1, options={"labels": {"run": "search-5"}})
    following = stack.get("/status?label=run:search-5&limit=1").json()["next"]
    assert stack.get(with_position(following, 2**63 - 1, UNKNOWN_UUID)).status_code == 200
    for created in (2**63, 10**30, -1, 1.5, True, None, "1"):
        problem(stack.get(with_position(following, created, UNKNOWN_UUID)), 400, "bad-cursor")
    for uuid in ("\ud800", "\0", "nope", "", None, {"a": 1}, 1):
        problem(stack.get(with_position(following, 1, uuid)), 400, "bad-cursor")


def test_search_accepts_as_many_labels_as_a_job_may_have(stack: Stack) -> None:
    labels = {f"search-6-{n}": str(n) for n in range(16)}
    uuid = stack.dispatch("add", 1, 1, options={"labels": labels})
    query = "&".join(f"label={name}:{value}" for name, value in labels.items())
    assert [job["uuid"] for job in stack.get(f"/status?{query}").json()["jobs"]] == [uuid]


def test_status_of_one_job_takes_no_search_parameter(stack: Stack) -> None:
    uuid = stack.dispatch("add", 1, 1)
    assert "Allowed: wait." in problem(stack.get(f"/status/{uuid}?state=SUCCESS"), 400, "bad-query")["detail"]


@pytest.mark.parametrize(
    ("labels", "detail"),
    [
        ({"a b": "x"}, "labels.a b: a label's name"),
        ({"a": "x" * 192}, "labels.a: a label's value has at most 191"),
        ({"a": "x\ny"}, "printable"),
        ({"a": 5}, "labels.a: Input should be a valid string"),
        ({f"n{n}": "" for n in range(17)}, "at most 16"),
    ],
)
def test_invalid_label_is_named(stack: Stack, labels: dict[str, object], detail: str) -> None:
    answer = stack.request("POST", "/dispatch/add", json={"args": [1, 1], "options": {"labels": labels}})
    assert detail in problem(answer, 422, "bad-options")["detail"]
