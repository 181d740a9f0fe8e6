"""The timeline of a job: when it waited and when it ran, drawn to scale, from the events of its history."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from ..core.job import FINAL, Event, Job, State
from ..store.committed_event import LOST, REPLACED, RETURNED
from .rendering import MARKS, duration
from .value_plot import percent

SECOND = 1_000_000
"""Microseconds."""
MOST_SPANS = 200
"""At most so many of the latest spans are drawn."""
NARROWEST = 0.003
"""The least part of the drawing that a span has, so that it can be seen."""
LABELLED = 0.05
"""A span with at least this part of the drawing has its mark within it."""
SCHEDULED, WAITING, ATTEMPT = "scheduled", "waiting", "attempt"
SHORT = [factor * 10.0**power for power in range(-3, 1) for factor in (1, 2, 5)]
STEPS = [*SHORT, 10.0, 15.0, 30.0, *(60.0 * minutes for minutes in (1, 2, 5, 10, 15, 30, 60, 120, 240, 360, 720))]
"""The distances between marks, in seconds; longer ones are whole days."""
DAY = 86_400.0
UNITS = (("d", DAY), ("h", 3600.0), ("min", 60.0), ("s", 1.0), ("ms", 0.001))
ENDS = {LOST: "lost", RETURNED: "returned", REPLACED: "replaced", State.RETRY: "retry"}
"""How the attempt ended after which the job waits again."""
WORDS = {
    "lost": "its worker was lost",
    "returned": "given back before it began",
    "replaced": "replaced by another task",
}
SHAPES = {"lost": "!", "returned": "←", "replaced": "→"}


class Span(NamedTuple):
    """A part of a job's life, in microseconds since 1970; ``outcome`` and ``number`` are those of an attempt."""

    kind: str
    start: int
    end: int
    outcome: str = ""
    number: int = 0
    worker: str = ""


class Bar(NamedTuple):
    """A drawn span: where it begins and how wide it is, and the words for it."""

    x: str
    width: str
    style: str
    mark: str
    title: str


class TimeMark(NamedTuple):
    at: str
    text: str
    anchor: str


class Timeline(NamedTuple):
    """The drawing, with the sums of the time in which the job waited and ran, in seconds."""

    bars: Sequence[Bar]
    marks: Sequence[TimeMark]
    waited: float
    ran: float
    left_out: int


def timeline(job: Job, events: Sequence[Event], at: int) -> Timeline:
    """The timeline of a job at this time."""
    spans = list(_spans(job, events, at))
    waited = sum(span.end - span.start for span in spans if span.kind == WAITING) / SECOND
    ran = sum(span.end - span.start for span in spans if span.kind == ATTEMPT) / SECOND
    shown = spans[-MOST_SPANS:]
    if not shown:
        return Timeline((), (), waited, ran, 0)
    begin, whole = shown[0].start, max(1, shown[-1].end - shown[0].start)
    bars = [_bar(span, (span.start - begin) / whole, (span.end - span.start) / whole) for span in shown]
    return Timeline(bars, _marks(whole / SECOND), waited, ran, len(spans) - len(shown))


def _spans(job: Job, events: Sequence[Event], at: int) -> Iterator[Span]:
    """The spans, each of which begins where the last one ended; the events of an old history may be missing."""
    start, until, attempt = job.created, job.eta if job.attempt <= 1 and not job.retries else None, None
    for event in events:
        ended = event.kind in FINAL or event.kind in ENDS
        if attempt is None and (event.kind == State.STARTED or event.kind in FINAL):
            yield from _waits(start, until, event.at)
        elif attempt is not None and ended:
            yield attempt._replace(end=event.at, outcome=ENDS.get(event.kind, event.kind.lower()))
        if event.kind in FINAL:
            return
        if event.kind == State.STARTED:
            number, worker = event.data.get("attempt", 0), event.data.get("worker") or ""
            attempt, start = Span(ATTEMPT, event.at, at, "started", number, worker), event.at
        elif ended:
            attempt, start, until = None, event.at, event.data.get("eta")
    if attempt is not None:
        yield attempt._replace(end=max(at, attempt.start))
    else:
        yield from _waits(start, until, max(at, start))


def _waits(start: int, until: int | None, end: int) -> Iterator[Span]:
    """The time until a job may start, and the time until it has."""
    middle = start if until is None else min(max(until, start), end)
    if middle > start:
        yield Span(SCHEDULED, start, middle)
    if end > middle:
        yield Span(WAITING, middle, end)


def _bar(span: Span, begin: float, part: float) -> Bar:
    width = max(part, NARROWEST)
    style = span.kind if span.kind != ATTEMPT else f"attempt {span.outcome}"
    mark = SHAPES.get(span.outcome) or MARKS.get(span.outcome.upper(), "")
    return Bar(percent(min(begin, 1 - width)), percent(width), style, mark if width >= LABELLED else "", _title(span))


def _title(span: Span) -> str:
    length = duration((span.end - span.start) / SECOND)
    if span.kind == SCHEDULED:
        return f"Not before its time: {length}"
    if span.kind == WAITING:
        return f"Waiting for a worker: {length}"
    outcome = WORDS.get(span.outcome, span.outcome)
    worker = f", {span.worker}" if span.worker else ""
    return f"Attempt {span.number}: {outcome}, {length}{worker}"


def _marks(whole: float) -> list[TimeMark]:
    """Marks at round times since the beginning, about five of them."""
    least = whole / 5
    step = next((each for each in STEPS if each >= least), -(-least // DAY) * DAY)
    found = []
    for number in range(int(whole / step) + 1):
        part = number * step / whole
        anchor = "start" if number == 0 else "end" if part > 0.93 else "middle"
        found.append(TimeMark(percent(part), mark_text(number * step, step, whole), anchor))
    return found


def mark_text(seconds: float, step: float, whole: float) -> str:
    """A time since the beginning, in the unit of the steps; below a second that of the whole."""
    length = step if step >= 1 or whole < 1 else 1.0
    unit, size = next(((name, size) for name, size in UNITS if length >= size), UNITS[-1])
    return f"{seconds / size:.10g} {unit}" if seconds else "0"
