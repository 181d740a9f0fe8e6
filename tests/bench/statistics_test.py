"""Medians, spreads, and ratios between systems that ran side by side."""

from typing import Literal

import pytest

from bench.results import Record, Results
from bench.statistics import Comparison, Spread, compare, percentile, spread


def results(**rows: list[float | None]) -> Results:
    """Return a run in which each row has these values in rounds 1, 2, …; None is a round in which it failed."""
    records = [
        Record("scene", row, "rate", number, value)
        for row, values in rows.items()
        for number, value in enumerate(values, 1)
        if value is not None
    ]
    return Results({}, records)


def wanted(better: Literal["higher", "lower"] = "higher", others: tuple[str, ...] = ("a", "b")) -> Comparison:
    """Return the comparison of ``ours`` with these rows."""
    return Comparison("title", "ours", "rate", others, better=better)


def test_a_spread_is_median_least_and_greatest() -> None:
    assert spread([3, 1, 2, 9]) == Spread(2.5, 1, 9)
    assert spread([]) is None


@pytest.mark.parametrize(("percent", "value"), [(50, 5), (95, 10), (90, 9), (0, 1), (100, 10)])
def test_a_percentile_is_one_of_the_values(percent: float, value: float) -> None:
    assert percentile([10, 9, 8, 7, 6, 5, 4, 3, 2, 1], percent) == value


def test_a_ratio_is_calculated_in_each_round_to_the_best_of_that_round() -> None:
    found = compare(results(ours=[200, 100, 300], a=[100, 10, 100], b=[50, 100, 75]), "scene", wanted())
    assert found == (Spread(2, 1, 3), ["a", "b"])


def test_the_best_is_the_least_where_less_is_better() -> None:
    found = compare(results(ours=[9, 9], a=[10, 10], b=[20, 5]), "scene", wanted("lower"))
    assert found == (Spread((0.9 + 1.8) / 2, 0.9, 1.8), ["a", "b"])


def test_a_round_in_which_one_side_failed_has_no_ratio() -> None:
    found = compare(results(ours=[10, None, 30], a=[10, 10, None]), "scene", wanted(others=("a",)))
    assert found == (Spread(1, 1, 1), ["a"])


def test_another_figure_of_the_others_is_compared_if_it_is_named() -> None:
    run = results(ours=[10])
    run.records.append(Record("scene", "a", "other", 1, 5))
    found = compare(run, "scene", Comparison("title", "ours", "rate", ("a",), "other"))
    assert found == (Spread(2, 2, 2), ["a"])


@pytest.mark.parametrize(("better", "met"), [("higher", [False, True, True]), ("lower", [True, True, False])])
def test_a_goal_is_met_by_a_ratio_on_its_better_side(better: Literal["higher", "lower"], met: list[bool]) -> None:
    comparison = Comparison("title", "ours", "rate", ("a",), better=better, goal=1)
    assert [comparison.met(ratio) for ratio in (0.9, 1, 1.1)] == met


@pytest.mark.parametrize("run", [results(ours=[1]), results(a=[1]), results()])
def test_without_both_sides_there_is_no_comparison(run: Results) -> None:
    assert compare(run, "scene", wanted()) is None
