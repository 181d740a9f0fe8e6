"""Progress reports of a running job: stored at a limited rate, and the last one always."""

from collections.abc import Mapping
from typing import Any

import pytest

from pacifica.dispatcher import progress
from pacifica.dispatcher.core.errors import DatabaseUnavailable
from pacifica.dispatcher.worker.progress import ProgressReporter, progress_value

from ..eventually import eventually

LONG = 3600.0


def test_first_report_is_stored_at_once_and_the_last_one_at_the_end() -> None:
    stored: list[Mapping[str, Any]] = []
    reports = ProgressReporter(stored.append, LONG)
    for current in range(100):
        reports.report(progress_value(current, 100))
    assert [value["current"] for value in stored] == [0]
    reports.finish()
    assert [value["current"] for value in stored] == [0, 99]


def test_report_that_came_too_soon_is_stored_a_little_later() -> None:
    stored: list[Mapping[str, Any]] = []
    reports = ProgressReporter(stored.append, 0.05)
    for current in range(3):
        reports.report(progress_value(current))
    eventually(lambda: [value["current"] for value in stored] == [0, 2])
    reports.finish()
    assert [value["current"] for value in stored] == [0, 2]


def test_unavailable_database_does_not_fail_the_task(caplog: pytest.LogCaptureFixture) -> None:
    def unavailable(_: Mapping[str, Any]) -> None:
        raise DatabaseUnavailable("The database cannot do that now.")

    reports = ProgressReporter(unavailable, LONG)
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
def test_report_that_is_not_valid_is_refused(given: tuple[Any, ...], error: type[Exception]) -> None:
    with pytest.raises(error, match="progress"):
        progress(*given)


def test_report_outside_a_worker_does_nothing() -> None:
    progress(1, 2, "half")
