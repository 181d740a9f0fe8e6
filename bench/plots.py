"""Draws pictures of bars by matplotlib: ``python -m bench.plots FOLDER``, told on standard input what to draw.

It runs in the peers' environment, where matplotlib is, so it imports nothing of the harness. It is told a list of
``{"name", "title", "panels": [{"title", "bars": [{"row", "median", "low", "high", "ours"}]}]}``.
"""

import json
import sys
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

OURS, THEIRS, INK = "#1f6f8b", "#c3ccd3", "#333333"
COLUMNS = 2


def draw(picture: dict[str, Any], folder: Path) -> Path:
    """One PNG with a panel for each figure."""
    panels = picture["panels"]
    columns = min(COLUMNS, len(panels))
    lines = -(-len(panels) // columns)
    bars = max(len(panel["bars"]) for panel in panels)
    figure = Figure(figsize=(1.2 + 4.9 * columns, 0.5 + lines * (0.75 + 0.27 * bars)), layout="constrained")
    figure.suptitle(picture["title"], fontsize=11, color=INK)
    axes = list(figure.subplots(lines, columns, squeeze=False).flat)
    for panel, at in zip(panels, axes, strict=False):
        _panel(at, panel)
    for left in axes[len(panels) :]:
        left.set_visible(False)
    file = folder / f"{picture['name']}.png"
    figure.savefig(file, dpi=110, metadata={"Software": None})
    return file


def _panel(axes: Axes, panel: dict[str, Any]) -> None:
    bars = panel["bars"][::-1]
    labels, medians = [bar["row"] for bar in bars], [bar["median"] for bar in bars]
    spread = [[bar["median"] - bar["low"] for bar in bars], [bar["high"] - bar["median"] for bar in bars]]
    colors = [OURS if bar["ours"] else THEIRS for bar in bars]
    # A single round has no spread to show.
    whiskers = spread if any(map(any, spread)) else None
    axes.barh(labels, medians, color=colors, xerr=whiskers, error_kw={"ecolor": INK, "elinewidth": 0.9, "capsize": 2})
    widest = max(bar["high"] for bar in bars)
    for place, bar in enumerate(bars):
        digits = panel["digits"]
        axes.text(
            bar["high"] + 0.015 * widest, place, f"{bar['median']:,.{digits}f}", va="center", fontsize=8, color=INK
        )
    axes.set_xlim(0, widest * 1.16)
    axes.set_title(panel["title"], fontsize=9, color=INK, loc="left")
    axes.tick_params(labelsize=8, colors=INK, length=0)
    axes.set_xticks([])
    for side in ("top", "right", "bottom"):
        axes.spines[side].set_visible(False)


if __name__ == "__main__":
    mpl.use("agg")
    for told in json.load(sys.stdin):
        sys.stdout.write(f"{draw(told, Path(sys.argv[1]))}\n")
