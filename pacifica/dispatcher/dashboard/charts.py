"""The geometry of the charts: places across the chart are percentages, so that it fits any width; heights are pixels.

A chart is drawn by the template as SVG. Text in it therefore keeps its size, whatever the width of the page is.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

HEIGHT = 140
"""The height of the area in which the values are drawn."""
SMALLEST = 2
"""The height of a value that is not zero, at least: a single failure must be seen."""
MOST_TICKS = 4
DURATIONS: Mapping[str, float] = {
    "1 ms": 0.001,
    "10 ms": 0.01,
    "100 ms": 0.1,
    "1 s": 1.0,
    "10 s": 10.0,
    "1 min": 60.0,
    "10 min": 600.0,
    "1 h": 3600.0,
    "10 h": 36_000.0,
    "4 d": 345_600.0,
    "40 d": 3_456_000.0,
}
"""The lines of a scale of durations, each about ten times the one before."""


class GridLine(NamedTuple):
    """A line across the chart, with its label."""

    y: float
    label: str


class BarPart(NamedTuple):
    """The part of a bar for one kind of value."""

    kind: str
    y: float
    height: float


class StackedBar(NamedTuple):
    """A bar: its left edge and its width in percent, and its parts from the base upwards."""

    x: float
    width: float
    parts: Sequence[BarPart]


class BarChart(NamedTuple):
    """Bars for as many values, and the scale; ``column`` is the share of the width that one value has, in percent."""

    bars: Sequence[StackedBar]
    ticks: Sequence[GridLine]
    column: float


class Mark(NamedTuple):
    """A value without a neighbour, which no line can show: its line, its place in percent, and its height."""

    line: str
    x: float
    y: float


@dataclass(frozen=True)
class LineChart:
    """A path for each line, in units of one value across and of pixels down, the values alone, and the scale."""

    paths: Mapping[str, str]
    marks: Sequence[Mark]
    ticks: Sequence[GridLine]
    column: float


def bar_chart(values: Sequence[Mapping[str, int]]) -> BarChart:
    """A stacked bar for each value, whose kinds are in the order of the stack."""
    top, step = _scale(max((sum(each.values()) for each in values), default=0))
    column = 100 / max(1, len(values))
    bars = [
        StackedBar(round(number * column + 0.1 * column, 3), round(0.8 * column, 3), list(_stack(each, HEIGHT / top)))
        for number, each in enumerate(values)
    ]
    ticks = [GridLine(round(HEIGHT - each * HEIGHT / top, 1), f"{each:,}") for each in range(0, top + 1, step)]
    return BarChart(bars, ticks, round(column, 4))


def line_chart(lines: Mapping[str, Sequence[float | None]]) -> LineChart:
    """Lines of durations in seconds on a logarithmic scale; a line has a gap where a value is missing."""
    present = [value for line in lines.values() for value in line if value is not None]
    scale = _durations(min(present, default=0.01), max(present, default=1.0))
    low, high = math.log(scale[0][1]), math.log(scale[-1][1])

    def height(value: float) -> float:
        return round(HEIGHT * (high - math.log(min(max(value, scale[0][1]), scale[-1][1]))) / (high - low), 1)

    column = 100 / max(1, *map(len, lines.values()))
    heights = {name: [None if value is None else height(value) for value in line] for name, line in lines.items()}
    marks = [
        Mark(name, round((number + 0.5) * column, 3), y)
        for name, line in heights.items()
        for number, y in enumerate(line)
        if y is not None and _is_alone(line, number)
    ]
    every = 1 + (len(scale) - 1) // (MOST_TICKS + 1)
    ticks = [GridLine(height(value), label) for label, value in scale[::every]]
    return LineChart({name: _path(line) for name, line in heights.items()}, marks, ticks, round(column, 4))


def _stack(value: Mapping[str, int], scale: float) -> Iterator[BarPart]:
    """The parts from the base upwards; a part below the least height moves those above it."""
    base = float(HEIGHT)
    for kind, number in value.items():
        if number:
            height = max(SMALLEST, number * scale)
            base -= height
            yield BarPart(kind, round(max(0.0, base), 1), round(height, 1))


def _scale(highest: int) -> tuple[int, int]:
    """The top of a scale from 0, and its step: a whole 1, 2 or 5 times a power of ten."""
    step = 1
    while step * MOST_TICKS < highest:
        step = step * 5 // 2 if str(step)[0] == "2" else step * 2
    return max(step, -(-highest // step) * step), step


def _durations(low: float, high: float) -> list[tuple[str, float]]:
    """The part of the scale of durations that encloses both."""
    scale = list(DURATIONS.items())
    first = max((number for number, (_, value) in enumerate(scale) if value <= low), default=0)
    last = min((number for number, (_, value) in enumerate(scale) if value >= high), default=len(scale) - 1)
    first = min(first, len(scale) - 2)
    return scale[first : max(last, first + 1) + 1]


def _is_alone(line: Sequence[float | None], number: int) -> bool:
    return not any(0 <= near < len(line) and line[near] is not None for near in (number - 1, number + 1))


def _path(heights: Sequence[float | None]) -> str:
    """The commands of an SVG path through the middle of each column, without values that are alone."""
    commands = []
    before: float | None = None
    for number, height in enumerate(heights):
        if height is not None and not _is_alone(heights, number):
            commands.append(f"{'L' if before is not None else 'M'}{number + 0.5:g} {height:g}")
        before = height
    return "".join(commands)
