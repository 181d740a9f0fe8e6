"""``doctor --adopt``: how the service sees the tasks of an existing Celery application; it connects to nothing."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from ....adoption import AdoptedApp, is_named, name_of, take_over
from ....adoption.adoption_report import AdoptionReport, report_on
from ....adoption.application_notes import PartNote
from ....adoption.task_notes import NOTE_KINDS, TaskReport
from ....config.load import Sources, find_sources, load_settings
from ....container import Container
from ...exit_codes import CommandFailed, Exit
from ...output import print_json
from ...signature_text import signature, type_name
from .checks import StageVerdict, arrow, mark, print_folded

NOT_SET = """\
The configuration adopts no Celery application. Write into config.ini:

[dispatcher]
adopt = shop.celery:app

This names the module and the Celery application in it, as `celery -A` does. For tasks of @shared_task without an
application, write their module: tasks = shop.tasks"""
INDENT = " " * 4


def adoption_report(config: Path | None) -> AdoptionReport:
    """Import what a server imports that starts here; raises ``ConfigError``, and ``CommandFailed`` without tasks."""
    return _report(Container(lambda: load_settings(config)))


def report_of(app: Any) -> AdoptionReport:
    """The report on the application of Celery's command line, also if no configuration adopts it yet."""
    if hasattr(app, "container"):
        if isinstance(app, AdoptedApp):
            take_over(app, app.container, imports=True)
        return _report(app.container)
    sources = find_sources()
    if is_named(app, sources.names("dispatcher", "adopt")):
        return _report(Container(sources.settings))
    container = Container(Sources(None, "", {}).settings)
    container.app = take_over(app, container, imports=True)
    text = f"No configuration adopts this application yet. Write into {sources.name} of the working directory:"
    note = PartNote("adopt", text, f"[dispatcher] adopt = {name_of(app)}", must=True)
    report = report_on(container.app, container.registry, container.settings)
    return replace(report, parts=[note, *report.parts])


def _report(container: Container) -> AdoptionReport:
    report = report_on(container.app, container.registry, container.settings)
    if not report.tasks and not container.settings.dispatcher.adopt:
        raise CommandFailed(NOT_SET)
    return report


def show_report(report: AdoptionReport, *, as_json: bool) -> Exit:
    """Print the report; returns the exit code, which says whether something must be done."""
    if as_json:
        print_json(_document(report))
    else:
        _show(report)
    return Exit.FAILED if report.to_do else Exit.SUCCESS


def _document(report: AdoptionReport) -> dict[str, Any]:
    kinds = {kind for task in report.tasks for kind in task.notes}
    return {
        "ok": not report.to_do,
        "to_do": report.to_do,
        "parts": [note._asdict() for note in report.parts],
        "tasks": [vars(task) for task in report.tasks],
        "notes": {kind: note._asdict() for kind, note in NOTE_KINDS.items() if kind in kinds},
    }


def _show(report: AdoptionReport) -> None:
    for part in report.parts:
        _show_part(part)
    counts = Counter(kind for task in report.tasks for kind in task.notes)
    number = len(report.tasks)
    typed = sum(not task.untyped and bool(task.place) for task in report.tasks)
    click.echo()
    print_folded(f"{_tasks(number)}, {typed} of them with a usable type for each parameter:")
    every = [kind for kind in NOTE_KINDS if number > 1 and counts[kind] == number]
    for task in report.tasks:
        _show_task(task, every)
    for kind in NOTE_KINDS:
        if counts[kind]:
            whose = "each task" if kind in every else _tasks(counts[kind])
            click.echo()
            print_folded(f"{kind} ({whose}): {NOTE_KINDS[kind].text}", INDENT, {kind: click.style(kind, bold=True)})
            _advise(NOTE_KINDS[kind].advice, INDENT)
    click.echo()
    print_folded(f"Something must be done: {', '.join(report.to_do)}." if report.to_do else "Nothing must be done.")


def _tasks(number: int) -> str:
    return f"{number} task{'s' * (number != 1)}"


def _show_part(part: PartNote) -> None:
    sign, colour = mark(StageVerdict.FAILED if part.must else StageVerdict.REMARK if part.advice else StageVerdict.OK)
    indent = " " * 13
    print_folded(f"{sign} {part.part:10} {part.text}", indent, {sign: click.style(sign, fg=colour)})
    _advise(part.advice, indent)


def _show_task(task: TaskReport, every: Sequence[str]) -> None:
    text = f"{task.name}({signature(task.arguments)}) -> {type_name(task.result)}"
    print_folded(text, INDENT, {task.name: click.style(task.name, bold=True)})
    notes = [
        f"{kind}: {detail}" if detail else kind for kind, detail in task.notes.items() if detail or kind not in every
    ]
    if notes:
        print_folded(f"{INDENT}{'; '.join(notes)}", INDENT * 2)


def _advise(advice: str, indent: str) -> None:
    if advice:
        print_folded(f"{indent}{arrow()} {advice}", f"{indent}  ")
