"""Fills the record of a site with the work of a laboratory: a day of history, and jobs in each state."""

import random
from collections import defaultdict
from collections.abc import Iterator
from typing import Any

from pacifica.dispatcher.core.job import Job, JobError, State, now
from pacifica.dispatcher.store import job_minutes
from pacifica.dispatcher.store.job_minutes import ALL_TASKS, KEPT, EndedJobs, MinuteKey

from .site import Site, ended

RATES = {"weigh": 9.0, "calibrate": 0.6, "say": 4.0, "add": 2.5}
"""The jobs per minute of each task."""
SECONDS = {"weigh": 2.2, "calibrate": 0.8, "say": 0.03, "add": 0.004}
"""The usual run time of each task."""
DEVICES = ("thermostat 3", "balance B", "pump 12", "detector west")
HOURS = 24


def fill_history(site: Site, seed: int = 5) -> None:
    """Add the numbers of the jobs that ended in the last day, with two slow spells; the failed jobs of three hours are
    those of ``fill_jobs``.
    """
    draw, end = random.Random(seed), now() // 60_000_000 * 60
    found: dict[MinuteKey, EndedJobs] = defaultdict(EndedJobs)
    for back in range(1, HOURS * 60):
        for task, outcome, jobs in _minute(
            draw, end - back * 60, slow=240 < back < 290 or 5 < back < 12, new=back < 190
        ):
            _count(found, end - back * 60, task, outcome, jobs)
    site.database.write(lambda db: job_minutes.add(db, found))


def _minute(draw: random.Random, start: int, *, slow: bool, new: bool) -> Iterator[tuple[str, str, EndedJobs]]:
    busy = 1.6 if 8 <= start // 3600 % 24 < 18 else 0.5
    for task, rate in RATES.items():
        for outcome, share in (("SUCCESS", 0.8), ("FAILURE", 0.0 if new or task != "weigh" else 0.2 if slow else 0.02)):
            jobs = EndedJobs()
            for _ in range(round(draw.gauss(rate * busy * share, rate * 0.15)) if share else 0):
                wait = draw.lognormvariate(-3.5, 0.8) * (60 if slow else 1)
                run = SECONDS[task] * draw.lognormvariate(0, 0.5) * (3 if slow else 1)
                jobs.count(0, None, int(wait * 1_000_000), int((wait + run) * 1_000_000), 1, 0)
            if jobs.jobs:
                yield task, outcome, jobs


def _count(found: dict[MinuteKey, EndedJobs], at: int, task: str, outcome: str, jobs: EndedJobs) -> None:
    for span in KEPT:
        for name in (task, ALL_TASKS):
            found[MinuteKey(span, at // span * span, name, outcome)].add(jobs)


def fill_jobs(site: Site, number: int = 300, seed: int = 5) -> None:
    """Add jobs that ended in the last three hours, and count those that failed."""
    draw, found = random.Random(seed), defaultdict[MinuteKey, EndedJobs](EndedJobs)
    for index in range(number):
        made = _a_job(draw, index, 40 + index * 37.0)
        site.add(made)
        if made.error is not None:
            jobs = EndedJobs()
            jobs.count(made.created, None, made.started, made.finished, 1, 0)
            _count(found, made.created // 1_000_000, made.task, "FAILURE", jobs)
    site.database.write(lambda db: job_minutes.add(db, found))


def _a_job(draw: random.Random, index: int, age: float) -> Job:
    labels = {"run": str(4100 + index // 12), "site": draw.choice(("north", "south"))}
    common: dict[str, Any] = {"age": age, "labels": labels, "caller": draw.choice(("", "token:ada", "user:grace"))}
    device, sample = draw.choice(DEVICES), f"quartz {index}"
    if index % 29 == 3:
        message = f"the drift of {device} is 0.7 mK, which is more than 0.5 mK"
        error = JobError("ValueError", message, "Traceback (most recent call last): …", at="samples.py:52")
        return ended("calibrate", State.FAILURE, args=[device], error=error, **common)
    if 300 < age < 720 and index % 2:
        error = JobError("TimeoutError", "balance B has not answered for 30 s", at="samples.py:38")
        return ended("weigh", State.FAILURE, args=[sample], error=error, **common)
    masses = [round(10 + draw.random(), 3) for _ in range(8)]
    return ended("weigh", State.SUCCESS, args=[sample], result=masses, **common)


def start_jobs(site: Site) -> dict[str, str]:
    """Dispatch jobs to the worker; returns their UUIDs by name, once all but ``running`` have ended."""
    stack = site.stack
    bodies = {
        "list": ("weigh", ["gold 7", 60]),
        "failed": ("calibrate", ["thermostat 3"]),
        "records": ("echo", [[{"device": name, "drift": 0.1 * len(name), "ok": len(name) < 12} for name in DEVICES]]),
        "pairs": ("echo", [[[t / 10, round(20 + 5 * random.Random(t).random() + t / 8, 2)] for t in range(120)]]),
        "text": ("say", ["All samples are back in the freezer."]),
        "running": ("heat", ["end-of-heat", 8]),
    }
    site.go_on("end-of-heat", 1, 2, 3, 4)
    found = {
        name: stack.dispatch(task, *args, options={"labels": {"run": "4126"}}) for name, (task, args) in bodies.items()
    }
    for name, uuid in found.items():
        if name != "running":
            stack.ended(uuid)
    return found
