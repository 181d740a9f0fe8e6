"""What a running job says of itself: not too often, and the last word always."""

from collections.abc import Mapping
from typing import Any

import pytest

from pacifica.dispatcher import progress
from pacifica.dispatcher.core.errors import DatabaseUnavailable
from pacifica.dispatcher.worker.progress import ProgressReporter, progress_value

from ..eventually import eventually

LONG = 3600.0


def test_the_first_report_is_stored_at_once_and_the_last_one_at_the_end() -> None:
    stored: list[Mapping[str, Any]] = []
    reports = ProgressReporter(stored.append, LONG)
    for current in range(100):
        reports.report(progress_value(current, 100))
    assert [value["current"] for value in stored] == [0]
    reports.finish()
    assert [value["current"] for value in stored] == [0, 99]


def test_a_report_that_came_too_soon_is_stored_when_its_time_comes() -> None:
    stored: list[Mapping[str, Any]] = []
    reports = ProgressReporter(stored.append, 0.05)
    for current in range(3):
        reports.report(progress_value(current))
    eventually(lambda: [value["current"] for value in stored] == [0, 2])
    reports.finish()
    assert [value["current"] for value in stored] == [0, 2]


def test_a_database_that_is_away_does_no_harm_to_the_task(caplog: pytest.LogCaptureFixture) -> None:
    def away(_: Mapping[str, Any]) -> None:
        raise DatabaseUnavailable("The database cannot do that now.")

    reports = ProgressReporter(away, LONG)
    reports.report(progress_value(1))
    reports.finish()
    assert "not stored" in caplog.text


@pytest.mark.parametrize(
    ("given", "error"),
    [
        ((-1,), ValueError),
        ((float("nan"),), ValueError),
        ((1, float("inf")), ValueError),
        (("1",), TypeError),
        ((True,), TypeError),
        ((1, 2, "x" * 1001), ValueError),
    ],
)
def test_what_is_no_report_is_refused(given: tuple[Any, ...], error: type[Exception]) -> None:
    with pytest.raises(error, match="progress"):
        progress(*given)


def test_outside_a_worker_a_report_does_nothing() -> None:
    progress(1, 2, "half")
