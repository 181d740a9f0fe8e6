"""Plots a list of numbers or of [x, y] pairs: the positions of a line, its axes and its values, without a script."""

import math
import sys
from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

from ..core.strict_json import NON_FINITE

MOST_POINTS = 1000
"""More points are reduced to the least and the greatest of each stretch."""
DOTTED = 60
"""At most so many points also get a dot each, with its values."""
FEWEST_NUMBERS, FEWEST_PAIRS = 3, 2
"""Shorter lists are read more easily than plotted."""
AREA = 1000
"""The width and height of the area of the line, in units of its drawing."""
INTERVALS = 4
"""About so many intervals lie between the ticks of an axis."""
LABEL_DIGIT = 6.6
"""The width of a digit of a label, in pixels."""
EXACT = 1e-12
"""Below this part of its values, the extent of an axis is too small for round numbers."""

HUGE = 1e300
"""Round numbers beyond this value could be too large for a float."""


class Point(NamedTuple):
    """A point; ``y`` is ``None`` where the line has a gap."""

    x: float
    y: float | None


class Tick(NamedTuple):
    """A mark on an axis: its position in percent, and its value as text."""

    at: str
    text: str
    anchor: str = "middle"


class Dot(NamedTuple):
    """A point of a short list: its position in percent, and its values."""

    x: str
    y: str
    title: str


class Plot(NamedTuple):
    """A drawing: lines are texts of points in an area of ``AREA`` units, and all else is in percent.

    ``gutter`` is the width of the labels at the left, in pixels.
    """

    lines: Sequence[str]
    dots: Sequence[Dot]
    x_ticks: Sequence[Tick]
    y_ticks: Sequence[Tick]
    points: Sequence[Point]
    summary: str
    pairs: bool
    gutter: int


class Scale:
    """One axis, extended to round numbers where the values allow it; ``whole``: its marks are whole numbers."""

    def __init__(self, values: Iterable[float], *, tight: bool = False, whole: bool = False) -> None:
        found = list(values) or [0.0]
        self.low, self.high, self.ticks, self.step = *_extent(min(found), max(found)), [], 0.0
        span, most = self.high - self.low, max(abs(self.low), abs(self.high))
        if most > HUGE or span < max(1e-300, EXACT * most):
            self.ticks = [self.low, self.low / 2 + self.high / 2, self.high]
            return
        self.step = step = max(_round_step(span / INTERVALS), 1.0 if whole else 0.0)
        first, last = math.floor(self.low / step + EXACT), math.ceil(self.high / step - EXACT)
        marks = [number * step for number in range(first, last + 1)]
        if tight:
            self.ticks = [mark for mark in marks if self.low <= mark <= self.high]
        else:
            self.low, self.high, self.ticks = marks[0], marks[-1], marks

    def part(self, value: float) -> float:
        """The position of a value between the ends of the axis, from 0 to 1."""
        return (value / 2 - self.low / 2) / (self.high / 2 - self.low / 2)

    def marks(self, *, upwards: bool = False) -> list[Tick]:
        """The ticks with their labels; those at the ends of a horizontal axis are within the drawing."""
        found = []
        for value in self.ticks:
            part = self.part(value)
            anchor = "start" if part < 0.04 else "end" if part > 0.96 else "middle"
            found.append(Tick(percent(1 - part if upwards else part), self.label(value), anchor))
        return found

    def label(self, value: float) -> str:
        """The value of a tick, with as many digits as the step needs."""
        if self.step >= 1e-6 and max(abs(self.low), abs(self.high)) < 1e15:
            return f"{value or 0.0:,.{max(0, -math.floor(math.log10(self.step) + EXACT))}f}"
        return f"{value:.4g}"


def percent(part: float) -> str:
    """A part of the whole as a length in SVG."""
    return f"{part * 100:.2f}%"


def points_of(value: Any) -> tuple[list[Point], bool] | None:
    """The points of a list that can be plotted, and whether they are pairs; ``None`` for any other value."""
    if not isinstance(value, list) or len(value) < FEWEST_PAIRS:
        return None
    pairs = all(isinstance(item, list) and len(item) == 2 for item in value)
    if not pairs and len(value) < FEWEST_NUMBERS:
        return None
    places: list[Any] = [item[0] for item in value] if pairs else list(range(len(value)))
    heights = [item[1] for item in value] if pairs else value
    try:
        found = [Point(_number(x), _height(y)) for x, y in zip(places, heights, strict=True)]
    except (TypeError, OverflowError):
        return None
    known = sum(point.y is not None for point in found)
    return (found, pairs) if known >= FEWEST_PAIRS and known * 2 >= len(found) else None


def draw(points: Sequence[Point], *, pairs: bool) -> Plot:
    """The drawing of any points, also of none."""
    horizontal = Scale((point.x for point in points), tight=True, whole=not pairs)
    vertical = Scale(point.y for point in points if point.y is not None)
    shown = reduced(points)
    lines = [_path(stretch, horizontal, vertical) for stretch in _stretches(shown)]
    dots = [
        Dot(percent(horizontal.part(x)), percent(1 - vertical.part(y)), f"{plain(x)}: {plain(y)}")
        for x, y in (points if len(points) <= DOTTED else ())
        if y is not None
    ]
    x_ticks, y_ticks = horizontal.marks(), vertical.marks(upwards=True)
    gutter = round(max(len(tick.text) for tick in y_ticks) * LABEL_DIGIT) + 8
    return Plot(lines, dots, x_ticks, y_ticks, points, _summary(points, len(shown)), pairs, gutter)


def reduced(points: Sequence[Point]) -> Sequence[Point]:
    """At most ``MOST_POINTS`` points: of each stretch the least and the greatest, in their order."""
    if len(points) <= MOST_POINTS:
        return points
    found: list[Point] = []
    stretches = MOST_POINTS // 2
    for begin, end in pairwise(number * len(points) // stretches for number in range(stretches + 1)):
        known = [(point.y, place) for place, point in enumerate(points[begin:end], begin) if point.y is not None]
        places = {min(known)[1], max(known)[1]} if known else {begin}
        found += [points[place] for place in sorted(places)]
    return found


def plain(number: float) -> str:
    """A number as text: without the fraction of a whole one, and without the noise of binary fractions."""
    return f"{number:.0f}" if number == int(number) and abs(number) < 1e15 else f"{number:.12g}"


def short(number: float) -> str:
    """A number as text of few digits, unless it is a whole one."""
    return f"{number:,.0f}" if number == int(number) and abs(number) < 1e15 else f"{number:.6g}"


def _number(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError
    return float(value)


def _height(value: Any) -> float | None:
    return None if value is None or value in NON_FINITE else _number(value)


def _extent(low: float, high: float) -> tuple[float, float]:
    """The ends of an axis, which differ even if all values are the same."""
    if high / 2 - low / 2 > 0:
        return low, high
    pad = abs(low) * 0.1
    pad = pad if pad > 1e-300 else 1.0
    most = sys.float_info.max
    return max(low - pad, -most), min(high + pad, most)


def _round_step(least: float) -> float:
    """The first of 1, 2 and 5 times a power of ten that is not less than ``least``, or nearly so."""
    power = 10.0 ** math.floor(math.log10(least))
    return next(factor * power for factor in (1.0, 2.0, 5.0, 10.0) if factor * power >= least * (1 - EXACT))


def _stretches(points: Sequence[Point]) -> Iterator[list[tuple[float, float]]]:
    """The parts of the line between its gaps."""
    current: list[tuple[float, float]] = []
    for x, y in points:
        if y is not None:
            current.append((x, y))
        elif current:
            yield current
            current = []
    if current:
        yield current


def _path(stretch: list[tuple[float, float]], horizontal: Scale, vertical: Scale) -> str:
    """The points of one part; a single one is repeated, because a line of one point is not drawn."""
    doubled = stretch * 2 if len(stretch) == 1 else stretch
    return " ".join(f"{horizontal.part(x) * AREA:.1f},{(1 - vertical.part(y)) * AREA:.1f}" for x, y in doubled)


def _summary(points: Sequence[Point], shown: int) -> str:
    known = [point.y for point in points if point.y is not None]
    if not known:
        return "No numbers."
    gaps = len(points) - len(known)
    parts = [f"{len(points):,} values, from {short(min(known))} to {short(max(known))}"]
    parts += [f"{gaps:,} of them without a number"] if gaps else []
    parts += [f"drawn with the least and the greatest of each stretch, {shown:,} points"] if shown < len(points) else []
    return "; ".join(parts) + "."
