"""Requests that wait for their job, and event streams, under both servers."""

import json
import select
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from itertools import islice
from typing import Any

import pytest
import requests

from ..eventually import eventually
from ..processes import Processes
from .conftest import start_stack
from .contract import count_jobs, problem
from .stack import Stack

STREAM = {"Accept": "text/event-stream"}
JSON = {"Accept": "application/json"}
SERVERS = ["embedded", "gunicorn"]
SLOTS = 2


@pytest.fixture(scope="module", params=SERVERS)
def stack(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A service in which two requests per web process may wait."""
    with Processes(tmp_path_factory.mktemp("stack"), {"BROKER_URL": "database://"}) as processes:
        own = f"tasks = lab\nwaiters = {SLOTS}\nheartbeat_seconds = 0.3\nwait_limit = 30\nprogress_interval = 0.05\n"
        processes.write_config(f"[dispatcher]\n{own}")
        yield start_one(processes, request.param)


def start_one(processes: Processes, server: str) -> Stack:
    """A service with one web process, so that all requests share its slots."""
    stack = start_stack(processes, "embedded") if server == "embedded" else None
    if stack is None:
        stack = start_stack(processes)
        stack.web.stop()
        stack = Stack(processes, processes.start_gunicorn("--threads", "8", workers=1))
    return stack


@contextmanager
def reading(stack: Stack, path: str, last: int | None = None) -> Iterator[Iterator[dict[str, Any]]]:
    """The events of a stream as they arrive; retried while a stream of an earlier test still occupies its slot."""
    headers = STREAM if last is None else {**STREAM, "Last-Event-ID": str(last)}

    def opened() -> requests.Response | None:
        answer = requests.get(f"{stack.url}{path}", headers=headers, stream=True, timeout=30)
        return None if answer.status_code == 503 else answer

    with eventually(opened) as answer:
        assert (answer.status_code, answer.headers["Content-Type"]) == (200, "text/event-stream;charset=utf-8")
        yield (json.loads(line[6:]) for line in answer.iter_lines(1, decode_unicode=True) if line.startswith("data: "))


def ids(events: list[dict[str, Any]]) -> list[int]:
    return [event["id"] for event in events]


def waited(stack: Stack, uuid: str, seconds: int) -> dict[str, Any] | None:
    """The job, if the server let this request wait."""
    answer = stack.get(f"/status/{uuid}", headers={"Prefer": f"wait={seconds}"})
    return answer.json() if "Preference-Applied" in answer.headers else None


# Waiting


def test_dispatch_waits_for_its_job(stack: Stack) -> None:
    job = stack.get("/dispatch/add/2/2?wait=20", headers=JSON)
    assert (job.status_code, job.json()["state"], job.json()["result"]) == (200, "SUCCESS", 4)
    posted = stack.request("POST", "/dispatch/add?wait=20", json={"args": [2, 3]})
    assert (posted.status_code, posted.json()["result"]) == (200, 5)
    assert posted.headers["Location"] == f"/status/{posted.json()['uuid']}"


def test_dispatch_that_waits_answers_curl_with_the_bare_result(stack: Stack) -> None:
    done = stack.get("/dispatch/add/2/2?wait=20")
    assert (done.status_code, done.text, done.headers["Content-Type"]) == (200, "4", "text/plain;charset=utf-8")
    assert stack.status(done.headers["Location"].rpartition("/")[2])["result"] == 4
    late = stack.get("/dispatch/sleep/2?wait=0.1")
    assert (late.status_code, "Retry-After" in late.headers) == (202, True)
    assert stack.status(late.text)["task"] == "sleep"
    failed = problem(stack.get("/dispatch/fail/Oh%20no.?wait=20"), 409, "no-result")
    assert (failed["state"], failed["error"]["message"]) == ("FAILURE", "Oh no.")
    assert failed["error"]["at"].startswith("pacifica/dispatcher/worker/builtin_tasks.py:")
    text = {"Accept": "text/plain"}
    posted = stack.request("POST", "/dispatch/add?wait=20", json={"args": ["a", "b"]}, headers=text)
    assert (posted.status_code, posted.text) == (200, "ab")
    assert stack.status(stack.get("/dispatch/add/2/2").text)["task"] == "add"


def test_status_and_result_wait_for_the_job(stack: Stack) -> None:
    first, second = (stack.dispatch("sleep", 0.3) for _ in range(2))
    assert stack.get(f"/status/{first}?wait=20").json()["state"] == "SUCCESS"
    answer = stack.get(f"/result/{second}?wait=20")
    assert (answer.status_code, answer.json()) == (200, 0.3)


def test_wait_preference_is_applied_and_reported(stack: Stack) -> None:
    answer = stack.get("/dispatch/add/2/2", headers={**JSON, "Prefer": "respond-async, wait=20"})
    assert (answer.json()["state"], answer.headers["Preference-Applied"]) == ("SUCCESS", "wait=20")
    capped = stack.get("/dispatch/add/2/2", headers={**JSON, "Prefer": "wait=999"})
    assert (capped.json()["state"], capped.headers["Preference-Applied"]) == ("SUCCESS", "wait=30")
    for preference in ('foo="x, y", wait="20"; a="b"', r'foo="\", wait=1, ", Wait = 20', "foo;bar=baz,wait=20"):
        assert (
            stack.get("/dispatch/add/2/2", headers={**JSON, "Prefer": preference}).headers["Preference-Applied"]
            == "wait=20"
        )
    for odd in ("wait", "wait=-1", "wait=1.5", "waits=3", "wait=soon", 'foo="x, wait=3, y"', 'foo="x, wait=3'):
        assert "Preference-Applied" not in stack.get("/dispatch/add/2/2", headers={**JSON, "Prefer": odd}).headers


def test_elapsed_wait_is_answered_with_retry_after(stack: Stack) -> None:
    uuid = stack.dispatch("add", 2, 2, options={"countdown": 600})
    begin = time.monotonic()
    answer = stack.get(f"/result/{uuid}?wait=0.2")
    assert time.monotonic() - begin >= 0.2
    assert (answer.status_code, answer.json()["state"]) == (202, "PENDING")
    assert answer.headers["Location"] == f"/status/{uuid}"
    assert 1 <= int(answer.headers["Retry-After"]) <= 60
    posted = stack.request("POST", "/dispatch/add?wait=0.1", json={"args": [2, 3], "options": {"countdown": 600}})
    assert (posted.status_code, "Retry-After" in posted.headers) == (202, True)


def test_invalid_wait_is_refused_before_a_job_exists(stack: Stack) -> None:
    before = count_jobs(stack)
    for odd in ("-1", "soon", "1e9", "", "0x1", "1&wait=2"):
        problem(stack.get(f"/dispatch/add/2/2?wait={odd}"), 400, "bad-query")
        problem(stack.request("POST", f"/dispatch/add?wait={odd}", json={"args": [1, 2]}), 400, "bad-query")
    problem(stack.request("POST", "/dispatch?wait=1", json=[]), 400, "bad-query")
    problem(stack.get("/status?wait=1"), 400, "bad-query")
    assert count_jobs(stack) == before


def test_waits_are_limited_and_other_requests_are_served(stack: Stack) -> None:
    uuid = stack.dispatch("add", 2, 2, options={"countdown": 600})
    with ThreadPoolExecutor(SLOTS) as threads:
        # The stream of an earlier test may occupy a slot until its next heartbeat.
        waiting = [threads.submit(eventually, lambda: waited(stack, uuid, 30), 30) for _ in range(SLOTS)]

        def is_refused_at_once() -> bool:
            begin = time.monotonic()
            return waited(stack, uuid, 1) is None and time.monotonic() - begin < 1

        eventually(is_refused_at_once)
        assert int(stack.get(f"/status/{uuid}?wait=20").headers["Retry-After"]) >= 1
        refused = stack.get("/events", headers=STREAM)
        problem(refused, 503, "too-many-waiting")
        assert int(refused.headers["Retry-After"]) >= 1
        assert all(stack.get("/health/live").elapsed.total_seconds() < 1 for _ in range(20))
        assert stack.request("DELETE", f"/status/{uuid}").status_code == 200
        assert [one.result(20)["state"] for one in waiting] == ["REVOKED"] * SLOTS
    later = stack.dispatch("add", 2, 2, options={"countdown": 600})
    eventually(lambda: waited(stack, later, 1))


def test_client_that_disconnects_while_waiting_frees_its_slot(stack: Stack) -> None:
    uuid = stack.dispatch("add", 2, 2, options={"countdown": 600})
    host, _, port = stack.url.removeprefix("http://").partition(":")
    request = f"GET /status/{uuid}?wait=30 HTTP/1.1\r\nHost: {host}\r\n\r\n".encode()
    with ExitStack() as connections:

        def one_more_waits() -> bool:
            sock = connections.enter_context(socket.create_connection((host, int(port))))
            sock.sendall(request)
            return not select.select([sock], [], [], 0.5)[0]

        for _ in range(SLOTS):
            eventually(one_more_waits)
    eventually(lambda: waited(stack, uuid, 1), 20)  # The disconnected clients had requested 30 seconds.


# Streams


def test_stream_follows_a_job_until_it_is_final(stack: Stack) -> None:
    uuid = stack.dispatch("sleep", 0.2, options={"countdown": 0.3})
    with reading(stack, f"/status/{uuid}/events") as stream:
        events = list(stream)
    assert [event["kind"] for event in events] == ["PENDING", "STARTED", "SUCCESS"]
    assert {event["job"] for event in events} == {uuid}
    assert events == stack.get(f"/status/{uuid}/events").json()["events"]


def test_stream_continues_after_the_last_event(stack: Stack) -> None:
    uuid = stack.dispatch("add", 2, 2)
    stack.ended(uuid)
    with reading(stack, f"/status/{uuid}/events") as stream:
        events = list(stream)
    with reading(stack, f"/status/{uuid}/events", events[0]["id"]) as stream:
        assert list(stream) == events[1:]
    with reading(stack, f"/status/{uuid}/events?after={events[1]['id']}") as stream:
        assert list(stream) == events[2:]
    over = stack.get(f"/status/{uuid}/events", headers={**STREAM, "Last-Event-ID": str(events[-1]["id"])})
    assert (over.status_code, over.content) == (204, b"")


def test_events_of_all_jobs_can_be_streamed_and_paged(stack: Stack) -> None:
    begin = stack.get("/events?limit=1000").json()["next"]
    while (page := stack.get(begin).json())["events"]:
        begin = page["next"]
    after = int(begin.split("after=")[1].split("&")[0])
    uuids = [stack.dispatch("add", number, 1) for number in range(3)]
    seen: list[dict[str, Any]] = []
    with reading(stack, "/events", after) as stream:
        while [event["kind"] for event in seen].count("SUCCESS") < 3:
            seen.append(next(stream))
    assert {event["job"] for event in seen} == set(uuids)
    assert ids(seen) == sorted(ids(seen))
    pages, following = [], begin.replace("limit=1000", "limit=2")
    while (page := stack.get(following).json())["events"]:
        pages += page["events"]
        following = page["next"]
    assert pages == seen


def test_stream_begins_with_the_id_to_continue_after(stack: Stack) -> None:
    earlier = stack.dispatch("add", 1, 1)
    stack.ended(earlier)
    with eventually(
        lambda: opened if (opened := stack.get("/events", headers=STREAM, stream=True)).ok else None
    ) as cut:
        begin = list(islice(cut.iter_lines(1, decode_unicode=True), 3))
    assert (begin[0], begin[2]) == ("retry: 2000", "")
    missed = stack.dispatch("add", 2, 2)
    with reading(stack, "/events", int(begin[1].removeprefix("id: "))) as stream:
        # Events of the earlier job may follow, if the server had not read them when it gave the position.
        jobs = (event["job"] for event in stream if event["job"] != earlier)
        assert list(islice(jobs, 3)) == [missed] * 3
    with eventually(
        lambda: opened if (opened := stack.get(f"/status/{missed}/events", headers=STREAM, stream=True)).ok else None
    ) as answer:
        assert next(line for line in answer.iter_lines(1) if line.startswith(b"id")) == b"id: 0"


def test_silent_stream_sends_heartbeats(stack: Stack) -> None:
    with requests.get(f"{stack.url}/events", headers=STREAM, stream=True, timeout=30) as answer:
        lines = answer.iter_lines(1, decode_unicode=True)
        assert next(lines) == "retry: 2000"
        position = next(lines)
        assert position.startswith("id: ")
        assert [line for line in (next(lines) for _ in range(7)) if line] == [":", position, ":", position]


@pytest.mark.parametrize("last", ["-1", "x", "1.0", "9" * 19])
def test_invalid_event_id_is_refused(stack: Stack, last: str) -> None:
    problem(stack.get("/events", headers={**STREAM, "Last-Event-ID": last}), 400, "bad-request")
    problem(stack.get(f"/events?after={last}"), 400, "bad-request")


def test_disconnected_stream_frees_its_slot(stack: Stack) -> None:
    def comes_and_goes() -> bool:
        with stack.get("/events", headers=STREAM, stream=True) as answer:
            return answer.status_code == 200

    for _ in range(2 * SLOTS):
        eventually(comes_and_goes)


def test_head_describes_a_stream_without_opening_it(stack: Stack) -> None:
    for _ in range(2 * SLOTS):
        answer = stack.request("HEAD", "/events", headers=STREAM)
        assert (answer.status_code, answer.headers["Content-Type"]) == (200, "text/event-stream;charset=utf-8")


def test_progress_is_in_the_status_and_in_the_stream(stack: Stack) -> None:
    uuid = stack.dispatch("measure", 2000)
    with reading(stack, f"/status/{uuid}/events") as stream:
        events = list(stream)
    job = stack.status(uuid)
    last = {"current": 2000, "total": 2000, "message": "all measured"}
    assert (job["state"], job["progress"]) == ("SUCCESS", last)
    seen = [event["data"]["current"] for event in events if event["kind"] == "PROGRESS"]
    assert seen == sorted(seen)
    assert seen[-1] == 2000
    history = stack.get(f"/status/{uuid}/events").json()["events"]
    assert [event["data"] for event in history if event["kind"] == "PROGRESS"] == [last]


@pytest.mark.parametrize("server", SERVERS)
def test_stream_continues_after_a_restart_and_does_not_delay_the_stop(processes: Processes, server: str) -> None:
    processes.env["BROKER_URL"] = "database://"
    processes.write_config("[dispatcher]\ntasks = lab\n")
    stack = start_one(processes, server)
    first = stack.dispatch("add", 1, 1)
    stack.ended(first)
    with reading(stack, "/events?after=0") as stream:
        before = [next(stream) for _ in range(3)]
        assert stack.web.stop(10) == 0
    again = start_stack(processes, worker=False) if server == "embedded" else None
    stack = again or Stack(processes, processes.start_gunicorn("--threads", "8", workers=1))
    second = stack.dispatch("add", 2, 2)
    with reading(stack, "/events", before[-1]["id"]) as stream:
        after = [next(stream) for _ in range(3)]
    assert [event["job"] for event in before + after] == [first] * 3 + [second] * 3
    assert [event["kind"] for event in before + after] == ["PENDING", "STARTED", "SUCCESS"] * 2
