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
    """The values of a figure over the rounds."""

    median: float
    low: float
    high: float


@dataclass(frozen=True)
class Comparison:
    """A ratio: ``figure`` of ``row`` to ``of_figure`` (the same, if empty) of the best of ``others``.

    ``goal`` is the least ratio that is wanted, or the greatest where lower is better; 0: none.
    """

    title: str
    row: str
    figure: str
    others: tuple[str, ...]
    of_figure: str = ""
    better: Better = "higher"
    goal: float = 0

    def met(self, ratio: float) -> bool:
        """Return whether the ratio reaches the goal."""
        return ratio >= self.goal if self.better == "higher" else ratio <= self.goal


def spread(values: Iterable[float]) -> Spread | None:
    """Return the spread; None without a value."""
    found = list(values)
    return Spread(median(found), min(found), max(found)) if found else None


def percentile(values: Sequence[float], percent: float) -> float:
    """Return the least value that at least so many percent do not exceed."""
    return sorted(values)[max(0, ceil(len(values) * percent / 100) - 1)]


def compare(results: Results, scene: str, wanted: Comparison) -> tuple[Spread, Sequence[str]] | None:
    """Return the ratios of the rounds in which both sides have a figure, and the best of the others in them."""
    ours = results.rounds(scene, wanted.row, wanted.figure)
    theirs = {row: results.rounds(scene, row, wanted.of_figure or wanted.figure) for row in wanted.others}
    best = {number: _best(theirs, number, wanted.better) for number in ours}
    pairs = [(value / found[1], found[0]) for number, value in ours.items() if (found := best[number])]
    ratio = spread(pair[0] for pair in pairs)
    return None if ratio is None else (ratio, list(dict.fromkeys(pair[1] for pair in pairs)))


def _best(rows: Mapping[str, Mapping[int, float]], number: int, better: Better) -> tuple[str, float] | None:
    found = [(row, rounds[number]) for row, rounds in rows.items() if number in rounds]
    choose = max if better == "higher" else min
    return choose(found, key=lambda pair: pair[1]) if found else None
