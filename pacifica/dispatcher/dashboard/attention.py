"""The things that need attention, in words, and the next step for each."""

import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from ..monitoring.health import DEGRADED, OK, UNAVAILABLE, UNKNOWN, Part, ReadinessReport
from .rendering import count, duration

DOCTOR = "pacifica-dispatcher-cmd doctor"
START_WORKER = "celery -A pacifica.dispatcher.tasks worker"
_SECONDS = re.compile(r"([0-9]+) seconds")
NAMES: Mapping[str, str] = {
    "database": "database",
    "broker": "broker",
    "schema": "tables",
    "outbox": "waiting jobs",
    "workers": "workers",
    "tasks": "tasks",
}


@dataclass(frozen=True)
class Remedy:
    """A sentence on what to do next, and the command for it."""

    text: str
    command: str = ""


REMEDIES: Mapping[str, Remedy] = {
    "database": Remedy("No job is accepted meanwhile. See whether the database runs and can be reached.", DOCTOR),
    "broker": Remedy("Accepted jobs are kept and wait for the broker. See whether it runs and can be reached.", DOCTOR),
    "schema": Remedy("Bring the tables to the version of this service.", "pacifica-dispatcher-cmd dbsync"),
    "outbox": Remedy("No job is lost. See whether the broker and the workers run.", DOCTOR),
    "workers": Remedy("Start a worker.", START_WORKER),
    "tasks": Remedy(
        "All other tasks run. Correct the module, and start the server and the workers again.", f"{DOCTOR} --adopt"
    ),
}
NO_WORKER_HAS_TASK = Remedy(
    "Start a worker that has the module of this task (setting [dispatcher] tasks), or restart those with an old one."
)


@dataclass(frozen=True)
class Concern:
    """One thing that is wrong: its verdict, sentences that may be empty, and the remedy."""

    verdict: str
    text: str
    remedy: Remedy


@dataclass(frozen=True)
class ServiceVerdict:
    """The answer to whether anything is wrong."""

    verdict: str
    headline: str
    concerns: Sequence[Concern]
    parts: Mapping[str, Part]


def judge(
    report: ReadinessReport,
    lacking: Sequence[tuple[str, int]],
    failed: int,
    *,
    unserved: Sequence[tuple[str, int]] = (),
    own: bool = False,
) -> ServiceVerdict:
    """The verdict on the service; ``failed`` are the failures of an hour.

    ``lacking`` are tasks that no worker has, and ``unserved`` queues, each with the number of its waiting jobs.
    ``own``: all these jobs are those of the caller.
    """
    concerns = [*_of_parts(report), *(_of_task(*each) for each in lacking), *(_of_queue(*each) for each in unserved)]
    unsure = UNKNOWN if UNKNOWN in {part.verdict for part in report.parts.values()} else OK
    verdict = report.verdict if report.verdict != OK else DEGRADED if concerns or failed else unsure
    headline = _headline(report, concerns, _failures(failed, own))
    return ServiceVerdict(
        verdict,
        headline,
        [replace(concern, text=_without(headline, concern.text)) for concern in concerns],
        {NAMES[name]: each for name, each in report.parts.items()},
    )


def _of_parts(report: ReadinessReport) -> Iterator[Concern]:
    """The parts that are at fault, the worst first; a sentence that two parts share, once.

    Jobs that wait because no worker is alive are named with the workers.
    """
    texts = {name: _sentence(name, part) for name, part in report.parts.items()}
    faults = {name: part.verdict for name, part in report.parts.items() if part.verdict in {UNAVAILABLE, DEGRADED}}
    if "workers" in faults and "outbox" in faults:
        del faults["outbox"]
        texts["workers"] += f" {texts['outbox']}"
    seen = set()
    for name in sorted(faults, key=lambda each: faults[each] != UNAVAILABLE):
        if texts[name] not in seen:
            seen.add(texts[name])
            yield Concern(faults[name], texts[name], REMEDIES[name])


def _sentence(name: str, part: Part) -> str:
    return _SECONDS.sub(_in_units, part.message or f"The state of the {NAMES[name]} is {part.verdict}.")


def _in_units(found: re.Match[str]) -> str:
    return duration(float(found[1]))


def _of_task(task: str, jobs: int) -> Concern:
    return Concern(DEGRADED, f"{_waiting(jobs)} for the task {task}, which no worker has.", NO_WORKER_HAS_TASK)


def _of_queue(queue: str, jobs: int) -> Concern:
    remedy = Remedy("Start a worker for it, or add it to the queues of one.", f"{START_WORKER} -Q {shlex.quote(queue)}")
    return Concern(DEGRADED, f"{_waiting(jobs)} in the queue {queue}, which no worker serves.", remedy)


def _waiting(jobs: int) -> str:
    return "1 job waits" if jobs == 1 else f"{count(jobs)} jobs wait"


def _failures(failed: int, own: bool) -> str:  # noqa: FBT001 - as in judge
    """The failures in words; empty if there are none."""
    if not failed:
        return ""
    jobs = f"{count(failed)} of your jobs" if own else "1 job" if failed == 1 else f"{count(failed)} jobs"
    return f"{jobs} failed in the last hour."


def _headline(report: ReadinessReport, concerns: Sequence[Concern], failures: str) -> str:
    if report.verdict == UNAVAILABLE:
        return "The service accepts no jobs."
    if len(concerns) == 1:
        return f"{concerns[0].text.partition('. ')[0].partition(';')[0].removesuffix('.')}."
    if concerns:
        return f"{len(concerns)} things need attention."
    if failures:
        return f"{failures} The service works."
    if UNKNOWN in {part.verdict for part in report.parts.values()}:
        return "The service works, as far as it is known yet."
    return "Everything works."


def _without(headline: str, text: str) -> str:
    """The rest of a text that begins with the headline; any other text is as it was."""
    begins = headline.removesuffix(".")
    if not text.startswith(begins):
        return text
    rest = text.removeprefix(begins).lstrip(".; ")
    return rest[:1].upper() + rest[1:]
