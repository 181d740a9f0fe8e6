"""The figures as Markdown, from the JSON alone."""

from collections.abc import Sequence
from pathlib import Path

from .results import Results
from .scenes import ALL
from .scenes.scene import Figure, Scene, Table
from .statistics import Spread, compare, spread

EMPTY = "–"


def write(results: Results, folder: Path) -> Path:
    """Write ``results.md`` beside the JSON, and return its path."""
    file = folder / "results.md"
    file.write_text(text(results), encoding="utf-8")
    return file


def text(results: Results) -> str:
    """Return the whole page."""
    attempted = {one.scene for one in (*results.records, *results.not_run)}
    scenes = [_scene(results, scene) for scene in ALL.values() if scene.name in attempted]
    return "\n\n".join(part for part in (_head(results), *scenes, _promises(results), _systems(results)) if part) + "\n"


def _head(results: Results) -> str:
    facts = results.facts
    machine = facts["machine"]
    servers = ", ".join(f"{name} {version}" for name, version in facts["servers"].items())
    rounds = max((record.round for record in results.records), default=0)
    hardware = f"{machine['cpu']}, {machine['cores']} cores, {machine['memory_gib']} GiB, Linux {machine['kernel']}"
    return (
        f"# Figures\n\nMeasured by `{facts['command']}` on {facts['date']}, commit {facts['commit'] or 'unknown'}; "
        f"{hardware}; {servers}; {facts['wrk']}.\nMedians of {rounds} round{'s' * (rounds != 1)}, with the least and "
        "the greatest value in parentheses. bench/README.md describes how each system is set up. All figures of all "
        "rounds: [results.json](results.json)."
    )


def _scene(results: Results, scene: Scene) -> str:
    parts = [f"## {scene.title}"]
    parts += [_table(results, scene, table) for table in scene.tables]
    parts += [_comparisons(results, scene), _losses(results, scene), _not_run(results, scene)]
    return "\n\n".join(part for part in parts if part)


def _table(results: Results, scene: Scene, table: Table) -> str:
    rows = []
    for row in results.rows(scene.name):
        cells = [_cell(spread(results.rounds(scene.name, row, one.name).values()), one) for one in table.figures]
        if any(cell != EMPTY for cell in cells):
            rows.append([scene.row_title(row), *cells])
    shown = _markdown(["", *(figure.title for figure in table.figures)], rows)
    return shown and f"{table.title}:\n\n{shown}"


def _cell(found: Spread | None, figure: Figure) -> str:
    if found is None:
        return EMPTY
    median, low, high = (f"{value:,.{figure.digits}f}" for value in (found.median, found.low, found.high))
    return median if low == high else f"{median} ({low}–{high})"


def _comparisons(results: Results, scene: Scene) -> str:
    rows = []
    for wanted in scene.comparisons:
        if found := compare(results, scene.name, wanted):
            ratio, best = found
            goal = f"{'≥' if wanted.better == 'higher' else '≤'} {wanted.goal:g}" if wanted.goal else EMPTY
            met = ("met" if wanted.met(ratio.median) else "missed") if wanted.goal else ""
            cell = _cell(ratio, Figure("", "", 2))
            others = ", ".join(map(scene.row_title, best))
            rows.append([wanted.title, scene.row_title(wanted.row), cell, goal, met, others])
    shown = _markdown(["", "of", "ratio", "goal", "", "to the best of the others, which was"], rows)
    return shown and f"Ratios, calculated in each round, and their median:\n\n{shown}"


def _losses(results: Results, scene: Scene) -> str:
    """Requests that failed under load. A job that was accepted and does not end makes its system fail instead."""
    lines = []
    for row in results.rows(scene.name):
        for figure, words in (("refused", "requests were refused"), ("broken", "connections failed or timed out")):
            if number := sum(results.rounds(scene.name, row, figure).values()):
                lines.append(f"- {scene.row_title(row)}: {number:g} {words}")
    return (lines and "Under load:\n\n" + "\n".join(lines)) or ""


def _not_run(results: Results, scene: Scene) -> str:
    reasons: dict[tuple[str, str, bool], list[int]] = {}
    for one in results.not_run:
        if one.scene == scene.name:
            reasons.setdefault((one.row, one.reason.partition("\n")[0], one.failed), []).append(one.round)
    lines = []
    for (row, reason, failed), rounds in reasons.items():
        how = "failed" if failed else "not run"
        lines.append(f"- {scene.row_title(row)}: {how} in round {', '.join(map(str, rounds))}: {reason}")
    return (lines and "Without figures:\n\n" + "\n".join(lines)) or ""


def _promises(results: Results) -> str:
    found = results.facts["systems"].values()
    rows = [[one["title"], *one["promises"].values()] for one in found if "promises" in one]
    head = ["", "on record when the client has the id", "killed worker's job", "history", "arguments checked"]
    shown = _markdown(head, rows)
    return shown and f"## The promises of each system\n\n{shown}"


def _systems(results: Results) -> str:
    rows = []
    for one in results.facts["systems"].values():
        versions = ", ".join(f"{name} {version}" for name, version in one.get("versions", {}).items())
        rows.append([one["title"], versions or EMPTY, one["logs"]])
    shown = _markdown(["", "versions", "logs"], rows)
    return shown and f"## Versions, and what is logged\n\n{shown}"


def _markdown(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    if not rows:
        return ""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)
