"""The geometry of the charts: exact places for tiny examples."""

import re

import pytest

from pacifica.dispatcher.core.histogram import bucket_of
from pacifica.dispatcher.dashboard.activity import SPANS, activity_of
from pacifica.dispatcher.dashboard.charts import HEIGHT, BarPart, GridLine, Mark, StackedBar, bar_chart, line_chart
from pacifica.dispatcher.store.job_minutes import MINUTE, EndedJobs, HistoryRow, MinuteKey

SECOND = 1_000_000
AT = 1_800_000_030
"""30 seconds after the minute 1_800_000_000, which is 08:00 in UTC."""


def test_bars_stack_from_the_base_in_the_order_of_their_kinds() -> None:
    chart = bar_chart([{"bad": 1, "good": 3}, {"bad": 0, "good": 0}, {"bad": 0, "good": 2}, {"bad": 4, "good": 0}])
    assert chart.bars == [
        StackedBar(2.5, 20.0, [BarPart("bad", 105.0, 35.0), BarPart("good", 0.0, 105.0)]),
        StackedBar(27.5, 20.0, []),
        StackedBar(52.5, 20.0, [BarPart("good", 70.0, 70.0)]),
        StackedBar(77.5, 20.0, [BarPart("bad", 0.0, 140.0)]),
    ]
    assert (chart.column, HEIGHT) == (25.0, 140)
    assert chart.ticks == [GridLine(y, label) for y, label in ((140, "0"), (105, "1"), (70, "2"), (35, "3"), (0, "4"))]


def test_a_single_failure_among_many_is_seen() -> None:
    ((failed, rest),) = [bar.parts for bar in bar_chart([{"bad": 1, "good": 9_999}]).bars]
    assert (failed.height, failed.y) == (2, 138)
    assert rest.y == 0


@pytest.mark.parametrize(
    ("highest", "labels"),
    [
        (0, "0 1"),
        (1, "0 1"),
        (3, "0 1 2 3"),
        (5, "0 2 4 6"),
        (17, "0 5 10 15 20"),
        (41, "0 20 40 60"),
        (1000, "0 500 1,000"),
        (3999, "0 1,000 2,000 3,000 4,000"),
    ],
)
def test_scales_have_round_steps(highest: int, labels: str) -> None:
    assert " ".join(tick.label for tick in bar_chart([{"good": highest}]).ticks) == labels


def test_lines_are_logarithmic_with_gaps_and_marks_for_single_values() -> None:
    chart = line_chart({"p50": [0.1, 1.0, None, 0.01, None], "p95": [None] * 5})
    assert chart.ticks == [GridLine(140.0, "10 ms"), GridLine(70.0, "100 ms"), GridLine(0.0, "1 s")]
    assert chart.paths == {"p50": "M0.5 70L1.5 0", "p95": ""}
    assert chart.marks == [Mark("p50", 70.0, 140.0)]
    assert chart.column == 20.0


@pytest.mark.parametrize("value", [0.0001, 0.001, 1.0, 59.0, 3600.0, 1e9])
def test_a_line_stays_within_its_chart(value: float) -> None:
    chart = line_chart({"p50": [value, value]})
    heights = [float(each) for each in re.findall(r"[ML][\d.]+ ([\d.]+)", chart.paths["p50"])]
    assert all(0 <= each <= HEIGHT for each in heights)
    assert len(heights) == 2
    assert len(chart.ticks) >= 2


def test_a_long_scale_of_durations_has_few_lines() -> None:
    ticks = line_chart({"p50": [0.001, 3_000_000.0]}).ticks
    assert 2 <= len(ticks) <= 6
    assert len({tick.y for tick in ticks}) == len(ticks)


def a_row(start: int, outcome: str, jobs: int, run: float = 1.0) -> HistoryRow:
    """A row of the history: jobs that all ran for so many seconds, and did not wait."""
    bucket = bucket_of(int(run * SECOND))
    return HistoryRow(MinuteKey(MINUTE, start, "", outcome), EndedJobs(jobs, {bucket: jobs}, {0: jobs}))


def test_history_has_a_column_for_each_minute_up_to_now() -> None:
    rows = [
        a_row(1_800_000_000, "SUCCESS", 3),
        a_row(1_800_000_000, "FAILURE", 1),
        a_row(1_800_000_000 - 59 * 60, "REVOKED", 2),
        a_row(1_800_000_000 - 60 * 60, "SUCCESS", 100),
        a_row(1_800_000_060, "SUCCESS", 100),
    ]
    history = activity_of(rows, SPANS["hour"], AT)
    assert [column.jobs for column in history.columns] == [
        "2 cancelled",
        *["no job ended"] * 58,
        "3 succeeded, 1 failed",
    ]
    assert history.jobs == 6
    assert history.outcomes == {"FAILURE": 1, "REVOKED": 2, "SUCCESS": 3}
    assert history.summary == "6 jobs ended in the last hour: 3 succeeded, 2 cancelled, 1 failed."
    assert history.failed_share == "17 %"
    assert history.busiest == history.columns[59]
    assert [(label.text, label.x) for label in history.labels] == [
        ("07:10", 15.0),
        ("07:20", 31.667),
        ("07:30", 48.333),
        ("07:40", 65.0),
        ("07:50", 81.667),
        ("08:00", 98.333),
    ]
    assert history.columns[59].clock.iso == "2027-01-15T08:00:00.000000Z"


def test_history_of_a_week_has_weekdays() -> None:
    history = activity_of([], SPANS["week"], AT)
    assert next(label.text for label in history.labels) == "Sat 00:00"
    assert len(history.columns) == 168
    assert (history.summary, history.busiest) == ("No job ended in the last week.", None)
    assert (history.run.p50, history.wait.p95) == (None, None)


def test_quantiles_are_those_of_all_columns_together() -> None:
    rows = [a_row(1_800_000_000 - 60 * number, "SUCCESS", 10, run) for number, run in enumerate((1.0, 1.0, 30.0))]
    history = activity_of(rows, SPANS["hour"], AT)
    assert (history.run.p50, history.run.p95) == (pytest.approx(1, rel=0.125), pytest.approx(30, rel=0.125))
    assert history.columns[57].run == "half within 28.2 s, 95 % within 28.2 s"
    assert history.wait.p50 == pytest.approx(0.001, rel=0.2)
