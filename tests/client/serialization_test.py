"""The JSON that the client sends, and the values that cannot be sent."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from pacifica.dispatcher.client import BadValue, ClientError, DispatcherClient

from .stub import Answer, Stub, stubbed

NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)


@pytest.fixture(scope="module")
def service() -> Iterator[Stub]:
    """The stub that all tests of this module share."""
    with stubbed() as stub:
        yield stub


@pytest.fixture
def client(service: Stub) -> Iterator[DispatcherClient]:
    """A client of the stub."""
    with DispatcherClient(service.url) as client:
        yield client


def test_python_times_are_sent_in_the_format_of_the_service(service: Stub, client: DispatcherClient) -> None:
    service.will(Answer())
    client.dispatch("add", 2, 2, options={"eta": NOON, "expires": timedelta(minutes=2)})
    options = json.loads(service.requests[0].body)["options"]
    assert options == {"eta": "2026-11-24T12:00:00+00:00", "expires": 120.0}
    service.will(Answer(body={"jobs": [], "next": None}))
    assert list(client.search(since=NOON, until=timedelta(hours=1))) == []
    assert service.requests[0].path.startswith("/status?since=2026-11-24T12%3A00%3A00%2B00%3A00&until=3600.0&")


@pytest.mark.parametrize(
    ("argument", "options", "message"),
    [
        (float("nan"), {}, "The job cannot be sent: it is not JSON"),
        ({"a": [{1: "a", "1": "b"}]}, {}, 'cannot be sent: two keys of one object have the text "1"'),
        ({None: 1, "null": 2}, {}, 'two keys of one object have the text "null"'),
        (NOON, {}, "The job cannot be sent: it is not JSON: Object of type datetime"),
        (1, {"eta": datetime.fromisoformat("2026-11-24")}, "eta is 2026-11-24T00:00:00, a time without an offset"),
    ],
)
def test_value_that_cannot_be_sent_raises_bad_value(
    client: DispatcherClient, argument: Any, options: Any, message: str
) -> None:
    with pytest.raises(BadValue, match=message) as error:
        client.dispatch("add", argument, 2, options=options)
    assert isinstance(error.value, ClientError)
    assert isinstance(error.value, ValueError)


def test_key_that_no_header_can_hold_raises_bad_value(client: DispatcherClient) -> None:
    with pytest.raises(BadValue):
        client.dispatch("add", 1, 2, idempotency_key="€")
    with pytest.raises(BadValue):
        client.dispatch("add", 1, 2, idempotency_key="a\nb")
