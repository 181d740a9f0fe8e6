"""Figures as Markdown, from the JSON alone."""

from collections.abc import Collection, Iterable, Sequence
from pathlib import Path

from .results import Results
from .scenes import ALL
from .scenes.scene import Figure, Scene, Table
from .statistics import Spread, compare, spread

NONE = "–"


def write(results: Results, folder: Path) -> Path:
    """Write ``results.md`` beside the JSON; plots that are there are shown in it."""
    made = folder / "results.md"
    made.write_text(text(results, {plot.stem for plot in folder.glob("*.png")}), encoding="utf-8")
    return made


def text(
    results: Results,
    plots: Collection[str] = (),
    scenes: Iterable[Scene] = tuple(ALL.values()),
    title: str = "Figures",
    raw: str = "results.json",
) -> str:
    """The whole page; ``plots`` are the names of the tables that are drawn, ``raw`` is the JSON's name."""
    tried = {one.scene for one in (*results.records, *results.not_run)}
    shown = [_scene(results, scene, plots) for scene in scenes if scene.name in tried]
    parts = [_head(results, title, raw), *shown, _systems(results)]
    return "\n\n".join(part for part in parts if part) + "\n"


def _head(results: Results, title: str, raw: str) -> str:
    facts = results.facts
    machine = facts["machine"]
    servers = ", ".join(f"{name} {version}" for name, version in facts["servers"].items())
    rounds = max((record.round for record in results.records), default=0)
    hardware = f"{machine['cpu']}, {machine['cores']} cores, {machine['memory_gib']} GiB, Linux {machine['kernel']}"
    medians = f"Medians of {rounds} round{'s' * (rounds != 1)}, with the least and the greatest in parentheses."
    return (
        f"# {title}\n\n"
        f"Made by `{facts['command']}` on {facts['date']}, commit {facts['commit'] or 'unknown'}; "
        f"{hardware}; {servers}; {facts['wrk']}.\n{medians} "
        f"How each system is set up: [README.md](../README.md). All raw figures: [{raw}]({raw})."
    )


def _scene(results: Results, scene: Scene, plots: Collection[str]) -> str:
    parts = [f"## {scene.title}", scene.note]
    for table in scene.tables:
        shown = _table(results, scene, table)
        if shown:
            parts.append(f"{table.title}:\n\n{shown}")
            if table.name in plots:
                parts.append(f"![{table.title}]({table.name}.png)")
    parts += [_comparisons(results, scene), _losses(results, scene), _not_run(results, scene)]
    return "\n\n".join(part for part in parts if part)


def _table(results: Results, scene: Scene, table: Table) -> str:
    rows = []
    for row in ordered(results, scene):
        found = [figure_spread(results, scene, row, figure) for figure in table.figures]
        if any(found):
            shown = [cell(one, figure) for one, figure in zip(found, table.figures, strict=True)]
            rows.append([scene.row_title(row), *shown])
    return _markdown(["", *(figure.title for figure in table.figures)], rows)


def ordered(results: Results, scene: Scene) -> list[str]:
    """The scene's rows as they were measured first, which round 1 does in the order of their definition."""
    return results.rows(scene.name)


def figure_spread(results: Results, scene: Scene, row: str, figure: Figure) -> Spread | None:
    """Over the rounds."""
    return spread(results.rounds(scene.name, row, figure.name).values())


def cell(found: Spread | None, figure: Figure) -> str:
    """Median and spread, as a reader is shown them."""
    if found is None:
        return NONE
    median, low, high = (f"{value:,.{figure.digits}f}" for value in (found.median, found.low, found.high))
    return median if low == high else f"{median} ({low}–{high})"


def _comparisons(results: Results, scene: Scene) -> str:
    rows = []
    for wanted in scene.comparisons:
        found = compare(results, scene.name, wanted)
        if found is not None:
            sign = "≥" if wanted.better == "higher" else "≤"
            ratio = cell(found.ratio, Figure("", "", digits=2))
            best = ", ".join(map(scene.row_title, found.best))
            rows.append([wanted.title, ratio, f"{sign} {wanted.bound:g}", "yes" if found.reached else "no", best])
    told = "Ratios, taken in each round, and their median:\n\n"
    return (rows and told + _markdown(["", "ratio", "goal", "reached", "beside"], rows)) or ""


def _losses(results: Results, scene: Scene) -> str:
    """What went wrong under load; a job that was accepted and did not end makes its system fail, and is told there."""
    told = []
    for row in results.rows(scene.name):
        for figure, words in (("refused", "requests were refused"), ("broken", "connections failed or timed out")):
            number = sum(results.rounds(scene.name, row, figure).values())
            if number:
                told.append(f"- {scene.row_title(row)}: {number:g} {words}")
    return "Under load:\n\n" + "\n".join(told) if told else ""


def _not_run(results: Results, scene: Scene) -> str:
    reasons: dict[tuple[str, str, bool], list[int]] = {}
    for one in results.not_run:
        if one.scene == scene.name:
            reasons.setdefault((one.row, one.reason.partition("\n")[0], one.failed), []).append(one.round)
    told = []
    for (row, reason, failed), rounds in reasons.items():
        how = "failed" if failed else "not run"
        told.append(f"- {scene.row_title(row)}: {how} in round {', '.join(map(str, rounds))}: {reason}")
    return "Without figures:\n\n" + "\n".join(told) if told else ""


def _systems(results: Results) -> str:
    rows = []
    for one in results.facts["systems"].values():
        versions = ", ".join(f"{name} {version}" for name, version in one.get("versions", {}).items())
        rows.append([one["title"], versions or NONE, one["logs"]])
    return "## Versions, and what is logged\n\n" + _markdown(["", "versions", "logs"], rows) if rows else ""


def _markdown(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    if not rows:
        return ""
    lines = [head, ["---", *(["---"] * (len(head) - 1))], *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)
