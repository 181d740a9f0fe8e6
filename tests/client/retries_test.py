"""What the client makes of a service that fails, of one that is away, and of what is none."""

import json
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
    Retries,
    TimedOut,
)
from pacifica.dispatcher.client.retries import asked_pause

from .stub import JOB, Answer, Stub, busy, stubbed

QUICK = Retries(3, first=0.001)


@pytest.fixture(scope="module")
def server() -> Iterator[Stub]:
    with stubbed() as stub:
        yield stub


@pytest.fixture
def client(server: Stub) -> Iterator[DispatcherClient]:
    with DispatcherClient(server.url, retries=QUICK, token="secret") as client:
        yield client


@pytest.mark.parametrize("passing", [busy(429), busy(503), Answer(502, b"<html>"), busy(504), Answer(0)])
def test_what_passes_is_tried_again_under_the_same_key(server: Stub, client: DispatcherClient, passing: Answer) -> None:
    server.will(passing, passing, Answer(202))
    assert client.dispatch("add", 2, 2).uuid == JOB["uuid"]
    assert len(server.asked) == 3
    assert len({(one.path, one.body, one.headers["Idempotency-Key"]) for one in server.asked}) == 1


def test_another_dispatch_has_another_key(server: Stub, client: DispatcherClient) -> None:
    server.will(Answer(202))
    client.dispatch("add", 2, 2)
    client.dispatch("add", 2, 2)
    client.dispatch("add", 2, 2, idempotency_key="mine")
    keys = [one.headers["Idempotency-Key"] for one in server.asked]
    assert len(set(keys)) == 3
    assert keys[2] == "mine"


def test_retries_have_an_end_and_the_last_reason_is_told(server: Stub, client: DispatcherClient) -> None:
    server.will(busy())
    with pytest.raises(NotReachable, match=r"cannot do it now: Not just now\.") as told:
        client.tasks()
    assert told.value.problem is not None
    assert (len(server.asked), told.value.problem.status) == (4, 503)


def test_the_service_is_left_alone_for_as_long_as_it_asks(
    server: Stub, client: DispatcherClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    pauses: list[float] = []
    monkeypatch.setattr("time.sleep", pauses.append)
    server.will(busy(Retry_After="7"), busy(429, Retry_After="2"), Answer(202))
    client.dispatch("add", 2, 2)
    assert [pause for pause in pauses if pause >= 1] == [7, 2]


def test_a_service_that_asks_for_too_much_is_not_asked_again(server: Stub, client: DispatcherClient) -> None:
    server.will(busy(Retry_After="3600"))
    with pytest.raises(NotReachable):
        client.tasks()
    assert len(server.asked) == 1


def test_nobody_waits_beyond_the_time_that_was_given(server: Stub, client: DispatcherClient) -> None:
    server.will(busy(Retry_After="30"))
    with pytest.raises(TimedOut, match=r"Not just now, and the 0\.05 s that were given are over\."):
        client.job(str(JOB["uuid"])).wait(0.05)


def test_a_refusal_is_not_tried_again_and_tells_all_of_it(server: Stub, client: DispatcherClient) -> None:
    faults = [{"where": "y", "message": "is missing"}]
    told = {"type": "urn:x:bad-arguments", "status": 422, "detail": "They do not fit.", "errors": faults}
    server.will(Answer(422, told))
    with pytest.raises(Refused, match="They do not fit") as error:
        client.dispatch("add", 2)
    assert (error.value.status, error.value.code, len(server.asked)) == (422, "bad-arguments", 1)
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
def test_what_is_no_dispatcher_is_told_so(server: Stub, client: DispatcherClient, garbage: Answer) -> None:
    server.will(garbage)
    with pytest.raises(BadAnswer) as told:
        client.job("x").status()
    assert str(told.value).endswith(".")
    assert len(server.asked) == 1


def test_nobody_there_is_told_with_the_reason() -> None:
    with DispatcherClient("http://127.0.0.1:1", retries=QUICK) as client, pytest.raises(NotReachable) as told:
        client.ready()
    assert str(told.value) == "The service at http://127.0.0.1:1 cannot be reached: Connection refused."


@pytest.mark.parametrize("url", ["127.0.0.1:8050", "ftp://x", "http://", "http://x:y", "http://x/?a=1"])
def test_what_is_no_url_is_refused_at_once(url: str) -> None:
    with pytest.raises(BadAddress, match="is not the URL of a service"):
        DispatcherClient(url)


def test_the_token_is_sent_and_a_url_with_a_path_is_kept(server: Stub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DISPATCHER_URL", f"{server.url}/behind/a/proxy/")
    monkeypatch.setenv("DISPATCHER_TOKEN", "pd_secret")
    server.will(Answer(200))
    with DispatcherClient() as client:
        client.job("a/b").status()
    assert server.asked[0].path == "/behind/a/proxy/status/a%2Fb"
    assert server.asked[0].headers["Authorization"] == "Bearer pd_secret"


def test_while_the_service_waits_for_nobody_it_is_asked_again_when_it_says(
    server: Stub, client: DispatcherClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    pauses: list[float] = []
    monkeypatch.setattr("time.sleep", lambda pause: pauses.append(pause) if pause >= 1 else None)
    waits = Answer(200, {**JOB, "state": "STARTED"}, {"Retry-After": "3"})
    waited = Answer(200, {**JOB, "state": "STARTED"}, {"Retry-After": "3", "Preference-Applied": "wait=30"})
    server.will(waits, waited, Answer(200))
    assert client.job("x").wait().result == 4
    assert pauses == [3]
    assert {one.headers["Prefer"] for one in server.asked} == {"wait=30"}


def test_a_retry_after_may_be_a_date() -> None:
    later = datetime.now(UTC) + timedelta(seconds=30)
    assert 25 < asked_pause(format_datetime(later, usegmt=True)) <= 30
    assert [asked_pause(text) for text in (None, "soon", "-1", "9" * 30, "12")] == [0, 0, 0, 0, 12]


# Batches


def uuids(count: int) -> Answer:
    """So many jobs."""
    return Answer(202, {"jobs": [{"uuid": f"{number}"} for number in range(count)]})


def items(count: int) -> list[BatchItem]:
    """So many of them."""
    return [{"task": "add", "args": [number, 1]} for number in range(count)]


def test_a_batch_that_is_too_large_for_the_service_is_halved(server: Stub, client: DispatcherClient) -> None:
    large = Answer(413, {"type": "x:request-entity-too-large", "status": 413, "detail": "Too large."})
    server.will(large, uuids(1), large, uuids(1), large)
    found = list(client.batch(items(3), idempotency_key="k"))
    assert [one.headers["Idempotency-Key"] for one in server.asked] == ["k-1", "k-1", "k-2", "k-2", "k-3"]
    assert [type(one) for one in found] == [RemoteJob, RemoteJob, Problem]


def test_items_that_a_failing_database_did_not_take_are_sent_again(server: Stub, client: DispatcherClient) -> None:
    half = Answer(202, {"jobs": [{"uuid": "a"}, {"problem": busy().body}]})
    server.will(half, uuids(2))
    assert all(isinstance(one, RemoteJob) for one in client.batch(items(2)))
    assert len({(one.headers["Idempotency-Key"], one.body) for one in server.asked}) == 1


def test_an_item_that_is_a_problem_keeps_its_place(server: Stub, client: DispatcherClient) -> None:
    server.will(Answer(202, {"jobs": [{"problem": {"status": 400}}, {"uuid": "a"}, {"problem": {"status": 400}}]}))
    bad = Problem.bad_item("Line 1 is none.")
    found = list(client.batch([bad, {"task": "add"}, {"task": "add", "args": [object()]}]))
    assert json.loads(server.asked[0].body) == [None, {"task": "add"}, None]
    assert found[0] is bad
    assert isinstance(found[2], Problem)
    assert "not JSON serializable" in found[2].detail


def test_fewer_answers_than_items_are_told(server: Stub, client: DispatcherClient) -> None:
    server.will(uuids(1))
    with pytest.raises(BadAnswer):
        list(client.batch(items(2)))
