"""Draws pictures of bars by matplotlib: ``python -m bench.plots FOLDER``, told on standard input what to draw.

It runs in the peers' environment, where matplotlib is, so it imports nothing of the harness. It is told a list of
``{"name", "title", "panels": [{"title", "bars": [{"row", "median", "low", "high", "ours"}]}]}``.
"""

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image

OURS, THEIRS, INK = "#1f6f8b", "#c3ccd3", "#333333"
COLUMNS = 2


def draw(picture: dict[str, Any], folder: Path) -> Path:
    """One PNG with a panel for each figure."""
    panels = picture["panels"]
    columns = min(COLUMNS, len(panels))
    lines = -(-len(panels) // columns)
    bars = max(len(panel["bars"]) for panel in panels)
    figure = Figure(dpi=110, figsize=(2.6 + 3.7 * columns, 0.5 + lines * (0.75 + 0.27 * bars)), layout="constrained")
    figure.suptitle(picture["title"], fontsize=11, color=INK)
    axes = list(figure.subplots(lines, columns, squeeze=False).flat)
    for number, (panel, at) in enumerate(zip(panels, axes, strict=False)):
        _panel(at, panel)
        if number % columns and _rows(panel) == _rows(panels[number - 1]):
            at.set_yticklabels([])
    for left in axes[len(panels) :]:
        left.set_visible(False)
    file = folder / f"{picture['name']}.png"
    # A palette makes it a quarter of the size.
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    Image.fromarray(np.asarray(canvas.buffer_rgba())).convert("RGB").quantize(32).save(file, optimize=True)
    return file


def _rows(panel: dict[str, Any]) -> list[str]:
    return [bar["row"] for bar in panel["bars"]]


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
    for told in json.load(sys.stdin):
        sys.stdout.write(f"{draw(told, Path(sys.argv[1]))}\n")
