"""How a job of an adopted task differs from its run under Celery alone, in words for people."""

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from celery import Task

from ..core.lenient_signature import MISSING, RESULT
from ..core.signature_faults import place_of
from ..worker.adopted_spec import AdoptedSpec
from ..worker.task_modules import shown_path


class NoteKind(NamedTuple):
    """The meaning of a kind of note, and the next step; ``must``: without that step, something is lost."""

    text: str
    advice: str = ""
    must: bool = False


UNUSABLE, SERIALIZER, UNTYPED, ONCE, AGAIN, NO_RESULT, RATE, PRIORITY, BYPASSED = (
    "cannot be dispatched",
    "serializer",
    "any JSON",
    "at most once",
    "starts again",
    "no result",
    "rate limit",
    "priority",
    "bypassed",
)
NOTE_KINDS: Mapping[str, NoteKind] = {
    UNUSABLE: NoteKind("The task is not offered.", "Correct the task, or leave it out with adopt_only.", must=True),
    SERIALIZER: NoteKind(
        "The task asks for a serializer other than JSON. Such a message of a program without the dispatcher is refused "
        "and logged; its content is never loaded.",
        "Remove the serializer, and set task_serializer = 'json' in the programs that send the task.",
        must=True,
    ),
    UNTYPED: NoteKind(
        "These parameters take any JSON value; only their number and their names are checked.",
        "Annotate them to have requests over HTTP checked, and to get forms and descriptions with types.",
    ),
    ONCE: NoteKind(
        "If the worker dies, the job ends as FAILURE, and nothing runs twice: the task acknowledges early, which is "
        "Celery's default.",
        "Set acks_late=True on tasks that may run twice; they then start again after a lost worker.",
    ),
    AGAIN: NoteKind(
        "The task acknowledges late: if its worker dies, the job starts again, until [dispatcher] max_attempts.",
    ),
    NO_RESULT: NoteKind(
        "The job's state is recorded, and its result is null: the task has ignore_result.",
        "Remove ignore_result to see results.",
    ),
    RATE: NoteKind("Celery limits each worker, as before."),
    PRIORITY: NoteKind(
        "Jobs of a higher number go first, from 0 to 9, with each broker. With Redis, Celery alone serves 0 first."
    ),
    BYPASSED: NoteKind(
        "These methods of the task's classes are not used, because the dispatcher has its own; __call__, apply_async "
        "and the hooks run as before.",
        "Move their code into hooks, such as before_start or after_return.",
    ),
}
"""Each kind of note by the words that name it."""


@dataclass(frozen=True)
class TaskReport:
    """One adopted task; ``notes`` has a detail, which may be empty, for each kind of ``NOTE_KINDS`` that applies."""

    name: str
    place: str
    arguments: Mapping[str, Any]
    result: Mapping[str, Any]
    untyped: Mapping[str, str]
    notes: Mapping[str, str]


def report_on_task(task: Task, spec: AdoptedSpec) -> TaskReport:
    """The report on a task with a usable name."""
    return TaskReport(
        spec.name,
        shown_path(place_of(task.run)),
        spec.arguments_schema(),
        spec.result_schema(),
        spec.untyped,
        dict(_notes(task, spec)),
    )


def unusable_task(task: Task, sentence: str) -> TaskReport:
    """The report on a task that cannot be offered."""
    return TaskReport(task.name, shown_path(place_of(task.run)), {}, {}, {}, {UNUSABLE: sentence})


def _notes(task: Task, spec: AdoptedSpec) -> Iterator[tuple[str, str]]:
    asked = spec.asked
    if asked.serializer != "json":
        yield SERIALIZER, asked.serializer
    if spec.untyped:
        yield UNTYPED, _by_reason(spec.untyped)
    yield (AGAIN if asked.acks_late else ONCE), ""
    if asked.ignore_result:
        yield NO_RESULT, ""
    if task.rate_limit:
        yield RATE, str(task.rate_limit)
    if task.priority is not None:
        yield PRIORITY, str(task.priority)
    if asked.bypassed:
        yield BYPASSED, ", ".join(asked.bypassed)


def _by_reason(untyped: Mapping[str, str]) -> str:
    """The parameters, those with one reason together: ``x, y (no annotation); scan (…)``."""
    found: dict[str, list[str]] = defaultdict(list)
    for name, reason in untyped.items():
        found["no annotation" if reason == MISSING else reason].append("the result" if name == RESULT else name)
    return "; ".join(f"{', '.join(names)} ({reason})" for reason, names in found.items())
