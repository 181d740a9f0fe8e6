"""The catalogue: each task with its first sentence, its arguments, and how its jobs of the last day went."""

from collections.abc import Mapping
from dataclasses import dataclass

from markupsafe import Markup

from ..core.permissions import DISPATCH
from ..core.registry import Registry, TaskSpec
from ..web.request.request_context import caller
from . import rendering
from .docstring import parsed
from .form_words import signature
from .task_call import EXTRA, form_of
from .task_figures import TaskFigures

FILTERED = 10
"""With more tasks than this, the page has a box that filters them."""
CODE, PLAIN = Markup("<code>{}</code>"), Markup("{}")


@dataclass(frozen=True, slots=True)
class TaskLine:
    """A task in the catalogue."""

    name: str
    sentence: str
    arguments: list[tuple[str, str]]
    allowed: bool
    figures: TaskFigures | None


def page(registry: Registry, known: Mapping[str, TaskFigures], wanted: str) -> bytes:
    """Show the tasks whose name or first sentence contains the text, with the figures that are known."""
    lines = [_line(spec, known.get(spec.name)) for spec in registry.values()]
    low = wanted.strip().lower()
    shown = [one for one in lines if low in f"{one.name} {one.sentence}".lower()]
    return rendering.page(
        "tasks.html",
        prose=prose,
        tasks=shown,
        total=len(lines),
        wanted=wanted,
        filtered=len(lines) > FILTERED,
        any_figures=known,
        unusable=sorted(registry.unusable),
    )


def prose(text: str) -> Markup:
    """The text of a docstring, with what stands between double backticks as code."""
    parts = ((CODE if place % 2 else PLAIN).format(part) for place, part in enumerate(text.split("``")))
    return Markup("").join(parts)


def _line(spec: TaskSpec, known: TaskFigures | None) -> TaskLine:
    form = form_of(spec)
    stars = {form.rest: "*"}
    arguments = [(stars.get(node.key, "") + node.key, signature(node)) for node in form.nodes if node.key != EXTRA]
    arguments += [("**", "further arguments by name") for node in form.nodes if node.key == EXTRA]
    return TaskLine(spec.name, parsed(spec.doc).first_sentence, arguments, caller().may(DISPATCH, spec.name), known)
