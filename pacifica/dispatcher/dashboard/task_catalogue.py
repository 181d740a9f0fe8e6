"""The catalogue: each task with its first sentence, its arguments, and how its jobs of the last day went."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

from markupsafe import Markup

from ..core.permissions import DISPATCH
from ..core.registry import TaskSpec
from ..service.verbs import Service
from ..web.request.request_context import caller
from . import rendering
from .form_words import signature
from .task_call import EXTRA, form_of

FILTERED = 10
"""With more tasks than this, the page has a box that filters them."""
CODE, PLAIN = Markup("<code>{}</code>"), Markup("{}")
_SENTENCE = re.compile(r"(.+?[.!?])(?=\s+[A-Z\"'(`]|\s*$)", re.DOTALL)


class TaskFigures(NamedTuple):
    """The ended jobs of a task within a day: their number, the share that failed, and run times in seconds."""

    jobs: int
    failed: float
    median: float | None
    slow: float | None

    @property
    def failed_share(self) -> str:
        """The share that failed, in percent; it is rounded to 0 or 100 only if it is exact."""
        percent = 100 * self.failed
        return f"{percent:.0f} %" if percent in {0, 100} or 1 <= percent <= 99 else "< 1 %" if percent < 1 else "> 99 %"


@dataclass(frozen=True, slots=True)
class TaskLine:
    """A task in the catalogue."""

    name: str
    sentence: str
    arguments: list[tuple[str, str]]
    allowed: bool
    figures: TaskFigures | None


def page(service: Service, wanted: str) -> bytes:
    """Show the tasks whose name or first sentence contains the text."""
    known = figures(service)
    lines = [_line(spec, known.get(spec.name)) for spec in service.registry.values()]
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
    )


def figures(service: Service) -> Mapping[str, TaskFigures]:
    """The figures of each task that has ended jobs, as far as this caller may see them."""
    del service
    return {}


def first_sentence(doc: str) -> str:
    """The first sentence of a docstring, on one line; at most its first paragraph."""
    paragraph = " ".join(doc.partition("\n\n")[0].split())
    found = _SENTENCE.match(paragraph)
    return found[1] if found else paragraph


def prose(text: str) -> Markup:
    """The text of a docstring, with what stands between double backticks as code."""
    parts = ((CODE if place % 2 else PLAIN).format(part) for place, part in enumerate(text.split("``")))
    return Markup("").join(parts)


def _line(spec: TaskSpec, known: TaskFigures | None) -> TaskLine:
    form = form_of(spec)
    stars = {form.rest: "*", EXTRA: "**"}
    arguments = [(stars.get(node.key, "") + node.key.replace(EXTRA, "…"), signature(node)) for node in form.nodes]
    return TaskLine(spec.name, first_sentence(spec.doc), arguments, caller().may(DISPATCH, spec.name), known)
