"""The timeline of attempts: its spans, their places, and the words of the events."""

from typing import Any

import pytest

from pacifica.dispatcher.core.job import Event, State
from pacifica.dispatcher.dashboard.attempt_timeline import MOST_SPANS, Timeline, timeline
from pacifica.dispatcher.dashboard.job_history import line_of

from ..store.conftest import a_job

S = 1_000_000


def history(*entries: tuple[float, str] | tuple[float, str, dict[str, Any]]) -> list[Event]:
    """The events at these seconds."""
    return [
        Event(number, "job", int(entry[0] * S), entry[1], entry[2] if len(entry) > 2 else {})
        for number, entry in enumerate(entries, 1)
    ]


def drawn(events: list[Event], at: float, **columns: Any) -> Timeline:
    return timeline(a_job(**{"created": 0, "due": None, **columns}), events, int(at * S))


def places(found: Timeline) -> list[tuple[str, str, str]]:
    return [(bar.style, bar.x, bar.width) for bar in found.bars]


def test_attempts_are_drawn_to_scale() -> None:
    retry = {"type": "ValueError", "message": "no", "eta": 6 * S, "retries": 1}
    events = history(
        (0, "PENDING"),
        (2, "STARTED", {"attempt": 1, "worker": "one"}),
        (4, "RETRY", retry),
        (7, "STARTED", {"attempt": 2, "worker": "two"}),
        (8, "CANCEL"),
        (10, "SUCCESS"),
    )
    found = drawn(events, 99, attempt=2, retries=1, eta=6 * S)
    assert places(found) == [
        ("waiting", "0.00%", "20.00%"),
        ("attempt retry", "20.00%", "20.00%"),
        ("scheduled", "40.00%", "20.00%"),
        ("waiting", "60.00%", "10.00%"),
        ("attempt success", "70.00%", "30.00%"),
    ]
    assert [bar.title for bar in found.bars] == [
        "Waiting for a worker: 2.0 s",
        "Attempt 1: retry, 2.0 s, one",
        "Not before its time: 2.0 s",
        "Waiting for a worker: 1.0 s",
        "Attempt 2: success, 3.0 s, two",
    ]
    assert [(mark.at, mark.text) for mark in found.marks][:2] == [("0.00%", "0"), ("20.00%", "2 s")]
    assert (found.waited, found.ran) == (3, 5)


@pytest.mark.parametrize(
    ("kind", "style"), [("LOST", "attempt lost"), ("RETURNED", "attempt returned"), ("REPLACED", "attempt replaced")]
)
def test_job_waits_again_after_an_attempt_without_an_outcome(kind: str, style: str) -> None:
    found = drawn(history((0, "PENDING"), (1, "STARTED", {"attempt": 1}), (3, kind)), 4)
    assert places(found) == [
        ("waiting", "0.00%", "25.00%"),
        (style, "25.00%", "50.00%"),
        ("waiting", "75.00%", "25.00%"),
    ]


def test_running_attempt_lasts_until_now() -> None:
    found = drawn(history((0, "PENDING"), (1, "STARTED", {"attempt": 1}), (2, "PROGRESS", {"current": 1})), 5)
    assert places(found)[-1] == ("attempt started", "20.00%", "80.00%")
    assert found.ran == 4


def test_job_with_a_start_time_is_scheduled_until_then() -> None:
    assert places(drawn(history((0, "PENDING")), 4, eta=8 * S)) == [("scheduled", "0.00%", "100.00%")]
    assert places(drawn(history((0, "PENDING")), 10, eta=5 * S)) == [
        ("scheduled", "0.00%", "50.00%"),
        ("waiting", "50.00%", "50.00%"),
    ]


@pytest.mark.parametrize("events", [[], history((0, "PENDING")), history((0, "PENDING"), (0, "REVOKED"))])
def test_job_without_a_duration_is_drawn(events: list[Event]) -> None:
    found = drawn(events, 0)
    assert (found.waited, found.ran) == (0, 0)
    assert "nan" not in str(found)


def test_short_attempt_can_be_seen_and_many_are_bounded() -> None:
    short = drawn(history((0, "PENDING"), (1000, "STARTED", {"attempt": 1}), (1000.001, "SUCCESS")), 2000)
    assert places(short)[1] == ("attempt success", "99.70%", "0.30%")
    many = [(number, ("STARTED", "LOST")[number % 2]) for number in range(1000)]
    found = drawn(history(*many), 1000)
    assert (len(found.bars), found.left_out > 0) == (MOST_SPANS, True)


@pytest.mark.parametrize(
    ("seconds", "texts"),
    [
        (0.012, ["0", "5 ms", "10 ms"]),
        (2.4, ["0", "0.5 s", "1 s", "1.5 s", "2 s"]),
        (130, ["0", "30 s", "60 s", "90 s", "120 s"]),
        (7300, ["0", "30 min", "60 min", "90 min", "120 min"]),
        (200_000, ["0", "12 h", "24 h", "36 h", "48 h"]),
        (3 * 86_400, ["0", "1 d", "2 d", "3 d"]),
    ],
)
def test_marks_have_whole_numbers_of_a_unit(seconds: float, texts: list[str]) -> None:
    assert [mark.text for mark in drawn(history((0, "PENDING"), (seconds, "REVOKED")), 0).marks] == texts


@pytest.mark.parametrize("seconds", [0.002, 0.04, 3, 59, 3600, 86_400, 4e6, 4e8])
def test_marks_are_few_and_within_the_drawing(seconds: float) -> None:
    found = drawn(history((0, "PENDING"), (seconds, "REVOKED")), seconds)
    assert 2 <= len(found.marks) <= 6
    assert all(float(mark.at.rstrip("%")) <= 100 for mark in found.marks)
    assert len({mark.text for mark in found.marks}) == len(found.marks)


@pytest.mark.parametrize(
    ("kind", "data", "words", "detail"),
    [
        ("PENDING", {}, "accepted, waits for a worker", ""),
        ("PENDING", {"origin": "message"}, "received as a Celery message", ""),
        (
            "PENDING",
            {"origin": "message", "redelivered": True},
            "received as a Celery message",
            "which was delivered before",
        ),
        ("STARTED", {"attempt": 2, "worker": "w"}, "attempt 2 started", "w"),
        ("FAILURE", {"type": "KeyError", "message": "x", "at": "lab.py:5"}, "failed", "KeyError: x (lab.py:5)"),
        ("FAILURE", {"type": "E", "message": "x" * 9_000}, "failed", f"E: {'x' * 296}…"),
        ("FAILURE", {"reason": "no worker"}, "failed", "no worker"),
        ("REVOKED", {"reason": "expired"}, "ended without a result", "expired"),
        ("PROGRESS", {"current": 3, "total": 10, "message": "m"}, "progress: 3 of 10", "m"),
        ("PROGRESS", {"current": 3, "total": None, "message": ""}, "progress: 3", ""),
        ("LACKS_TASK", {"task": "t", "worker": "w"}, "a worker has no task t", "w"),
        ("A_LATER_KIND", {"x": 1}, "A_LATER_KIND", ""),
    ],
)
def test_event_in_words(kind: str, data: dict[str, Any], words: str, detail: str) -> None:
    line = line_of(Event(1, "job", 3 * S, kind, data), 2 * S)
    assert (line.words, line.detail, line.since) == (words, detail, 1)


@pytest.mark.parametrize("kind", [*(state.value for state in State), "CANCEL", "LOST", "RETURNED", "DROPPED", "LATE"])
def test_event_without_data_has_words(kind: str) -> None:
    line = line_of(Event(1, "job", 0, kind, {}), 0)
    assert line.words
    assert line.words != kind
