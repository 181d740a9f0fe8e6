"""The options of a dispatch."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pacifica.dispatcher.core.dispatch_options import DispatchOptions, parse_options
from pacifica.dispatcher.core.errors import BadOptions
from pacifica.dispatcher.core.job import iso, micros

MOMENT = datetime(2026, 1, 1, tzinfo=UTC)


def test_options_may_be_empty() -> None:
    made = parse_options({})
    assert made == DispatchOptions()
    assert (made.start(MOMENT), made.end(MOMENT)) == (None, None)


def test_seconds_count_from_now() -> None:
    made = parse_options({"countdown": 90, "expires": 0.5})
    assert made.start(MOMENT) == MOMENT + timedelta(seconds=90)
    assert made.end(MOMENT) == MOMENT + timedelta(seconds=0.5)


@pytest.mark.parametrize("text", ["2026-03-01T12:00:00Z", "2026-03-01T13:00:00+01:00", "2026-03-01T02:30:00.000-09:30"])
def test_time_with_an_offset_is_converted_to_utc(text: str) -> None:
    made = parse_options({"eta": text, "expires": text})
    for moment in (made.start(MOMENT), made.end(MOMENT)):
        assert moment == datetime(2026, 3, 1, 12, tzinfo=UTC)
        assert moment.tzinfo is UTC


@pytest.mark.parametrize("text", ["9999-12-31T23:59:59-01:00", "0001-01-01T00:00:00+01:00"])
@pytest.mark.parametrize("name", ["eta", "expires"])
def test_time_beyond_the_years_of_utc_is_refused(name: str, text: str) -> None:
    with pytest.raises(BadOptions, match="between the years 1 and 9999"):
        parse_options({name: text})


@given(st.datetimes(timezones=st.timezones()))
def test_every_accepted_time_can_be_stored_and_shown(moment: datetime) -> None:
    try:
        start = parse_options({"eta": moment.isoformat()}).start(MOMENT)
    except BadOptions:
        return
    assert start is not None
    assert iso(micros(start))


@pytest.mark.parametrize(
    ("given_options", "where", "message"),
    [
        ({"eta": "2026-01-01T00:00:00"}, "eta", "timezone"),
        ({"eta": "5"}, "eta", "ISO 8601"),
        ({"expires": "1767225600.5"}, "expires", "ISO 8601"),
        ({"eta": 5}, "eta", "datetime"),
        ({"eta": "tomorrow"}, "eta", "ISO 8601"),
        ({"expires": True}, "expires", "datetime"),
        ({"expires": -1}, "expires", "greater than or equal to 0"),
        ({"countdown": -0.1}, "countdown", "greater than or equal to 0"),
        ({"countdown": 1e12}, "countdown", "less than or equal"),
        ({"countdown": "5"}, "countdown", "number"),
        ({"countdown": True}, "countdown", "number"),
        ({"priority": 10}, "priority", "less than or equal to 9"),
        ({"priority": -1}, "priority", "greater than or equal to 0"),
        ({"priority": 1.5}, "priority", "integer"),
        ({"priority": True}, "priority", "integer"),
        ({"max_attempts": 0}, "max_attempts", "greater than or equal to 1"),
        ({"max_attempts": 1001}, "max_attempts", "less than or equal to 1000"),
        ({"queue": ""}, "queue", "at least 1 character"),
        ({"queue": "q" * 192}, "queue", "at most 191 characters"),
        ({"queue": "a b"}, "queue", "pattern"),
        ({"queue": "a\n"}, "queue", "pattern"),
        ({"queue": 5}, "queue", "string"),
        ({"retries": 3}, "retries", "is not an option; the options are queue, priority"),
        ({"countdown": 1, "eta": "2026-03-01T12:00:00Z"}, "options", "cannot be used together"),
        ({"queue": "\ud800"}, "options", "JSON"),
        ({"countdown": float("nan")}, "options", "it is not JSON"),
    ],
)
def test_each_bad_option_is_named(given_options: dict[str, Any], where: str, message: str) -> None:
    with pytest.raises(BadOptions) as caught:
        parse_options(given_options)
    (fault,) = caught.value.faults
    assert fault.where == where
    assert message in fault.message


def test_all_faults_are_named_at_once() -> None:
    with pytest.raises(BadOptions) as caught:
        parse_options({"priority": 10, "queue": "", "max_attempts": 0, "when": "now"})
    assert {fault.where for fault in caught.value.faults} == {"priority", "queue", "max_attempts", "when"}


@pytest.mark.parametrize(
    ("given_options", "where", "message"),
    [
        ({f"o{number}": 1 for number in range(15)}, "options", "there are 15; the only options are queue, priority"),
        (
            {"labels": {f"bad name {number}": number for number in range(17)}},
            "labels",
            "there are 17; a job has at most 16",
        ),
    ],
)
def test_too_many_options_or_labels_are_one_fault(given_options: dict[str, Any], where: str, message: str) -> None:
    with pytest.raises(BadOptions) as caught:
        parse_options(given_options)
    (fault,) = caught.value.faults
    assert fault.where == where
    assert message in fault.message


def test_options_at_their_bounds_are_accepted() -> None:
    made = parse_options({"priority": 9, "max_attempts": 1000, "queue": "a" * 191, "countdown": 366 * 24 * 3600})
    assert (made.priority, made.max_attempts, made.countdown) == (9, 1000, 31_622_400)


@pytest.mark.parametrize("depth", [150, 400, 850, 900, 950, 970, 980])
def test_deeply_nested_option_is_refused(depth: int) -> None:
    value: list[Any] = []
    for _ in range(depth):
        value = [value]
    with pytest.raises(BadOptions):
        parse_options({"queue": value})
