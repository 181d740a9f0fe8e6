"""The client and a service that fails, that is away, or that is not a dispatcher."""

import json
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from pacifica.dispatcher.client import (
    BadAddress,
    BadAnswer,
    BatchItem,
    DispatcherClient,
    NotReachable,
    Problem,
    Refused,
    RemoteJob,
    Retry,
    TimedOut,
)
from pacifica.dispatcher.client.retries import LONGEST_RETRY_AFTER, retry_after_seconds

from .stub import JOB, Answer, Stub, busy, stubbed

QUICK = Retry(3, backoff_factor=0.001)


@pytest.fixture(scope="module")
def server() -> Iterator[Stub]:
    """The stub that all tests of this module share."""
    with stubbed() as stub:
        yield stub


@pytest.fixture
def client(server: Stub) -> Iterator[DispatcherClient]:
    """A client of the stub that retries at once."""
    with DispatcherClient(server.url, retries=QUICK, token="secret") as client:
        yield client


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The pauses of this thread that last a second or longer; no thread sleeps."""
    found: list[float] = []
    thread = threading.get_ident()
    monkeypatch.setattr(
        "time.sleep", lambda pause: found.append(pause) if pause >= 1 and threading.get_ident() == thread else None
    )
    return found


@pytest.mark.parametrize("failure", [busy(429), busy(503), Answer(502, b"<html>"), busy(504), Answer(0)])
def test_transient_failure_is_retried_with_the_same_key(
    server: Stub, client: DispatcherClient, failure: Answer
) -> None:
    server.will(failure, failure, Answer(202))
    assert client.dispatch("add", 2, 2).uuid == JOB["uuid"]
    assert len(server.requests) == 3
    assert len({(one.path, one.body, one.headers["Idempotency-Key"]) for one in server.requests}) == 1


def test_each_dispatch_has_its_own_idempotency_key(server: Stub, client: DispatcherClient) -> None:
    server.will(Answer(202))
    client.dispatch("add", 2, 2)
    client.dispatch("add", 2, 2)
    client.dispatch("add", 2, 2, idempotency_key="mine")
    keys = [one.headers["Idempotency-Key"] for one in server.requests]
    assert len(set(keys)) == 3
    assert keys[2] == "mine"


def test_retries_end_and_raise_the_last_reason(server: Stub, client: DispatcherClient) -> None:
    server.will(busy())
    with pytest.raises(NotReachable, match=r"is unavailable: Not just now\.") as error:
        client.tasks()
    assert error.value.problem is not None
    assert (len(server.requests), error.value.problem.status) == (4, 503)


def test_retry_after_sets_the_pause_before_the_next_try(
    server: Stub, client: DispatcherClient, pauses: list[float]
) -> None:
    server.will(busy(Retry_After="7"), busy(429, Retry_After="2"), Answer(202))
    client.dispatch("add", 2, 2)
    assert pauses == [7, 2]


def test_too_long_a_retry_after_ends_the_retries(server: Stub, client: DispatcherClient) -> None:
    server.will(busy(Retry_After="3600"))
    with pytest.raises(NotReachable):
        client.tasks()
    assert len(server.requests) == 1


def test_deadline_bounds_all_tries_together(server: Stub, client: DispatcherClient) -> None:
    server.will(busy(Retry_After="30"))
    with pytest.raises(TimedOut, match=r"Not just now, and the given time of 0\.05 s is over\."):
        client.job(str(JOB["uuid"])).wait(0.05)


def test_refusal_is_not_retried_and_lists_its_faults(server: Stub, client: DispatcherClient) -> None:
    faults = [{"where": "y", "message": "is missing"}]
    problem = {"type": "urn:x:bad-arguments", "status": 422, "detail": "They do not fit.", "errors": faults}
    server.will(Answer(422, problem))
    with pytest.raises(Refused, match="They do not fit") as error:
        client.dispatch("add", 2)
    assert (error.value.status, error.value.code, len(server.requests)) == (422, "bad-arguments", 1)
    assert [(fault.where, fault.message) for fault in error.value.errors] == [("y", "is missing")]


@pytest.mark.parametrize(
    "garbage",
    [
        Answer(200, b"<html>Welcome to the proxy!</html>"),
        Answer(200, {"uuid": 5}),
        Answer(200, [1]),
        Answer(200, {**JOB, "state": "LOST"}),
        Answer(404, b"<html>"),
        Answer(500, [1]),
        Answer(302, b"", {"Location": "https://elsewhere.example/"}),
        Answer(200, b"\xff", {"Content-Encoding": "gzip"}),
    ],
)
def test_answer_of_another_server_raises_bad_answer(server: Stub, client: DispatcherClient, garbage: Answer) -> None:
    server.will(garbage)
    with pytest.raises(BadAnswer) as error:
        client.job("x").status()
    assert str(error.value).endswith(".")
    assert len(server.requests) == 1


def test_refused_connection_raises_not_reachable_with_the_reason() -> None:
    with DispatcherClient("http://127.0.0.1:1", retries=QUICK) as client, pytest.raises(NotReachable) as error:
        client.ready()
    assert str(error.value) == "The service at http://127.0.0.1:1 cannot be reached: Connection refused."


@pytest.mark.parametrize("url", ["127.0.0.1:8050", "ftp://x", "http://", "http://x:y", "http://x/?a=1"])
def test_invalid_url_raises_bad_address(url: str) -> None:
    with pytest.raises(BadAddress, match="is not the URL of a service"):
        DispatcherClient(url)


def test_url_and_token_of_the_environment_are_used(server: Stub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DISPATCHER_URL", f"{server.url}/behind/a/proxy/")
    monkeypatch.setenv("DISPATCHER_TOKEN", "pd_secret")
    server.will(Answer(200))
    with DispatcherClient(token="") as client:
        client.job("a/b").status()
    assert server.requests[0].path == "/behind/a/proxy/status/a%2Fb"
    assert server.requests[0].headers["Authorization"] == "Bearer pd_secret"


def test_wait_polls_at_retry_after_when_the_service_does_not_wait(
    server: Stub, client: DispatcherClient, pauses: list[float]
) -> None:
    waits = Answer(200, {**JOB, "state": "STARTED"}, {"Retry-After": "3"})
    waited = Answer(200, {**JOB, "state": "STARTED"}, {"Retry-After": "3", "Preference-Applied": "wait=30"})
    server.will(waits, waited, Answer(200))
    assert client.job("x").wait().result == 4
    assert pauses == [3]
    assert {one.headers["Prefer"] for one in server.requests} == {"wait=30"}


def test_retry_after_may_be_a_date() -> None:
    later = datetime.now(UTC) + timedelta(seconds=30)
    assert 25 < retry_after_seconds(format_datetime(later, usegmt=True)) <= 30
    assert [retry_after_seconds(text) for text in (None, "soon", "-1", "12")] == [0, 0, 0, 12]
    assert retry_after_seconds("9" * 30) > LONGEST_RETRY_AFTER


# Batches


def uuids(count: int) -> Answer:
    """The answer to a batch of ``count`` items."""
    return Answer(202, {"jobs": [{"uuid": f"{number}"} for number in range(count)]})


def items(count: int) -> list[BatchItem]:
    """A batch of ``count`` items."""
    return [{"task": "add", "args": [number, 1]} for number in range(count)]


def test_batch_that_is_too_large_is_halved(server: Stub, client: DispatcherClient) -> None:
    large = Answer(413, {"type": "x:request-entity-too-large", "status": 413, "detail": "Too large."})
    server.will(large, uuids(1), large, uuids(1), large)
    found = list(client.batch(items(3), idempotency_key="k"))
    assert [one.headers["Idempotency-Key"] for one in server.requests] == ["k-1", "k-1", "k-2", "k-2", "k-3"]
    assert [type(one) for one in found] == [RemoteJob, RemoteJob, Problem]


def test_batch_is_sent_again_for_items_that_a_failing_database_rejected(server: Stub, client: DispatcherClient) -> None:
    half = Answer(202, {"jobs": [{"uuid": "a"}, {"problem": busy().body}]})
    server.will(half, uuids(2))
    assert all(isinstance(one, RemoteJob) for one in client.batch(items(2)))
    assert len({(one.headers["Idempotency-Key"], one.body) for one in server.requests}) == 1


def test_item_that_is_a_problem_keeps_its_place(server: Stub, client: DispatcherClient) -> None:
    server.will(Answer(202, {"jobs": [{"problem": {"status": 400}}, {"uuid": "a"}, {"problem": {"status": 400}}]}))
    bad = Problem.bad_item("Line 1 is not a job.")
    found = list(client.batch([bad, {"task": "add"}, {"task": "add", "args": [object()]}]))
    assert json.loads(server.requests[0].body) == [None, {"task": "add"}, None]
    assert found[0] is bad
    assert isinstance(found[2], Problem)
    assert "not JSON serializable" in found[2].detail


def test_fewer_answers_than_items_raise_bad_answer(server: Stub, client: DispatcherClient) -> None:
    server.will(uuids(1))
    with pytest.raises(BadAnswer):
        list(client.batch(items(2)))
