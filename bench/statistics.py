"""Medians with their spread, and ratios between rows of the same round."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import ceil
from statistics import median
from typing import Literal

from .results import Results

Better = Literal["higher", "lower"]


@dataclass(frozen=True)
class Spread:
    """Of one figure over the rounds."""

    median: float
    low: float
    high: float


@dataclass(frozen=True)
class Comparison:
    """A ratio that was set as a goal: ``row``'s ``figure`` against ``of_figure`` of ``others``, the best of them.

    With ``better`` = "higher" the ratio is to be at least ``bound``, else at most.
    """

    title: str
    row: str
    figure: str
    others: tuple[str, ...]
    of_figure: str
    bound: float
    better: Better = "higher"


@dataclass(frozen=True)
class Compared:
    """The outcome; ``best`` is who was the best of the others, in each round."""

    ratio: Spread
    best: tuple[str, ...]
    reached: bool


def spread(values: Iterable[float]) -> Spread | None:
    """None where there is no value."""
    found = list(values)
    return Spread(median(found), min(found), max(found)) if found else None


def percentile(values: Sequence[float], percent: float) -> float:
    """The least value that at least so many percent do not exceed."""
    return sorted(values)[max(0, ceil(len(values) * percent / 100) - 1)]


def compare(results: Results, scene: str, wanted: Comparison) -> Compared | None:
    """Ratios are taken in each round, in which all ran side by side, and then their median; None without a figure."""
    ours = results.rounds(scene, wanted.row, wanted.figure)
    theirs = {row: results.rounds(scene, row, wanted.of_figure) for row in wanted.others}
    best = {number: _best(theirs, number, wanted.better) for number in ours}
    pairs = [(value / found[1], found[0]) for number, value in ours.items() if (found := best[number])]
    ratio = spread(pair[0] for pair in pairs)
    if ratio is None:
        return None
    reached = ratio.median >= wanted.bound if wanted.better == "higher" else ratio.median <= wanted.bound
    return Compared(ratio, tuple(dict.fromkeys(pair[1] for pair in pairs)), reached)


def _best(rows: Mapping[str, Mapping[int, float]], number: int, better: Better) -> tuple[str, float] | None:
    there = [(row, rounds[number]) for row, rounds in rows.items() if number in rounds]
    choose = max if better == "higher" else min
    return choose(there, key=lambda pair: pair[1]) if there else None
