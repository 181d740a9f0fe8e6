"""What is to be drawn of the results, and the drawing, which is a process in the peers' environment."""

import json
import subprocess
from pathlib import Path
from typing import Any

from .report import figure_spread
from .results import Results
from .scenes import ALL
from .scenes.scene import Figure, Scene, Table
from .systems.system import PEERS, ROOT


def draw(results: Results, folder: Path) -> None:
    """One PNG for each table that has figures, in that folder; matplotlib is installed beside the peers."""
    told = json.dumps(pictures(results))
    command = [PEERS / "python", "-m", "bench.plots", folder.resolve()]
    subprocess.run(
        command, input=told, cwd=ROOT.parent, encoding="utf-8", stdout=subprocess.DEVNULL, timeout=120, check=True
    )


def pictures(results: Results) -> list[dict[str, Any]]:
    """As ``plots`` takes it."""
    tables = [(scene, table) for scene in ALL.values() for table in scene.tables]
    drawn = [_picture(results, scene, table) for scene, table in tables]
    return [one for one in drawn if one["panels"]]


def _picture(results: Results, scene: Scene, table: Table) -> dict[str, Any]:
    panels = [_panel(results, scene, figure) for figure in table.figures]
    return {"name": table.name, "title": f"{scene.title}", "panels": [panel for panel in panels if panel["bars"]]}


def _panel(results: Results, scene: Scene, figure: Figure) -> dict[str, Any]:
    way = "" if figure.better == "higher" else " (less is better)"
    bars = []
    for row in results.rows(scene.name):
        found = figure_spread(results, scene, row, figure)
        if found is not None:
            told = {"median": found.median, "low": found.low, "high": found.high}
            bars.append({"row": scene.row_title(row), "ours": row.startswith("pacifica"), **told})
    return {"title": f"{figure.title}{way}", "digits": figure.digits, "bars": bars}
