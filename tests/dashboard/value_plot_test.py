"""The geometry of plots: odd data, reduction, axes."""

import math
import re
import sys
from itertools import pairwise
from typing import Any

import pytest

from pacifica.dispatcher.dashboard.value_plot import MOST_POINTS, Plot, Point, Scale, draw, points_of, reduced

HUGE = sys.float_info.max
ODD = [
    [],
    [5],
    [0, 0, 0],
    [-3.5, -3.5],
    [HUGE, -HUGE],
    [HUGE, HUGE, HUGE],
    [5e-324, 0.0, -5e-324],
    [1e-310, 2e-310],
    [1e15, 1e15 + 1, 1e15 + 2],
    [1.0, 1.0 + 2**-52],
    [-7, None, 3, None, None, 9],
    [None, None],
    [10**300, -1, 2],
    list(range(5000)),
]


def numbers_of(plot: Plot) -> list[float]:
    """Every number in the drawing."""
    texts = [*plot.lines, *(tick.at for tick in (*plot.x_ticks, *plot.y_ticks)), *(dot.x + dot.y for dot in plot.dots)]
    return [float(number) for text in texts for number in re.split("[ ,%]+", text) if number]


@pytest.mark.parametrize("values", ODD)
def test_odd_data_is_drawn_within_the_area(values: list[Any]) -> None:
    points = [Point(float(x), None if y is None else float(y)) for x, y in enumerate(values)]
    plot = draw(points, pairs=False)
    found = numbers_of(plot)
    assert all(math.isfinite(number) and -0.1 <= number <= 1000.1 for number in found)
    assert bool(plot.lines) is any(value is not None for value in values)
    labels = " ".join(tick.text for tick in (*plot.x_ticks, *plot.y_ticks))
    assert not re.search("nan|inf", labels)
    assert 2 <= len(plot.y_ticks) <= 8


@pytest.mark.parametrize("values", ODD[:12])
def test_pairs_with_odd_places_are_drawn_within_the_area(values: list[Any]) -> None:
    points = [Point(float(x), 1.0) for x in values if x is not None]
    assert all(-0.1 <= number <= 1000.1 for number in numbers_of(draw(points, pairs=True)))


def test_axis_ends_at_round_numbers() -> None:
    scale = Scale([3.0, 97.0])
    assert [scale.label(tick) for tick in scale.ticks] == ["0", "50", "100"]
    assert (scale.part(0), scale.part(50), scale.part(100)) == (0, 0.5, 1)
    small = Scale([-0.12, 0.31])
    assert [small.label(tick) for tick in small.ticks] == ["-0.2", "0.0", "0.2", "0.4"]
    assert [Scale([1500.0, 4200.0]).label(tick) for tick in (2000.0, 4000.0)] == ["2,000", "4,000"]


def test_places_of_a_list_have_whole_numbers() -> None:
    points = [Point(0, 1.0), Point(1, 1.0), Point(2, 1.0)]
    assert [tick.text for tick in draw(points, pairs=False).x_ticks] == ["0", "1", "2"]
    assert [tick.text for tick in draw(points, pairs=True).x_ticks] == ["0.0", "0.5", "1.0", "1.5", "2.0"]


def test_column_of_labels_is_as_wide_as_the_longest() -> None:
    plots = [draw([Point(0, 0.0), Point(1, most)], pairs=True) for most in (1.0, 1e12)]
    assert plots[0].gutter < 50 < plots[1].gutter


def test_places_of_a_line_are_to_scale() -> None:
    plot = draw([Point(0, 0.0), Point(5, 10.0), Point(10, 5.0)], pairs=True)
    assert list(plot.lines) == ["0.0,1000.0 500.0,0.0 1000.0,500.0"]
    assert [(dot.x, dot.y, dot.title) for dot in plot.dots][1] == ("50.00%", "0.00%", "5: 10")


def test_gap_parts_the_line_and_a_single_point_is_drawn() -> None:
    found = points_of([1, 2, "NaN", 4, None, 5, 6])
    assert found is not None
    lines = draw(found[0], pairs=False).lines
    assert [len(line.split()) for line in lines] == [2, 2, 2]
    assert len(set(lines[1].split())) == 1


def test_reduction_keeps_the_extremes_of_each_stretch_in_order() -> None:
    points = [Point(float(x), math.sin(x)) for x in range(100_000)]
    points[34_567], points[34_568] = Point(34_567.0, 99.0), Point(34_568.0, -99.0)
    found = reduced(points)
    assert len(found) <= MOST_POINTS
    assert {points[34_567], points[34_568]} <= set(found)
    assert all(one.x < other.x for one, other in pairwise(found))
    assert reduced(points[:MOST_POINTS]) == points[:MOST_POINTS]
    gaps = [Point(float(x), None) for x in range(2000)]
    assert len(reduced(gaps)) <= MOST_POINTS


@pytest.mark.parametrize(
    "value",
    [
        [],
        [1],
        [1, 2],
        "text",
        {"a": 1},
        [1, 2, True],
        [1, 2, "3"],
        [[1, 2]],
        [[1, 2], [1]],
        [[1, 2], ["a", 2]],
        [1, 2, 10**400],
        [None, None, None, 1],
        [[1, 2], [None, 3]],
        [[1, [2]], [1, 2]],
    ],
)
def test_value_that_is_no_line_is_not_plotted(value: Any) -> None:
    assert points_of(value) is None
